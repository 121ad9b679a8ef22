"""`npz:PATH`: arrays saved by NumPy, one file or a folder with train.npz, validation.npz and test.npz."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from zoo.data.content import Content, digest_files
from zoo.data.dataset import Info
from zoo.data.local import PARTS, existing, join_parts, numbered_classes
from zoo.errors import UsageError

KEYS = ("image", "label", "caption", "levels")


def read(path: Path) -> Content:
    """Reads the file or the folder.

    Args:
        path: a `.npz` file with `image` uint8 [N, H, W] or [N, H, W, C], and optionally `label` int [N],
            `caption` str [N] and `levels` int; or a folder of such files, named after the splits.

    Raises:
        UsageError: if something else lies there.
    """
    parts: dict[str, tuple[int, int]] = {}
    found = find_files(path)
    if not found:
        fields, levels = read_arrays(path)
    else:
        read_all = {split: read_arrays(file) for split, file in found.items()}
        all_levels = {levels for _, levels in read_all.values()}
        if len(all_levels) > 1:
            raise UsageError(f"The files in {path} differ in `levels`: {sorted(all_levels)}.")
        levels = all_levels.pop()
        fields, parts = join_parts({split: fields for split, (fields, _) in read_all.items()}, path)
    info = Info(
        levels=levels,
        class_names=numbered_classes(fields),
        fingerprint=digest_files(found.values() or [path]),
        local=True,
    )
    return Content(fields, info, parts)


def find_files(path: Path) -> dict[str, Path]:
    """The file of each split in a folder; nothing if `path` is a file.

    Raises:
        UsageError: if the folder has none.
    """
    existing(path, "npz")
    if path.is_file():
        return {}
    candidates = {split: path / f"{split}.npz" for split in PARTS}
    found = {split: file for split, file in candidates.items() if file.is_file()}
    if not found:
        raise UsageError(f"{path} holds none of train.npz, validation.npz, test.npz: name one .npz file.")
    return found


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], int]:
    """Reads and checks one file.

    Returns:
        The fields, and how many values a pixel can take.

    Raises:
        UsageError: naming the file and what is wrong with it.
    """
    try:
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            bare = isinstance(archive, np.ndarray)
            arrays = {} if bare else {name: archive[name] for name in archive.files}
    except PermissionError as error:
        raise UsageError(f"{path} cannot be read: permission denied.") from error
    except MemoryError as error:
        raise UsageError(f"{path} does not fit into memory.") from error
    except Exception as error:  # of damaged bytes NumPy, zipfile and zlib raise anything
        if "pickle" in str(error) and zipfile.is_zipfile(path):
            raise UsageError(
                f"{path} holds Python objects (pickle), which could run code when read; it is refused.\n"
                "Save plain arrays: image as uint8, caption as a NumPy string array."
            ) from error
        raise UsageError(f"{path} is not a whole .npz file ({error}).") from error
    if bare:
        raise UsageError(f"{path} is one bare array (.npy): save it with np.savez(PATH, image=array).")
    if "image" not in arrays:
        raise UsageError(
            f"{path} has no `image` (it has {', '.join(arrays) or 'nothing'}).\n"
            "Expected: image uint8 [N,H,W] or [N,H,W,C]; optionally label [N], caption [N], levels."
        )
    unknown = [name for name in arrays if name not in KEYS]
    if unknown:
        raise UsageError(
            f"{path} holds {', '.join(unknown)}, which is not known: keys are {', '.join(KEYS)}."
        )
    image = arrays["image"]
    given = arrays.get("levels", np.array(256))
    if given.size != 1 or given.dtype.kind not in "iu" or not 2 <= given.item() <= 256:
        raise UsageError(f"{path}: `levels` must be one integer from 2 to 256, not {given}.")
    levels = int(given.item())
    image = check_images(path, image, levels, "levels" in arrays)
    fields = {"image": image}
    if "label" in arrays:
        label = arrays["label"]
        if label.shape != (len(image),) or label.dtype.kind not in "iu":
            raise UsageError(
                f"{path}: `label` must be integers [{len(image)}], not {label.dtype} {list(label.shape)}."
            )
        if label.size and (label.min() < -1 or label.max() > 1_000_000):
            raise UsageError(f"{path}: `label` must be from 0 up, or -1 for unlabelled.")
        fields["label"] = label.astype(np.int32)
    if "caption" in arrays:
        caption = arrays["caption"]
        if caption.shape != (len(image),) or caption.dtype.kind not in "US":
            raise UsageError(
                f"{path}: `caption` must be strings [{len(image)}], "
                f"not {caption.dtype} {list(caption.shape)}."
            )
        try:
            fields["caption"] = np.char.decode(caption, "utf-8") if caption.dtype.kind == "S" else caption
        except UnicodeDecodeError as error:
            raise UsageError(f"{path}: `caption` holds bytes that are not UTF-8 text.") from error
    return fields, levels


def check_images(path: Path, image: np.ndarray, levels: int, levels_given: bool) -> np.ndarray:
    """Refuses what is not uint8 images with values 0 .. levels-1; gives them a channel axis."""
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise UsageError(f"{path}: `image` holds values that are not finite (NaN or infinity).")
    if image.dtype != np.uint8:
        raise UsageError(
            f"{path}: `image` must be uint8, not {image.dtype}.\n"
            "Images in [0, 1] become uint8 by (image * 255).round().astype('uint8')."
        )
    if image.ndim == 3:
        image = image[..., None]
    if image.ndim != 4 or image.shape[-1] not in (1, 3):
        raise UsageError(
            f"{path}: `image` must be [N,H,W] or [N,H,W,C] with C 1 or 3, not {list(image.shape)}."
        )
    if not image.size:
        raise UsageError(f"{path}: `image` is empty: {list(image.shape)}.")
    top = int(image.max())
    if top >= levels:
        raise UsageError(f"{path}: `image` has the value {top}, but `levels` is {levels} (0..{levels - 1}).")
    if not levels_given and top <= 1:
        raise UsageError(
            f"{path}: `image` holds only 0 and 1, and no `levels` says what that means.\n"
            "Save levels=2 for binary images, or multiply by 255."
        )
    return image
