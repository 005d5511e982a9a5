"""Drawings on the page's paper: their ink is known, and need not be looked for as on a photo, which takes a second."""

from __future__ import annotations

import numpy as np


def framed(picture: np.ndarray, size: int) -> tuple[np.ndarray, int] | None:
    """Return a drawing as a recognizer frames it, and how many digits it may be; None if the picture is no drawing.

    A drawing is black on even white, up to its border.

    Args:
        picture: uint8 `[H, W, 3]`.
        size: Height and width of the model's images.

    Returns:
        The digit that it most likely is, uint8 `[size, size, 1]`, light on dark; and the number of pieces of ink that
        are large enough to be digits, 1 or more.
    """
    from models.recognizer.framing import frame
    from models.recognizer.ink import Ink
    from models.recognizer.pieces import ink_of, one_digit

    gray = picture[..., 0]
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    even = (border == 255).all() and (gray == 255).mean() > 0.5 and gray.min() == 0
    if not even or (picture != gray[..., np.newaxis]).any():
        return None
    ink = Ink((255 - gray.astype(np.float32)) / 255, 1.0)
    piece, others, numbers = one_digit(ink)
    if piece is None:
        return None
    return frame(ink_of(ink, numbers, piece)[0], size)[..., np.newaxis], 1 + len(others)
