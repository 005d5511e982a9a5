"""The 15 labels of MNIST's test set that human annotators do not confirm.

Northcutt, Athalye and Mueller 2021, "Pervasive Label Errors in Test Sets Destabilize Machine Learning Benchmarks"
(labelerrors.com): five annotators reviewed each of 100 suspicious images; for these 15, fewer than three chose the
given label. The votes are in `mturk/mnist_mturk.json` of github.com/cleanlab/label-errors.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from trainer.data.imageset import ImageSet
from trainer.data.split import canonical

SOURCE = "Northcutt et al. 2021, labelerrors.com"

MNIST_TEST = "7c1b66dbc28b3446eb3329faf2606a2bb5bd03de1d289ee0f8c173760439b93e"
"""Digest of MNIST's 10,000 test images and labels, independent of order; see `trainer.data.split.canonical`."""

DOUBTED = (
    ("9e571df431674b22", 947, 8, 9),
    ("a6dbd7572d6b5235", 1621, 0, 6),
    ("ac85fc88d75848d8", 1901, 9, 4),
    ("3b659aa46e7e60f0", 2130, 4, 9),
    ("b79f052864e49eef", 2462, 2, 0),
    ("a8b3e479c863b2ec", 2597, 5, 3),
    ("2d23b44093568126", 2654, 6, 1),
    ("78b0ae6da7b031aa", 3520, 6, 4),
    ("2ade8bec31ce7dba", 3558, 5, 0),
    ("ae0606c84402b2d7", 5937, 5, 3),
    ("e58ee418a2c482c9", 6651, 0, 6),
    ("848efc6d40483e6f", 6783, 1, 6),
    ("b147b498facaa9a7", 8527, 4, 9),
    ("6d535e9edb86d534", 9679, 6, 3),
    ("142caf3509596eb9", 9729, 5, 6),
)
"""First 16 hexadecimal digits of the SHA-256 of the pixels, index in the published file, given label, and the label
that the annotators, or failing that the authors' model, chose instead."""


def doubted(images: Any, labels: np.ndarray) -> np.ndarray | None:
    """Return a mask of the images with an unconfirmed label, bool `[N]`; None if this is not MNIST's test set.

    Args:
        images: uint8 `[N, H, W, C]`, in any order.
        labels: int32 `[N]`.
    """
    if images.shape != (10_000, 28, 28, 1):
        return None
    pixels = np.ascontiguousarray(images)
    if canonical(ImageSet(pixels, labels.astype(np.int32)))[1].hex() != MNIST_TEST:
        return None
    digests = {digest for digest, *_ in DOUBTED}
    return np.array([hashlib.sha256(image.tobytes()).hexdigest()[:16] in digests for image in pixels])
