"""Named sets through TFDS: prepared once, in silence, by one of several processes; and without a network."""

import http.client
import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from zoo.data import CATALOGUE, default_split, load, network, shapes
from zoo.data.catalogue import EMBEDDED
from zoo.errors import UsageError, ZooError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data folder in which `digits` is prepared."""
    folder = tmp_path_factory.mktemp("data")
    load("digits", data_dir=folder)
    return folder


@pytest.mark.parametrize("name", ["digits", "wine", "prose", "shapes/8"])
def test_a_set_goes_through_tfds_unchanged(name, place, monkeypatch):
    for split in ("train", "validation", "test"):  # as many as show it
        monkeypatch.setitem(shapes.COUNTS, split, 300)
    entry = CATALOGUE[name.partition("/")[0]]
    module = EMBEDDED[name.partition("/")[0]]
    for split, count in entry["counts"].items():
        data = load(name, split, data_dir=place)
        assert len(data) == count
        assert data.info.splits == entry["counts"]
        assert not data.info.local
        blocks = list(module.blocks(name, split))
        for field in entry["fields"]:
            expected = np.concatenate([block[field] for block in blocks])
            np.testing.assert_array_equal(data.fields[field], expected)
            assert data.fields[field].dtype.kind == expected.dtype.kind
    assert len(load(name, "all", data_dir=place)) == sum(entry["counts"].values())
    assert default_split(name) == "test"


def test_what_is_prepared_is_mapped_and_its_fingerprint_stays(place):
    once, twice = load("digits", data_dir=place), load("digits", "test", data_dir=place)
    assert isinstance(once.fields["image"], np.memmap)
    assert not once.fields["image"].flags.writeable
    assert once.info.fingerprint == twice.info.fingerprint
    (folder,) = (place / "gmzoo").glob("digits-*")
    assert f"original-{once.info.fingerprint}" in {path.name for path in folder.iterdir()}


def test_a_prepared_set_is_read_without_tensorflow_and_without_a_word(place):
    code = (
        "import sys, zoo.data\n"
        f"data = zoo.data.load('digits', data_dir={str(place)!r}, image_size=8)\n"
        "assert len(list(zoo.data.in_order(data, 500))) == 3\n"
        "heavy = {'tensorflow', 'tensorflow_datasets', 'keras', 'sklearn', 'scipy', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_two_processes_prepare_one_set_once_and_in_silence(tmp_path):
    code = (
        "import logging, sys, zoo.data\n"
        "logging.basicConfig(level='INFO', format='%(name)s: %(message)s', stream=sys.stderr)\n"
        f"data = zoo.data.load('wine', data_dir={str(tmp_path)!r})\n"
        "print(len(data), data.info.fingerprint)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}

    def run(_):
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(run, range(2)))
    assert done[0].stdout == done[1].stdout
    assert done[0].stdout.startswith("134 ")
    told = [line for each in done for line in each.stderr.splitlines()]
    assert sum("preparing wine" in line for line in told) == 1
    # The others are ours too: who waits, how long it took.
    assert all(line.startswith("gmzoo: ") for line in told)


def test_conversion_is_kept_beside_the_original_and_told(place, caplog):
    with caplog.at_level("INFO", "gmzoo"):
        data = load("digits", "test", image_size=16, channels=3, data_dir=place)
    assert data.fields["image"].shape == (180, 16, 16, 3)
    assert data.fields["image"].max() < 16
    assert data.info.levels == 16
    told = [record.message for record in caplog.records]
    assert told == ["digits: gray converted to RGB", "digits: resized to 16x16, values rounded to 16 levels"]
    original = load("digits", "test", data_dir=place)
    assert original.info.notes == ()
    assert original.info.fingerprint == data.info.fingerprint


def test_shapes_are_drawn_at_the_size_that_is_wanted(place, monkeypatch):
    for split in ("train", "validation", "test"):
        monkeypatch.setitem(shapes.COUNTS, split, 300)
    data = load("shapes", "test", image_size=8, data_dir=place)
    np.testing.assert_array_equal(
        data.fields["image"], load("shapes/8", "test", data_dir=place).fields["image"]
    )
    assert data.info.notes == ()


def test_the_folder_of_tfds_is_honoured(place, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(place))
    assert str(place) in str(load("digits").fields["image"].filename)


def test_without_a_network_the_embedded_sets_are_named_at_once(tmp_path, monkeypatch):
    def unreachable(*arguments, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr(network.urllib.request, "urlopen", unreachable)
    start = time.monotonic()
    with pytest.raises(ZooError) as caught:
        load("mnist", data_dir=tmp_path)
    assert time.monotonic() - start < 1
    assert not isinstance(caught.value, UsageError)
    first, second = str(caught.value).splitlines()
    assert first == "mnist has to be downloaded, and there is no network. These need none:"
    assert all(name in second for name, entry in CATALOGUE.items() if entry["embedded"])


def test_a_network_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "SECONDS", 0.2)

    def silence(*arguments, **options):
        time.sleep(2)
        raise OSError("nobody is there any more")

    monkeypatch.setattr(network.urllib.request, "urlopen", silence)
    start = time.monotonic()
    with pytest.raises(ZooError, match="there is no network"):
        load("cifar10", data_dir=tmp_path)
    assert time.monotonic() - start < 1.5
    time.sleep(2)  # until the thread has ended, which is not waited for


def test_any_answer_is_a_network(monkeypatch):
    def answer(request, timeout):
        if "dead" in request.full_url:
            raise OSError("refused")
        raise network.urllib.error.HTTPError(request.full_url, 404, "Not Found", {}, None)

    monkeypatch.setattr(network.urllib.request, "urlopen", answer)
    assert network.reachable(["http://dead/", "http://alive/"])
    assert not network.reachable(["http://dead/"])


@pytest.mark.parametrize("error", [http.client.BadStatusLine("SSH-2.0"), ValueError("unknown url type")])
def test_an_answer_that_is_none_is_no_network(monkeypatch, error):
    def broken(*arguments, **options):
        raise error

    monkeypatch.setattr(network.urllib.request, "urlopen", broken)
    start = time.monotonic()
    assert not network.reachable(["http://odd/"])
    assert time.monotonic() - start < 1


def test_a_closed_stderr_is_no_obstacle(tmp_path):
    """As in `gmzoo ... 2>&-`."""
    code = f"from zoo.data import load; print(len(load('digits', 'test', data_dir={str(tmp_path)!r})))"
    line = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} 2>&-"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "180\n")


def test_what_tfds_does_not_have_is_answered_with_the_nearest_name(tmp_path):
    with pytest.raises(UsageError, match=r"TensorFlow Datasets has no 'mnis'. Did you mean mnist"):
        load("tfds:mnis", data_dir=tmp_path)
    with pytest.raises(UsageError, match=r"TensorFlow Datasets: .*BuilderConfig nonsense not found"):
        load("tfds:mnist/nonsense", data_dir=tmp_path)
