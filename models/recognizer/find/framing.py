"""Frames a digit like MNIST's: 20 x 20 with its aspect ratio kept, antialiased, centred by its centre of mass.

The steps are those of LeCun et al. 1998, section III A; before them, the stroke width is adjusted to MNIST's.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

FINE = 8
"""Oversampling factor per side at which strokes are thickened or thinned."""

THIN, THICK = 2.2, 4.2
"""Stroke widths in pixels of MNIST's test images: 5th and 95th percentile."""


def frame(ink: np.ndarray, size: int = 28) -> np.ndarray:
    """Return a digit in the form that the model expects.

    Args:
        ink: float `[h, w]`, the digit alone, above 0.5 where there is ink; at least one pixel is.
        size: Height and width of the model's images.

    Returns:
        uint8 `[size, size]`, light on dark.
    """
    box = size * 20 // 28
    mask = normalised(_enlarged(ink, box * FINE), box)
    return _centred(_reduced(mask, box), size)


def tight(ink: np.ndarray) -> np.ndarray:
    """Return ink without the surrounding rows and columns that contain none."""
    rows, columns = np.nonzero((ink > 0.5).any(axis=1))[0], np.nonzero((ink > 0.5).any(axis=0))[0]
    return ink[max(0, rows[0] - 1) : rows[-1] + 2, max(0, columns[0] - 1) : columns[-1] + 2]


def _enlarged(ink: np.ndarray, longest: int) -> np.ndarray:
    """Return where there is ink, bool, scaled so that the longer side has `longest` pixels."""
    ink = tight(ink)
    scale = longest / max(ink.shape)
    if scale < 1:
        ink = ndimage.gaussian_filter(ink, 0.4 / scale)
    size = (max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale)))
    fine = np.asarray(Image.fromarray(ink.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
    return ndimage.gaussian_filter(fine, FINE / 6) > 0.5


def stroke_width(mask: np.ndarray) -> float:
    """Return the mean stroke width in pixels: four times the mean distance of ink from the edge."""
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))
    return 4 * float(inside[inside > 0].mean()) if mask.any() else 0.0


def normalised(mask: np.ndarray, box: int) -> np.ndarray:
    """Return strokes as wide as MNIST's in `box` pixels: thinner ones thickened, thicker ones thinned."""
    width = stroke_width(mask)
    fine = FINE * box / 20
    if width < THIN * fine:
        grow = (THIN * fine - width) / 2
        mask = np.pad(mask, round(grow) + 1)
        return ndimage.distance_transform_edt(~mask) <= grow
    if width > THICK * fine:
        return thinned(mask, (width - THICK * fine) / 2, THIN * fine / 2)
    return mask


def thinned(mask: np.ndarray, shrink: float, radius: float) -> np.ndarray:
    """Return strokes reduced by `shrink` pixels on each side, but not below `radius`."""
    from skimage.morphology import skeletonize

    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    middle = skeletonize(mask) & (inside > shrink / 2)
    return (inside > shrink) | ((ndimage.distance_transform_edt(~middle) <= radius) & (inside > shrink / 2))


def _reduced(mask: np.ndarray, box: int) -> np.ndarray:
    """Return a mask with its longer side scaled to `box` pixels, uint8; each pixel is its fraction of ink."""
    mask = tight(mask.astype(np.float32))
    scale = box / max(mask.shape)
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    return np.asarray(Image.fromarray(np.uint8(255 * mask)).resize(size, Image.Resampling.HAMMING))


def _centred(digit: np.ndarray, size: int) -> np.ndarray:
    """Return a digit on an empty background, its centre of mass as central as whole pixels allow."""
    framed = np.zeros((size, size), np.uint8)
    y, x = ndimage.center_of_mass(digit)
    top = int(np.clip(round(size / 2 - y), 0, size - digit.shape[0]))
    left = int(np.clip(round(size / 2 - x), 0, size - digit.shape[1]))
    framed[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return framed
