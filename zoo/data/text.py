"""`text:PATH`: a text, as windows of 128 characters one after another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.data.content import Content, digest_files, fixed_split
from zoo.data.dataset import Info
from zoo.data.local import existing
from zoo.errors import UsageError

LENGTH = 128
#: Token 0: a character that the train split does not have.
UNKNOWN = "\ufffd"


def read(path: Path) -> Content:
    """Reads a UTF-8 text. The vocabulary is that of the train split, the first 90 % of the windows.

    Raises:
        UsageError: if it is no text, or too short for one window.
    """
    existing(path, "text")
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name one text file.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start}: {error.reason}).") from error
    count = len(text) // LENGTH
    if count < 1:
        raise UsageError(f"{path} has {len(text)} characters: one window takes {LENGTH}.")
    codes = np.frombuffer(text[: count * LENGTH].encode("utf-32-le"), np.uint32)
    train = len(fixed_split(count, by_position=True)["train"])
    known = np.unique(codes[: train * LENGTH])
    place = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    tokens = np.where(known[place] == codes, place + 1, 0).astype(np.int32)
    unknown = int((tokens == 0).sum())
    notes = (
        (f"{unknown} characters after the train split are not in it: they are token 0",) if unknown else ()
    )
    info = Info(
        vocabulary=(UNKNOWN, *map(chr, known)), fingerprint=digest_files([path]), local=True, notes=notes
    )
    return Content({"tokens": tokens.reshape(count, LENGTH)}, info)
