"""Opens pictures from outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainer.data.sources.image import read_image

FAINTEST = 8
"""A picture whose gray levels lie closer together than this shows nothing."""


def open_picture(source: Path | bytes, name: str = "picture") -> np.ndarray:
    """Decode a picture, upright as its EXIF orientation says.

    Transparent pixels are white; where that leaves nothing to see, as of white ink, they are black.

    Args:
        source: A PNG, JPEG, BMP, GIF or WebP file, or what is in one; at most 10 MB and 25 million pixels.
        name: What errors call a picture that is no file.

    Returns:
        uint8 `[H, W, 3]`, RGB.

    Raises:
        DataError: If it cannot be decoded or is too large; one line.
    """
    called = str(source) if isinstance(source, Path) else name
    picture = read_image(source, 3, called)
    if np.ptp(picture) < FAINTEST:
        return read_image(source, 3, called, ground="black")
    return picture
