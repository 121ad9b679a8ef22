"""`gmzoo sample`: seeds, conditions, and every form of output."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.cli import samples
from zoo.errors import UsageError

pytestmark = pytest.mark.xdist_group("cli")


def image(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path) as found:
        return {name: found[name] for name in found.files}


def test_without_out_the_first_free_name_is_printed(trained, tmp_path):
    for name in ("vae-samples.png", "vae-samples-2.png"):
        done = trained("sample", "--model", "vae")
        assert (done.code, done.out) == (0, f"{name}\n")
        assert done.err.startswith("using the run ")
        assert "vae-001" in done.err
    first = image(tmp_path / "vae-samples.png")
    np.testing.assert_array_equal(first, image(tmp_path / "vae-samples-2.png"))
    assert first.shape == (530, 530)  # 8 x 8 images of 8 x 8 pixels, each enlarged 8 times


def test_npz(trained, workshop):
    assert trained("sample", "--model", "vae", "-n", 70, "--seed", 5, "--out", "a.npz").code == 0
    found = arrays("a.npz")
    assert found.keys() == {"image", "seed"}
    assert found["image"].dtype == np.float32
    assert found["image"].shape == (70, 8, 8, 1)
    np.testing.assert_array_equal(found["seed"], np.arange(5, 75))
    np.testing.assert_array_equal(found["image"], zoo.load(workshop / "vae-001").sample(range(5, 75)))


def test_bytes_depend_neither_on_n_nor_on_shards(trained):
    trained("sample", "--model", "vae", "-n", 100, "--out", "all.npz")
    every = arrays("all.npz")["image"]
    for seeds, index in (("0", [0]), ("70-99,3", [*range(70, 100), 3]), ("7,7,0", [7, 7, 0])):
        trained("sample", "--model", "vae", "--seeds", seeds, "--out", "some.npz", "--force")
        found = arrays("some.npz")
        np.testing.assert_array_equal(found["seed"], index)
        np.testing.assert_array_equal(found["image"], every[index])


def test_the_same_line_gives_the_same_file(trained, tmp_path):
    for ending in (".npz", ".png", ".csv", ".gif"):
        for name in ("a", "b"):
            assert trained("sample", "--model", "dcgan", "-n", 3, "--out", name + ending).code == 0
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_csv_holds_what_npz_holds(trained, tmp_path):
    for out in ("a.csv", "a.npz"):
        assert trained("sample", "--model", "vae", "--seeds", "4,2", "--out", out).code == 0
    with (tmp_path / "a.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["seed", *(f"image{i}" for i in range(64))]
    assert [row[0] for row in rows] == ["4", "2"]
    values = np.array([row[1:] for row in rows], np.float32).reshape(2, 8, 8, 1)
    np.testing.assert_array_equal(values, arrays("a.npz")["image"])


def test_gif_has_a_frame_for_each(trained):
    assert trained("sample", "--model", "vae", "-n", 5, "--out", "a.gif").code == 0
    with Image.open("a.gif") as film:
        assert film.n_frames == 5
        assert film.size == (64, 64)


def test_folder_holds_a_file_for_each(trained, tmp_path):
    assert trained("sample", "--model", "vae", "--seeds", "4,2,4", "--out", "many/").out == "many\n"
    trained("sample", "--model", "vae", "--seeds", "4,2,4", "--out", "a.npz")
    names = sorted(path.name for path in (tmp_path / "many").iterdir())
    assert names == ["0-seed-4.png", "1-seed-2.png", "2-seed-4.png"]
    expected = np.round(arrays("a.npz")["image"][1, ..., 0] * 255)
    assert np.abs(image(tmp_path / "many/1-seed-2.png") - expected).max() <= 1


@pytest.mark.parametrize("out", ["a.npz", "a.png", "many"])
def test_what_exists_is_replaced_with_force_only(trained, tmp_path, out):
    path = tmp_path / out
    path.mkdir() if out == "many" else path.write_text("mine")
    (tmp_path / "many").mkdir(exist_ok=True)
    (tmp_path / "many/mine.txt").write_text("mine")
    line = ["sample", "--model", "vae", "-n", 2, "--out", out]
    done = trained(*line)
    assert (done.code, done.out) == (2, "")
    assert "--force" in done.err
    assert out == "many" or path.read_text() == "mine"
    assert trained(*line, "--force").code == 0
    assert (tmp_path / "many/mine.txt").read_text() == "mine"
    assert (path / "0-seed-0.png").exists() if out == "many" else path.read_bytes() != b"mine"


def test_a_file_is_no_folder_even_with_force(trained, tmp_path):
    (tmp_path / "many").write_text("mine")
    assert trained("sample", "--model", "vae", "--out", "many", "--force").code == 2
    assert (tmp_path / "many").read_text() == "mine"


def test_text_is_no_form_for_images(trained):
    done = trained("sample", "--model", "vae", "--out", "a.txt")
    assert done.code == 2
    assert ".png" in done.err


def test_a_grid_has_limits_and_says_so(trained):
    done = trained("sample", "--model", "vae", "-n", 100_000, "--out", "a.png")
    assert done.code == 0
    assert "4,096" in done.err
    assert max(image("a.png").shape) < 4096


def test_a_name_leads_to_the_newest_run_and_a_path_to_its_own(trained, workshop):
    by_name = trained("sample", "--model", "vae:tiny", "-n", 2, "--out", "a.npz")
    by_path = trained("sample", "--model", workshop / "vae-001", "-n", 2, "--out", "b.npz")
    by_version = trained("sample", "--model", workshop / "vae-001/saved_model/1", "-n", 2, "--out", "c.npz")
    by_base = trained("sample", "--model", workshop / "vae-001/saved_model", "-n", 2, "--out", "d.npz")
    by_option = trained("sample", "--model", "vae", "--runs-dir", workshop, "-n", 2, "--out", "e.npz")
    assert [each.code for each in (by_name, by_path, by_version, by_base, by_option)] == [0] * 5
    expected = arrays("a.npz")["image"]
    for name in "bcde":
        np.testing.assert_array_equal(arrays(f"{name}.npz")["image"], expected)


# -- conditions ----------------------------------------------------------------------------------------------


def test_labels_take_turns(trained):
    line = ["sample", "--model", "dcgan", "--seeds", "5,5,5,5"]
    for option, out in (("1,3", "cycled"), ("1", "one"), ("three", "name"), ("1-2", "range")):
        done = trained(*line, "--label", option, "--out", f"{out}.npz")
        if option == "three":  # the digits have the names 0 to 9
            assert done.code == 2
            assert "classes: 0, 1" in done.err
        else:
            assert done.code == 0, done.err
    cycled, one, both = (arrays(f"{name}.npz")["image"] for name in ("cycled", "one", "range"))
    np.testing.assert_array_equal(cycled[0], cycled[2])
    np.testing.assert_array_equal(cycled[0], one[0])
    np.testing.assert_array_equal(cycled[0], both[2])
    assert np.abs(cycled[0] - cycled[1]).max() > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("vae --label 3", "no conditions"),
        ("vae --prompt blue", "no conditions"),
        ("nade --top-k 3", "top_k"),
        ("nade --code 0=1", "decode"),
        ("dcgan --prompt blue", "label"),
        ("dcgan --label 10", "0 to 9"),
        ("vae --code 2=1", "0 to 1"),
        ("dcgan --label 1 --code 0=1", "--code"),
    ],
)
def test_a_condition_that_the_model_lacks_is_wrong_use(trained, tmp_path, words, said):
    done = trained("sample", "--model", *words.split(), "-n", 2)
    assert (done.code, done.out) == (2, "")
    assert said in done.err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_code_replaces_values_of_the_prior(trained, workshop):
    assert trained("sample", "--model", "vae", "-n", 70, "--code", "1=-1.5", "--out", "a.npz").code == 0
    model = zoo.load(workshop / "vae-001")
    code = model.prior(range(70))
    code[:, 1] = -1.5
    np.testing.assert_array_equal(arrays("a.npz")["image"], model.decode(code))


def test_a_code_of_parts_is_a_condition_and_what_is_not_named_is_left_to_the_seed():
    class Parts:
        conditions = ("code",)
        signatures = {"sample_with": {"inputs": {"code": {"shape": [None, 3]}}}}  # noqa: RUF012

        def iter_samples(self, seeds, code):
            self.asked = code
            return iter(())

    model = Parts()
    none = {"label": None, "prompts": None, "temperature": None, "top_k": None}
    samples.drawn(model, np.arange(5), code="0=1-3,2=-1.5", **none)
    nan = np.nan
    np.testing.assert_array_equal(
        model.asked,
        np.float32([[1, nan, -1.5], [2, nan, -1.5], [3, nan, -1.5], [1, nan, -1.5], [2, nan, -1.5]]),
    )
    with pytest.raises(UsageError, match="0 to 2"):
        samples.drawn(model, np.arange(5), code="3=1", **none)


def test_prompt_files_are_read_first(trained, tmp_path):
    assert "none.txt" in trained("sample", "--model", "vae", "--prompt-file", "none.txt").err
    (tmp_path / "empty.txt").write_text("\n\n")
    done = trained("sample", "--model", "vae", "--prompt-file", "empty.txt")
    assert done.code == 2
    assert "no text" in done.err


# -- a process of its own ------------------------------------------------------------------------------------


def test_stderr_holds_our_lines_only_and_nothing_slow_is_loaded(trained, tmp_path):
    code = (
        "import sys\n"
        "from zoo.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        "slow = {'tf_keras', 'tensorflow_probability', 'tensorflow_datasets', 'zoo.base', 'zoo.training'}\n"
        "print(slow & set(sys.modules))\n"
    )
    line = [sys.executable, "-c", code, "sample", "--model", "vae", "-n", "2"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.stdout == "vae-samples.png\nset()\n", done.stderr
    (only,) = done.stderr.splitlines()
    assert only.startswith("using the run ")


def test_sigterm_is_143_and_leaves_nothing(trained, tmp_path):
    line = [sys.executable, "-c", "from zoo.cli.main import main; main()"]
    line += ["sample", "--model", "vae", "-n", "10000000", "--out", "a.npz"]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the model is loaded
        while not list(tmp_path.glob(".a.*")):
            assert process.poll() is None
            time.sleep(0.1)
        process.terminate()
        assert process.wait(60) == 143
        (told,) = process.stderr.read().splitlines()
        assert told.startswith("drawing 10,000,000 takes about ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, None),
        (64, None),
        (200, "drawing 200 takes about 0:10 on a clock"),
        (6400, "6,400 takes about 4:10"),
    ],
)
def test_how_long_drawing_takes_is_told_first(count, said):
    """By what one grid took in training, of which the commands draw as many as are wanted."""
    model = types.SimpleNamespace(card={"drawing": {"count": 128, "seconds": 5.0, "machine": "a clock"}})
    assert (said or "") in (told := samples.estimated(model, count) or "")
    assert bool(told) == bool(said)
    assert samples.estimated(types.SimpleNamespace(card={}), count) is None
