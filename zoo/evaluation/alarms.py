"""Lines that a healthy training does not cross, and what to say and do where one is crossed.

Each function takes what was measured over an epoch and gives one plain sentence with the line in it and what
to try, or None where all is well. The lines were drawn where the presets of the zoo stay clear of them.
"""

from __future__ import annotations

#: The share of the classes of the data that samples must cover.
CLASSES = 0.75
#: Samples that a class must be able to have: with fewer, a class is missed by chance.
SAMPLES_PER_CLASS = 5
#: The mean distance between two samples, as a share of that between two examples of the data.
SPREAD = 0.25
#: The share of the data that must lie among the samples.
RECALL = 0.1
#: The share of images that a discriminator may take for what they are.
ACCURACY = 0.99
#: How far labels are smoothed where that is advised.
SMOOTHING = 0.1
#: A gradient, as a share of what it was in the first epoch.
VANISHED = 1e-4
#: The largest gradient of an epoch, in multiples of the usual one.
EXPLODED = 1000.0
#: The share of the units of a code that must carry information.
ACTIVE_UNITS = 0.2
#: The share of different n-grams in texts, as a share of that in the data.
DISTINCT = 0.5

ADVICE = "Try a smaller learning rate, a larger batch, or another seed"


def classes(covered: int, known: int, samples: int) -> str | None:
    """Whether whole classes are missing among the samples.

    Args:
        covered: how many classes the samples cover.
        known: how many the data cover.
        samples: how many there are.
    """
    if covered >= CLASSES * known or samples < SAMPLES_PER_CLASS * known:
        return None
    return (
        f"the generator covers {covered} of {known} classes (the line is {_percent(CLASSES)}): it leaves out "
        f"kinds of examples. {ADVICE}, and compare the grids in samples/."
    )


def spread(ratio: float) -> str | None:
    """Whether the samples resemble one another.

    Args:
        ratio: of the mean distance between two samples to that between two examples of the data.
    """
    if ratio >= SPREAD:
        return None
    return (
        f"two samples differ {ratio:.2g} times as much as two examples of the data (the line is {SPREAD:g}): "
        f"the generator has collapsed to few images. {ADVICE}, and compare the grids in samples/."
    )


def recall(share: float) -> str | None:
    """Whether the samples reach only a small part of the data.

    Args:
        share: of the data that lie among the samples, in the sense of recall.
    """
    if share >= RECALL:
        return None
    return (
        f"{_percent(share)} of the data lie among the samples (the line is {_percent(RECALL)}): the "
        f"generator draws a small part of what there is, or nothing like it. {ADVICE}."
    )


def discriminator(accuracy: float, smoothing: float | None) -> str | None:
    """Whether a discriminator cannot be fooled.

    Args:
        accuracy: the share of real and generated images that it took for what they are, over an epoch.
        smoothing: of its labels, as it is set; None where the model has no such option.
    """
    if accuracy <= ACCURACY:
        return None
    smoother = smoothing is not None and smoothing < SMOOTHING
    return (
        f"the discriminator told {100 * accuracy:.4g} % of the images right (the line is "
        f"{_percent(ACCURACY)}): the generator learns nothing from an opponent that it cannot fool. Try "
        "--set discriminator.learning_rate=X with a smaller X"
        + (f", or --set smoothing={SMOOTHING:g}." if smoother else ".")
    )


def vanished(turn: str, usual: float, first: float) -> str | None:
    """Whether a turn has stopped learning.

    Args:
        turn: its name.
        usual: the norm of its gradient, as it mostly was over an epoch.
        first: that of the first epoch.
    """
    if usual > 0.0 and usual >= VANISHED * first:
        return None
    return (
        f"the gradient of the turn {turn!r} has vanished: {usual:.2g}, after {first:.2g} in the first epoch "
        f"(the line is {VANISHED:g} of it): it no longer learns. Try --set {turn}.learning_rate=X with a "
        "smaller X."
    )


def exploded(turn: str, largest: float, usual: float) -> str | None:
    """Whether a gradient was far out of the ordinary.

    Args:
        turn: whose it is.
        largest: its largest norm over an epoch.
        usual: the norm as it mostly was.
    """
    if largest <= EXPLODED * usual:
        return None
    clip = f"--set {turn}.global_clipnorm={usual:.1g}, or " if usual > 0.0 else ""  # 0 would stop training
    return (
        f"the gradient of the turn {turn!r} rose to {largest:.2g}, where {usual:.2g} is usual (the line is "
        f"{EXPLODED:g} times that): one such step can undo many. Try {clip}a smaller learning rate."
    )


def units(active: int, of: int) -> str | None:
    """Whether the code of an autoencoder is ignored.

    Args:
        active: how many units carry information.
        of: how many there are.
    """
    if active > ACTIVE_UNITS * of:
        return None
    carry = f"{active} of {of} units" if active else f"none of {of} units"
    what = "the posterior has collapsed and the code is ignored" if not active else "the code is hardly used"
    return (
        f"{what}: {carry} carry information (the line is {_percent(ACTIVE_UNITS)}). Try a smaller learning "
        "rate or a weaker decoder; where the model weighs the KL, let its weight grow from a small value."
    )


def texts(ratio: float) -> str | None:
    """Whether texts repeat themselves.

    Args:
        ratio: of the share of different n-grams in the texts to that in the data.
    """
    if ratio >= DISTINCT:
        return None
    return (
        f"the texts have {ratio:.2g} times as many different runs of characters as the data (the line is "
        f"{DISTINCT:g}): they repeat themselves. {ADVICE}."
    )


def _percent(share: float) -> str:
    return f"{100.0 * share:.3g} %"
