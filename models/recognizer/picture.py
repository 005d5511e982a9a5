"""Opens untrusted pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainer.data.sources.image import read_image

FAINTEST = 8
"""Minimum range of gray levels; a picture below it shows nothing."""


def open_picture(source: Path | bytes, name: str = "picture") -> np.ndarray:
    """Decode a picture, rotated according to its EXIF orientation.

    Transparent pixels become white, or black if the picture would be blank otherwise, as with white ink.

    Args:
        source: A PNG, JPEG, BMP, GIF or WebP file or its content; at most 10 MB and 25 million pixels.
        name: Name in error messages for a picture that is not a file.

    Returns:
        uint8 `[H, W, 3]`, RGB.

    Raises:
        DataError: If it cannot be decoded or is too large, in one line.
    """
    called = str(source) if isinstance(source, Path) else name
    picture = read_image(source, 3, called)
    if np.ptp(picture) < FAINTEST:
        return read_image(source, 3, called, ground="black")
    return picture
