"""Where the features come from that images are compared by, and who says what class an image is of.

By default both come from the zoo's own `vit`: the one that was trained on the very data that is measured
with, a shipped one before a run of your own, so that figures of two machines can be compared; else the
shipped one whose images are nearest in size and colour, which is told. `inception` is Keras' InceptionV3 with
weights from ImageNet: 2,048 features, images of 299 x 299. Keras' weights are not those of the original FID,
so its figures too compare only with their own kind.

Images of another size are resized by tf.image.resize with antialiasing, as real numbers: bicubic for `vit`,
bilinear for `inception`. Gray becomes RGB by repeating, RGB gray by the luma of ITU-R BT.601.

References:
    Heusel et al., arXiv 1706.08500: Inception's features. Parmar et al., On Aliased Resizing, arXiv
    2104.11222: why antialiasing, and why the resizer belongs to a figure.

Shapes: N images, H x W x C each, d features, K classes, A attributes.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import json
import logging
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import registry
from zoo.data import Info
from zoo.data.convert import LUMA
from zoo.data.network import reachable
from zoo.errors import UsageError, ZooError
from zoo.files import file_hash
from zoo.runs import all_runs, runs_dir
from zoo.sampling import LoadedModel, load
from zoo.stages import WEIGHTS_FILE

log = logging.getLogger("gmzoo")

#: The model whose features are used, and the name that asks for Keras' network instead.
OWN, INCEPTION = "vit", "inception"
INCEPTION_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
INCEPTION_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{INCEPTION_FILE}"
INCEPTION_SIZE = 299


@dataclasses.dataclass(frozen=True)
class Seen:
    """What an extractor makes of images.

    Attributes:
        features: float32 [N, d].
        probabilities: of its classes, float32 [N, K]; None if it was not asked for them.
        attributes: the likeliest value of each attribute, int32 [N, A]; None where it knows none.
    """

    features: np.ndarray
    probabilities: np.ndarray | None = None
    attributes: np.ndarray | None = None


class Extractor(abc.ABC):
    """A network that makes features of images, and names classes.

    Attributes:
        name: of the network, with the data that it was trained on.
        weights_hash: short sha256 of its weights.
        image_shape: (H, W, C) that it takes.
        size: d.
        class_names: of its classes.
        attributes: the name of each attribute that it knows, and of each of its values.
        interpolation: how images of another size are resized.
        fits: whether it was trained on the data that it looks at, or was named by the user, who vouches for
            it. The digits of one set have the names of those of another, and may look like nothing it knows.
    """

    name: str
    weights_hash: str
    image_shape: tuple[int, int, int]
    size: int
    class_names: tuple[str, ...] = ()
    attributes: dict[str, list[str]] = {}  # noqa: RUF012
    interpolation: str
    fits: bool = True

    @abc.abstractmethod
    def see(self, images: np.ndarray, classes: bool = True) -> Seen:
        """Looks at images.

        Args:
            images: float32 [N, H, W, C] in [0, 1], of any size, C 1 or 3.
            classes: whether probabilities and attributes are wanted too.
        """

    def features(self, images: np.ndarray) -> np.ndarray:
        """The features of images, float32 [N, d]."""
        return self.see(images, classes=False).features

    def resizer(self, shape: Sequence[int]) -> str:
        """How images [H, W, C] become what the network takes, in words."""
        if tuple(shape[:2]) == self.image_shape[:2]:
            return "none"
        return f"{self.interpolation}, antialiased, to {self.image_shape[0]}x{self.image_shape[1]}"

    def fitted(self, images: np.ndarray) -> np.ndarray:
        """Images in the size and the colours that the network takes, float32 in [0, 1]."""
        height, width, channels = self.image_shape
        if images.shape[3] != channels:
            if channels == 3:
                images = np.repeat(images[..., :1], 3, -1)
            else:
                images = (images[..., :3] @ LUMA)[..., None]
        if images.shape[1:3] != (height, width):
            resized = tf.image.resize(images, (height, width), self.interpolation, antialias=True)
            images = tf.clip_by_value(resized, 0.0, 1.0).numpy()
        return images


class SavedModelExtractor(Extractor):
    """A classifier of the zoo: the signatures `encode` and `classify` of its SavedModel."""

    interpolation = "bicubic"

    def __init__(self, model: LoadedModel) -> None:
        """
        Args:
            model: with the signature `encode`.

        Raises:
            UsageError: it has none, or takes no images.
        """
        model.require("encode")
        if model.takes != "image":
            raise UsageError(f"{model.name} takes {model.takes}: features are made of images.")
        self.model = model
        trained_on = model.card.get("dataset", {}).get("spec")
        self.name = f"{model.name} trained on {trained_on}" if trained_on else model.name
        self.weights_hash = file_hash(model.path / WEIGHTS_FILE)
        height, width, channels = model.signatures["encode"]["inputs"]["image"]["shape"][1:]
        self.image_shape = (height, width, channels)
        self.size = model.signatures["encode"]["outputs"]["code"]["shape"][-1]
        self.class_names = model.class_names if "classify" in model.signatures else ()
        known = "attribute_index" in model.signatures.get("classify", {"outputs": {}})["outputs"]
        self.attributes = model.attributes if known else {}

    def see(self, images: np.ndarray, classes: bool = True) -> Seen:
        images = self.fitted(images)
        features = self.model.run("encode", image=images)["code"]
        if not classes or "classify" not in self.model.signatures:
            return Seen(features)
        said = self.model.classify(images)
        return Seen(features, said["probabilities"], said.get("attribute_index"))


class Inception(Extractor):
    """Keras' InceptionV3: the average of its last feature maps, and the 1,000 classes of ImageNet."""

    name = "InceptionV3 (Keras) trained on ImageNet"
    image_shape = (INCEPTION_SIZE, INCEPTION_SIZE, 3)
    size = 2048
    interpolation = "bilinear"

    #: Images of 299 x 299 at a time.
    ROWS = 32

    def __init__(self) -> None:
        """
        Raises:
            ZooError: the weights are not in Keras' cache and cannot be downloaded.
        """
        import keras

        path = inception_weights()
        self.weights_hash = file_hash(path)
        whole = keras.applications.InceptionV3(weights=None)
        try:
            whole.load_weights(str(path))
        except (OSError, ValueError) as error:
            raise ZooError(f"{path} does not hold the weights of InceptionV3: remove it.") from error
        self.network = keras.Model(whole.input, [whole.get_layer("avg_pool").output, whole.output])
        self.class_names = tuple(str(index) for index in range(1000))

    def see(self, images: np.ndarray, classes: bool = True) -> Seen:
        run = functools.partial(self.network, training=False)
        pieces = (images[start : start + self.ROWS] for start in range(0, len(images), self.ROWS))
        # The network's own scale is -1 to 1.
        found = [[each.numpy() for each in run(2.0 * self.fitted(piece) - 1.0)] for piece in pieces]
        features, probabilities = (np.concatenate(each) for each in zip(*found, strict=True))
        return Seen(features, probabilities if classes else None)


def inception_weights() -> Path:
    """The file of InceptionV3's weights in Keras' cache, downloaded if it is not there.

    Raises:
        ZooError: there is no network.
    """
    import keras

    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / INCEPTION_FILE
    if path.exists():
        return path
    if not reachable([INCEPTION_URL]):
        raise ZooError(
            f"InceptionV3's weights are not in {path.parent}, and there is no network to download them."
            f"\nPut {INCEPTION_URL} there, or leave out --extractor inception."
        )
    log.info("downloading the weights of InceptionV3 (96 MB) to %s", path.parent)
    return Path(
        keras.utils.get_file(INCEPTION_FILE, INCEPTION_URL, cache_dir=str(home), cache_subdir="models")
    )


def choose(
    wanted: str | None,
    spec: str,
    info: Info,
    image_shape: Sequence[int],
    runs: str | os.PathLike[str] | None = None,
) -> Extractor:
    """The extractor that was asked for, or the one that fits the data.

    Args:
        wanted: `inception`, or a model with `encode` as `--model` takes it; None: the zoo's own that fits.
        spec: the data set that is measured with.
        info: its description.
        image_shape: (H, W, C) of its images.
        runs: where runs live.

    Raises:
        UsageError: there is no such model, or it makes no features.
        ZooError: Inception's weights cannot be had.
    """
    if wanted == INCEPTION:
        return Inception()
    if wanted is not None:
        return SavedModelExtractor(load(registry.resolve(wanted, runs).path))
    candidates = [*_own(runs)]
    if not candidates:
        raise UsageError("No vit makes features of images here: train one (gmzoo train vit), or name one.")
    same = _knowing([each for each in candidates if trained_on(each[1], spec, info)], info.class_names)
    shipped = [each for each in candidates if registry.SHIPPED in each[0].parents]
    path, card = _nearest(same or shipped or candidates, image_shape)
    if not same:
        log.warning(
            "no vit was trained on %s here; features come from one trained on %s: compare figures made with "
            "it only with one another",
            spec, card["dataset"]["spec"],
        )  # fmt: skip
    extractor = SavedModelExtractor(load(path))
    extractor.fits = bool(same)
    return extractor


def own(
    spec: str,
    info: Info,
    image_shape: Sequence[int],
    runs: str | os.PathLike[str] | None = None,
    names: tuple[str, ...] | None = None,
) -> SavedModelExtractor | None:
    """The zoo's own extractor that was trained on this data set, as `choose`; None where there is none.

    Args:
        spec: the data set.
        info: its description.
        image_shape: (H, W, C) of its images.
        runs: where runs live.
        names: the classes that it must name; None: those of the data if there is such a one.
    """
    described = info if names is None else dataclasses.replace(info, class_names=names)
    same = [each for each in _own(runs) if trained_on(each[1], spec, described)]
    if names is None:
        same = _knowing(same, info.class_names)
    else:
        same = [each for each in same if (*each[1]["dataset"].get("class_names", ()),) == names]
    return _opened(_nearest(same, image_shape)[0]) if same else None


def again(path: Path, weights_hash: str) -> SavedModelExtractor:
    """An extractor that was used before.

    Args:
        path: of its SavedModel.
        weights_hash: that it had.

    Raises:
        ZooError: it is gone, or has other weights now.
    """
    if not (path / WEIGHTS_FILE).is_file():
        raise ZooError(f"{path}, whose features were used until now, is gone.")
    if file_hash(path / WEIGHTS_FILE) != weights_hash:
        raise ZooError(f"{path}, whose features were used until now, has other weights.")
    return _opened(path)


def _knowing(
    candidates: list[tuple[Path, dict[str, Any]]], names: tuple[str, ...]
) -> list[tuple[Path, dict[str, Any]]]:
    """Those that name just these classes; all, where none does. Some were trained on domains instead."""
    knowing = [each for each in candidates if (*each[1]["dataset"].get("class_names", ()),) == names]
    return knowing or candidates


def _nearest(
    candidates: Sequence[tuple[Path, dict[str, Any]]], image_shape: Sequence[int]
) -> tuple[Path, dict[str, Any]]:
    """The one whose images are nearest in size and colour, of equals the first."""
    return min(candidates, key=lambda each: _far(each[1]["config"]["image_shape"], image_shape))


@functools.cache
def _opened(path: Path) -> SavedModelExtractor:
    return SavedModelExtractor(load(path))


def trained_on(card: dict[str, Any], spec: str, info: Info) -> bool:
    """Whether a card is that of a model trained on this data set; `shapes/16` is `shapes` in another size."""
    data = card["dataset"]
    family = str(data.get("spec")).split("/")[0] == spec.split("/")[0]
    named = not info.local and family and tuple(data.get("class_names", ())) == info.class_names
    return data.get("fingerprint") == info.fingerprint or named


def knows_classes(extractor: Extractor, info: Info) -> bool:
    """Whether the extractor names the classes of the data, and can be believed."""
    return extractor.fits and bool(info.class_names) and extractor.class_names == info.class_names


def _own(runs: str | os.PathLike[str] | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each trained `vit` with its card: the shipped ones, then finished runs, the newest first.

    Its `tiny` preset has learned nothing.
    """
    shipped = sorted(registry.SHIPPED.glob(f"{OWN}*"))
    paths = [registry.resolve(str(each)).path for each in shipped]
    finished = (run for run in all_runs(runs_dir(runs), OWN) if run.status == "finished")
    paths += [run.saved_model for run in finished if run.saved_model and run.record["preset"] != "tiny"]
    for path in paths:
        card = json.loads((path / "assets.extra/model_card.json").read_text(encoding="utf-8"))
        if card["model"] == OWN:
            yield path, card


def _far(a: Sequence[int], b: Sequence[int]) -> float:
    """How unlike two image shapes are: in the logarithm of the size, other colours as a factor of 2."""
    return abs(math.log((a[0] * a[1]) / (b[0] * b[1]))) + (a[2] != b[2]) * math.log(2.0)
