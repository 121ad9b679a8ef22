"""Files of models from strangers: no code of theirs is run, and nothing is written outside of its place."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
from broken_files import LEFT_BEHIND, Code

import zoo
from zoo import checkpoints

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CODE = [*(ROOT / "zoo").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]


def calls(tree: ast.AST) -> list[tuple[str, dict[str, ast.expr]]]:
    """The name of each function that is called, with its keywords."""
    return [
        (ast.unparse(node.func), {str(word.arg): word.value for word in node.keywords})
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_or_run(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([ast.alias(node.module or "")] if isinstance(node, ast.ImportFrom) else node.names)
    }
    assert not imported & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for name, keywords in calls(tree):
        assert name not in ("eval", "exec", "os.system", "yaml.load", "yaml.unsafe_load", "pickle.loads")
        if name == "np.load":
            assert "allow_pickle" not in keywords or ast.literal_eval(keywords["allow_pickle"]) is False
        if name.endswith("load_model"):
            assert "safe_mode" not in keywords or ast.literal_eval(keywords["safe_mode"]) is True


def test_a_checkpoint_with_a_pickle_in_it_is_damaged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("c.npz", weights=np.array([Code()], object))
    for content in (Path("c.npz").read_bytes(), pickle.dumps(Code())):
        Path("c.npz").write_bytes(content)
        with pytest.raises(checkpoints.DamagedError):
            checkpoints.read(Path("c.npz"))
    assert not Path(LEFT_BEHIND).exists()


def test_a_keras_file_with_code_in_it_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)]).save("m.keras")
    with pytest.raises(ValueError, match="(?i)lambda"):
        keras.saving.load_model("m.keras")


def test_a_model_is_taken_by_name_or_by_its_path_alone(tmp_path, gmzoo):
    """A folder of the name of a model in the working directory is not what `--model vae` means."""
    zoo.export("shipped:vae", tmp_path / "vae")
    done = gmzoo("info", "vae")
    assert done.code == 0
    assert str(tmp_path) not in done.err
