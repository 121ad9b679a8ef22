"""Data: `load` one split of a named set or of your own files, read it by `batches` or `in_order`.

Importing this imports no TensorFlow; only `batches`, and preparing a named set for the first time, do.
"""

from zoo.data.catalogue import CATALOGUE
from zoo.data.dataset import Data, Info, rounded
from zoo.data.dequantise import as_features
from zoo.data.domains import (
    counterparts,
    domains_as_classes,
    known_together,
    of_domains,
    side,
    with_attributes,
    with_others,
)
from zoo.data.labels import keep_labels, with_labelled
from zoo.data.loading import LOCAL, check, default_split, load
from zoo.data.mismatched import Mismatched
from zoo.data.order import batches, epochs_to_steps, in_order, steps_per_epoch

__all__ = [
    "CATALOGUE",
    "LOCAL",
    "Data",
    "Info",
    "Mismatched",
    "as_features",
    "batches",
    "check",
    "counterparts",
    "default_split",
    "domains_as_classes",
    "epochs_to_steps",
    "in_order",
    "keep_labels",
    "known_together",
    "load",
    "of_domains",
    "rounded",
    "side",
    "steps_per_epoch",
    "with_attributes",
    "with_labelled",
    "with_others",
]
