"""PNG files that are small enough for a repository and a slow network."""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path

from PIL import Image

from trainer.errors import InkwellError
from trainer.text import in_bytes

LARGEST = 150_000
"""Bytes of a picture."""
SCALES = (1.0, 0.75, 0.5)
COLOURS = (256, 64, 32)
"""Sizes of the palette to try, at each scale."""


def write(picture: bytes, path: Path) -> None:
    """Write a PNG picture, with fewer colours or smaller if it takes more bytes than `LARGEST`.

    Raises:
        InkwellError: If it is too large at half its width and height.
    """
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for scale, colours in product(SCALES, COLOURS):
        shown = image if scale == 1 else image.resize((round(scale * image.width), round(scale * image.height)))
        smaller = io.BytesIO()
        # A median cut turns small dots grey, an octree merges two shades of white; this keeps both.
        few = shown.quantize(colours, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        few.save(smaller, "PNG", optimize=True)
        if smaller.tell() < LARGEST:
            path.write_bytes(smaller.getvalue())
            return
    raise InkwellError(f"cannot write {path}: larger than {in_bytes(LARGEST)} at half size; take a picture of less")
