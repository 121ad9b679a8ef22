"""`text:PATH`: a text, as windows of 128 characters one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from zoo.data.content import Content, digest_files, fixed_split
from zoo.data.dataset import Info
from zoo.data.local import existing
from zoo.errors import UsageError

LENGTH = 128
#: Token 0: a character that the train split does not have.
UNKNOWN = "\ufffd"


def read(path: Path, vocabulary: Sequence[str] | None = None) -> Content:
    """Reads a UTF-8 text.

    Args:
        path: the file.
        vocabulary: the symbol of each token; None: token 0 and the characters of the train split, the first
            90 % of the windows.

    Raises:
        UsageError: if it is no text, too short for one window, or in other characters than the vocabulary.
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
    if vocabulary is None:
        train = len(fixed_split(count, by_position=True)["train"])
        vocabulary = (UNKNOWN, *map(chr, np.unique(codes[: train * LENGTH])))
        told = "after the train split are not in it"
    else:
        told = "are none that the model knows"
    tokens = tokens_of(codes, vocabulary)
    unknown = int((tokens == 0).sum()) if vocabulary[0] == UNKNOWN else 0
    info = Info(
        vocabulary=tuple(vocabulary),
        fingerprint=digest_files([path]),
        local=True,
        notes=(f"{unknown} characters {told}: they are token 0",) if unknown else (),
    )
    return Content({"tokens": tokens.reshape(count, LENGTH)}, info)


def tokens_of(codes: np.ndarray, vocabulary: Sequence[str]) -> np.ndarray:
    """The tokens of characters; token 0 where `UNKNOWN` stands for what the vocabulary lacks.

    Args:
        codes: code points, whole numbers [N].
        vocabulary: the symbol of each token, a character each.

    Returns:
        int32 [N].

    Raises:
        UsageError: the vocabulary lacks a character, and has no `UNKNOWN`.
    """
    known = {ord(symbol): token for token, symbol in enumerate(vocabulary)}
    found, index = np.unique(codes, return_inverse=True)
    spare = 0 if vocabulary[0] == UNKNOWN else None
    tokens = [known.get(int(code), spare) for code in found]
    if None in tokens:
        lacking = ", ".join(repr(chr(code)) for code in found if int(code) not in known)
        raise UsageError(f"The model does not know these characters of the text: {lacking}.")
    return np.array(tokens, np.int32)[index]


def retold(content: Content, vocabulary: Sequence[str]) -> Content:
    """A text in the tokens of another vocabulary.

    Raises:
        UsageError: as `tokens_of`.
    """
    codes = np.array([ord(symbol) for symbol in content.info.vocabulary])[content.fields["tokens"]]
    tokens = tokens_of(codes.ravel(), vocabulary).reshape(codes.shape)
    return replace(
        content,
        fields={**content.fields, "tokens": tokens},
        info=replace(content.info, vocabulary=tuple(vocabulary)),
    )
