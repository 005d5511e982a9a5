"""Images as a strip of small pictures with captions."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from trainer.display.html import GRAY
from trainer.text import shortened

if TYPE_CHECKING:
    import numpy as np

SHOWN = 12
"""Images of a strip."""
SIDE = 96
"""Longest side of what is drawn in pixels; of larger images only every so manieth pixel is read."""


def strip(pictures: Iterable[tuple[np.ndarray, Any]]) -> Markup:
    """Return images side by side, each above its caption.

    Args:
        pictures: Pairs of an image, uint8 or float32 from 0 to 1 `[H, W, C]`, and its caption.
    """
    return Markup("<div>{}</div>").format(Markup("").join(_figure(image, caption) for image, caption in pictures))


def _figure(image: np.ndarray, caption: Any) -> Markup:
    said = shortened(caption, 24)
    look = "display:block;width:48px;margin:0 auto;image-rendering:pixelated;border-radius:3px"
    picture = Markup('<img src="{}" alt="{}" width="48" style="{}">').format(as_address(image), said, look)
    frame = '<div style="{}">{}<div style="color:{};font-size:12px">{}</div></div>'
    style = "display:inline-block;text-align:center;margin:0 8px 4px 0;vertical-align:top"
    return Markup(frame).format(style, picture, GRAY, said)


def as_address(image: np.ndarray) -> str:
    """Return an image as the address of a PNG file that it holds itself; a large image is thinned out."""
    import numpy as np
    from PIL import Image

    every = -(-max(image.shape[:2]) // SIDE)
    small = np.asarray(image[::every, ::every])
    if small.dtype != np.uint8:
        small = np.rint(255 * np.clip(np.nan_to_num(small), 0, 1)).astype(np.uint8)
    drawn = BytesIO()
    Image.fromarray(small[..., 0] if small.shape[-1] == 1 else small).save(drawn, "PNG")
    return f"data:image/png;base64,{b64encode(drawn.getvalue()).decode()}"


def evenly(count: int, wanted: int = SHOWN) -> list[int]:
    """Return up to `wanted` of the numbers below `count`, at even distances."""
    shown = min(count, wanted)
    return [k * (count - 1) // max(1, shown - 1) for k in range(shown)]
