"""EMNIST as people write: upright images, and classes by their characters."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

import numpy as np

DISTINCT = "abdefghnqrt"
"""The lower-case letters that are written unlike their capitals, which share a class with the others."""

CHARACTERS: Mapping[str, str] = {
    "byclass": string.digits + string.ascii_uppercase + string.ascii_lowercase,
    "bymerge": string.digits + string.ascii_uppercase + DISTINCT,
    "balanced": string.digits + string.ascii_uppercase + DISTINCT,
    "letters": "-" + string.ascii_uppercase,
    "digits": string.digits,
    "mnist": string.digits,
}
"""For each configuration of TFDS the character of each label, which its files number only.

Cohen et al. 2017, "EMNIST: an extension of MNIST to handwritten letters", arXiv 1702.05373, section II; labels of
`letters` begin at 1, and both cases of a letter are one class.
"""


def named(configuration: str, declared: Sequence[str]) -> tuple[str, ...]:
    """Return the class names of a configuration: characters, where it has any for the `declared` classes."""
    characters = CHARACTERS.get(configuration, "")
    return (*characters, *declared[len(characters) :])


def upright(images: np.ndarray) -> np.ndarray:
    """Return images `[N, H, W, C]` as people would see them; the files have rows and columns changed over."""
    return images.swapaxes(1, 2)
