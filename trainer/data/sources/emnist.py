"""Corrections to EMNIST: upright images, and classes named by their characters."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

import numpy as np

DISTINCT = "abdefghnqrt"
"""The lower-case letters with a separate class; the others share the class of their capital."""

CHARACTERS: Mapping[str, str] = {
    "byclass": string.digits + string.ascii_uppercase + string.ascii_lowercase,
    "bymerge": string.digits + string.ascii_uppercase + DISTINCT,
    "balanced": string.digits + string.ascii_uppercase + DISTINCT,
    "letters": "-" + string.ascii_uppercase,
    "digits": string.digits,
    "mnist": string.digits,
}
"""The character of each label by TFDS configuration; the files contain only numbers.

Cohen et al. 2017, "EMNIST: an extension of MNIST to handwritten letters", arXiv 1702.05373, section II; labels of
`letters` start at 1, and both cases of a letter are one class.
"""


def named(configuration: str, declared: Sequence[str]) -> tuple[str, ...]:
    """Return the class names of a configuration: characters where known, otherwise the `declared` names."""
    characters = CHARACTERS.get(configuration, "")
    return (*characters, *declared[len(characters) :])


def upright(images: np.ndarray) -> np.ndarray:
    """Return images `[N, H, W, C]` upright; the files store them transposed."""
    return images.swapaxes(1, 2)
