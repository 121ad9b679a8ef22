"""`gmzoo train` and `gmzoo doctor`: what the command adds to `zoo.training`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.xdist_group("cli")

TINY = ["--preset", "tiny"]


def test_dry_run_does_nothing_but_prepare_data(gmzoo, tmp_path):
    line = ["train", "vae", *TINY, "--set", "code_size=3", "--set", "learning_rate=1e-2", "--dry-run"]
    done = gmzoo(*line, "--data-dir", "data")
    assert (done.code, done.out) == (0, "")
    assert "would start runs/vae-001" in done.err
    assert "config.code_size = 3" in done.err
    assert "optimizers.elbo.learning_rate = 0.01" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.fixture
def photos(tmp_path) -> str:
    """A folder of forty small images and a file that is none."""
    (tmp_path / "photos").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(256, size=(40, 8, 8), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"photos/{number:02}.png")
    (tmp_path / "photos/notes.txt").write_text("no image")
    return "folder:photos"


def test_a_bad_file_is_skipped_from_beginning_to_end(gmzoo, tmp_path, photos, monkeypatch):
    """Where data is kept and what is skipped holds for the test split too, which measures the result."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "elsewhere"))
    line = ["train", "vae", *TINY, "--steps", 2, "--data", photos, "--image-size", 8, "--data-dir", "data"]
    done = gmzoo(*line)
    assert done.code == 2
    assert "notes.txt is no image" in done.err
    assert "--skip-bad" in done.err
    done = gmzoo(*line, "--skip-bad")
    assert done.code == 0, done.err
    assert "skipped 1 of 41 files, the first: notes.txt is no image" in done.err
    assert "elbo -" in done.out
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "data/gmzoo").exists()
    used = gmzoo("score", "--model", "runs/vae-001", "--limit", 3, "--data-dir", "data", "--skip-bad")
    assert used.code == 0, used.err


def test_a_finished_run_prints_its_result_again(trained, workshop):
    again = trained("train", "vae", *TINY, "--steps", 20)
    assert again.code == 0, again.err
    *measured, path = again.out.splitlines()
    assert path == str(workshop / "vae-001")
    assert any(line.startswith("elbo -") and "nats (bound, test split)" in line for line in measured)
    assert "is finished" in again.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--epochs 1 --steps 1", "not both"),
        ("--set code_siz=3", "Did you mean code_size"),
        ("--set code_size=big", "whole number"),
        ("--set optimizer.learning_rate=1", "elbo"),
        ("--data digist", "digits"),
        ("--data wine", "image"),
        ("--init-from nothing", "nothing"),
        ("--run-dir .", "holds no run"),
    ],
)
def test_wrong_use(gmzoo, tmp_path, words, said):
    (tmp_path / "file").write_text("")
    done = gmzoo("train", "vae", *TINY, *words.split())
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not (tmp_path / "runs").exists() or "--init-from" in words


def test_another_config_in_a_run_dir_is_listed(gmzoo, workshop):
    done = gmzoo(
        "train", "vae", *TINY, "--steps", 20, "--set", "code_size=3", "--run-dir", workshop / "vae-001"
    )
    assert done.code == 2
    assert "config.code_size: 2 -> 3" in done.err


def test_a_run_dir_of_another_model_is_refused(gmzoo, workshop):
    before = (workshop / "vae-001/run.json").read_bytes()
    done = gmzoo("train", "nade", *TINY, "--run-dir", workshop / "vae-001")
    assert (done.code, done.out) == (2, "")
    assert "holds a run with other settings: model: vae -> nade" in done.err
    assert (workshop / "vae-001/run.json").read_bytes() == before


def test_a_loss_that_is_not_finite_is_a_failure(gmzoo):
    done = gmzoo("train", "vae", *TINY, "--set", "learning_rate=1e30")
    assert (done.code, done.out) == (1, "")
    assert "not finite" in done.err


def gmzoo_process(folder: Path, *words: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", "import sys; sys.argv[0] = 'gmzoo'; from zoo.cli.main import main; main()"]
    return subprocess.Popen(
        [*line, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    )


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(gmzoo, tmp_path, signum, code):
    words = ["train", "vae", *TINY, "--steps", "1000000", "--new"]
    with gmzoo_process(tmp_path, *words) as process:
        assert process.stderr is not None
        while (
            not (tmp_path / "runs/vae-001/metrics.jsonl").exists()
            or not (tmp_path / "runs/vae-001/metrics.jsonl").read_text()
        ):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        process.send_signal(signum)
        out, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert out == ""
    last = err.splitlines()[-1]
    assert "everything is saved" in last
    assert last.endswith("Go on with: gmzoo train vae --preset tiny --steps 1000000")
    assert "Traceback" not in err
    record = json.loads((tmp_path / "runs/vae-001/run.json").read_text())
    assert record["status"] == "stopped"
    assert gmzoo("runs", "--json").json[0]["status"] == "stopped"
    if signum == signal.SIGINT:  # an unfinished run is used as it is, and says so
        done = gmzoo("sample", "--model", "runs/vae-001", "-n", 2, "--out", "a.png")
        assert done.code == 0, done.err
        assert "unfinished" in done.err
        found = gmzoo("info", "runs/vae-001", "--json").json
        assert (found["status"], found["steps"]) == ("stopped", 1_000_000)
        assert 0 < found["step"] == record["step"]
        text = gmzoo("info", "runs/vae-001").out
        assert f"stopped, step {record['step']:,} of 1,000,000" in text
        assert "\ntrained" not in text


def test_doctor(gmzoo):
    done = gmzoo("doctor", "--json")
    assert done.code == 0, done.err
    assert all(each["ok"] for each in done.json)
    names = [each["check"] for each in done.json]
    assert names == ["python", "architecture", "packages", "runs", "data", "models", "devices", "training"]
    assert "samples in" in done.json[-1]["detail"]


def test_doctor_finds_what_is_wrong(gmzoo, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("zoo.cli.doctor._training", lambda _: "not now")
    done = gmzoo("doctor", "--runs-dir", "file/runs")
    assert done.code == 1
    (bad,) = [line for line in done.out.splitlines() if not line.startswith("ok ")]
    assert bad.startswith("BAD  runs")
    assert done.err == "Error: 1 of 8 checks failed: runs.\n"
