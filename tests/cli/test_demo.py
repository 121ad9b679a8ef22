"""`gmzoo demo`, up to where the page begins."""

from __future__ import annotations

import importlib.util

from zoo.cli.demo import pip_line


def test_without_gradio_one_line_says_what_to_install(gmzoo, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "gradio" else find(name, *a)
    )
    done = gmzoo("demo", "--model", "shipped:joint", "--no-browser")
    assert done.code == 1
    assert done.out == ""
    first, second = done.err.splitlines()
    assert first == "Error: The page needs Gradio, which is not installed."
    assert (
        second.startswith('Install it: pip install "gradio') and second == f"Install it: {pip_line('demo')}"
    )


def test_wrong_models_are_told_before_anything_starts(gmzoo):
    assert "Did you mean vae" in gmzoo("demo", "--model", "vaee").err
    done = gmzoo("demo", "vae")
    assert done.code == 2
    assert "gmzoo demo --model vae" in done.err
