"""Pictures whose ink need not be located: those already framed, and those for models of other subjects."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage


def as_framed(picture: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray | None:
    """Return a picture that is already framed like MNIST's, as light on dark; None if it is not.

    It must have the model's size, be gray on an even background, and have ink as large and as centred as MNIST's.

    Args:
        picture: uint8 `[H, W]` or `[H, W, 3]`.
        shape: Height, width and channels of the model's images.
    """
    if picture.shape[:2] != shape[:2]:
        return None
    channels = picture.reshape(*picture.shape[:2], -1)
    if np.ptp(channels.astype(int), axis=2).max() > 8:
        return None
    gray = channels[..., 0]
    ring = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    light = 255 - gray if ring.mean() > 127.5 else gray
    return light[..., np.newaxis] if _is_framed(light) else None


def _is_framed(light: np.ndarray) -> bool:
    size = len(light)
    inked = light > 64
    if (light < 24).mean() < 0.4 or not inked.any():
        return False
    rows, columns = np.nonzero(inked.any(axis=1))[0], np.nonzero(inked.any(axis=0))[0]
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    off = np.abs(np.array(ndimage.center_of_mass(light)) - size / 2).max()
    return bool(16 / 28 * size <= longest <= 21 / 28 * size and off <= 1.2)


def scaled(picture: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return a picture scaled to the model's size; a gray one with a bright border is inverted.

    Args:
        picture: uint8 `[H, W]` or `[H, W, 3]`.
        shape: Height, width and channels of the model's images.
    """
    height, width, channels = shape
    image = Image.fromarray(picture).convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BOX)
    pixels = np.array(image, np.uint8).reshape(shape)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return 255 - pixels if channels == 1 and border.mean() > 127.5 else pixels
