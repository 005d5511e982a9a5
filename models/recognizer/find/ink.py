"""From a picture to how much ink each of its pixels holds, whatever the paper, the light, the lines and the pen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from models.recognizer.find.ruling import without_lines

PIXELS = 400_000
"""Pictures are worked on with at most so many pixels."""

COARSE = 30_000
"""Pixels of the picture in which the width of strokes is looked for."""

FAINTEST = 0.1
"""Ink takes away at least this part of the light; less is paper."""


@dataclass(frozen=True)
class Ink:
    """Where the ink is.

    Attributes:
        amount: float32 `[h, w]`, 0 on paper, around 1 where the pen has been, soft at the edges.
        scale: Pixels of the picture to one of `amount`.
    """

    amount: np.ndarray
    scale: float

    @property
    def mask(self) -> np.ndarray:
        """Where there is ink, bool `[h, w]`."""
        return self.amount > 0.5


def find_ink(picture: np.ndarray, pixels: int = PIXELS) -> Ink:
    """Return the ink in a picture.

    Args:
        picture: uint8 `[H, W, 3]` or `[H, W]`.
        pixels: Larger pictures are reduced to so many.
    """
    scale = max(1.0, float(np.sqrt(picture.shape[0] * picture.shape[1] / pixels)))
    light = _reduced(picture, scale)
    if (paper := _even_paper(picture)) is not None:
        return Ink(_on_even_paper(light, paper / 255), scale)
    light = ndimage.gaussian_filter(light, (*[np.sqrt(light.size) / 2000] * 2, 0))
    gray = light.mean(axis=2, keepdims=True)
    dark, bright = _strokes(gray, relative=False), _strokes(1 - gray, relative=False)
    inverted = bright.evidence > dark.evidence
    values = without_lines(1 - light if inverted else light)
    strokes = _strokes(values, relative=not inverted)
    if strokes.evidence <= 0:  # a shadow on blank paper, at most
        return Ink(np.zeros(values.shape[:2], np.float32), scale)
    return Ink(_scaled(_along_the_ink(_taken(values, strokes.window, not inverted)), strokes.least), scale)


def _even_paper(picture: np.ndarray) -> int | None:
    """Return the gray level of the paper of a drawing, the same up to the border; None of any other picture."""
    gray = picture if picture.ndim == 2 else picture[..., 0]
    paper = int(gray[0, 0])
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    even = (border == paper).all() and (gray == paper).mean() > 0.5
    return paper if even and (picture.ndim == 2 or (picture == gray[..., np.newaxis]).all()) else None


def _on_even_paper(light: np.ndarray, paper: float) -> np.ndarray:
    """Return how much ink each pixel of a drawing holds: what differs from its paper, which need not be looked for."""
    amount = np.abs(light[..., 0] - paper)
    strongest = float(amount.max())
    return amount / strongest if strongest > FAINTEST else np.zeros_like(amount)


def _reduced(picture: np.ndarray, scale: float) -> np.ndarray:
    """Return a picture by area averages, float32 `[h, w, 1 or 3]` in [0, 1]."""
    image = Image.fromarray(picture)
    if scale > 1:
        size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
        image = image.resize(size, Image.Resampling.BOX)
    pixels = np.asarray(image, np.float32) / 255
    return pixels.reshape(*pixels.shape[:2], -1)


def _taken(values: np.ndarray, window: int, relative: bool) -> np.ndarray:
    """Return how much of the paper's light is missing in each channel, `[h, w, C]`; as a part of it if `relative`.

    The paper is what a closing leaves, dark things narrower than its window filled (Serra 1982): unlike an average it
    follows the sharp edge of a shadow. Around the picture, paper is added, so that digits cut tight have some.
    """
    pad = window // 2 + 1
    padded = np.pad(_with_paper_around(values), ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    paper = ndimage.grey_closing(padded, size=(window, window, 1), mode="nearest")
    paper = paper[pad + 1 : -pad - 1, pad + 1 : -pad - 1]
    return (paper - values) / np.maximum(paper, _darkest_paper(paper)) if relative else paper - values


def _darkest_paper(light: np.ndarray) -> float:
    """Return how dark paper is at most; parts of less light would be parts of noise."""
    return max(0.25, 0.5 * float(light.max()))


@dataclass(frozen=True)
class _Strokes:
    """How ink is told from paper.

    Attributes:
        window: Pixels that hold a stroke's width.
        least: How strong ink is at least.
        evidence: How much edges speak for it, less what speaks against it.
    """

    window: int
    least: float
    evidence: float


def _strokes(values: np.ndarray, relative: bool) -> _Strokes:
    """Return the window and threshold that show most edges where the picture has some, and fewest where it has none.

    Too small a window leaves holes in thick strokes; too wide a one ends somewhere in a shadow, and so does too low a
    threshold. Ink that is taken for paper has edges inside its loops only, and most of a picture is paper.
    """
    step = max(1, round(float(np.sqrt(values.shape[0] * values.shape[1] / COARSE))))
    height, width = (n // step * step for n in values.shape[:2])
    coarse = values[:height, :width].reshape(height // step, step, width // step, step, -1).mean(axis=(1, 3))
    coarse = ndimage.gaussian_filter(coarse, (0.8, 0.8, 0))  # the grain of paper and pencils has edges too
    gray = coarse.mean(axis=2)
    jumps = ndimage.maximum_filter(gray, 5) - ndimage.minimum_filter(gray, 5)
    if relative:
        jumps /= np.maximum(ndimage.maximum_filter(gray, 5), _darkest_paper(gray))
    windows = sorted({max(3, round(0.6 * min(gray.shape) * 0.65**k)) for k in range(6)})
    strengths = [_along_the_ink(_taken(coarse, window, relative)) for window in windows]
    peak = max(float(np.quantile(strength, 0.998)) for strength in strengths)
    found = []
    for window, strength in zip(windows, strengths, strict=True):
        around = ndimage.maximum_filter(strength, 5)
        speaks = np.where(jumps > 0.6 * around, jumps, -2 * around)
        for part in (0.35, 0.5, 0.65):
            least = max(FAINTEST, part * peak)
            dark = strength > least
            edge = dark & ~ndimage.binary_erosion(dark, np.ones((3, 3)), border_value=1)
            found.append(_Strokes(step * window, least, float(speaks[edge].sum() * (1 - dark.mean()))))
    best = max(found, key=lambda strokes: strokes.evidence)
    good = [strokes for strokes in found if strokes.evidence >= best.evidence - 0.07 * abs(best.evidence)]
    return max(good, key=lambda strokes: (strokes.window, strokes.evidence))


def _with_paper_around(values: np.ndarray) -> np.ndarray:
    """Return a picture with a pixel more on each side, as bright as most of the border near it is."""
    around = np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge")
    for border in (around[0], around[-1], around[:, 0], around[:, -1]):
        near = max(3, len(border) // 2)
        border[:] = np.maximum(border, ndimage.percentile_filter(border, 70, size=(near, 1), mode="nearest"))
    return around


def _along_the_ink(taken: np.ndarray) -> np.ndarray:
    """Return one number a pixel, `[h, w]`: how far it goes the way of the ink's colour, less how far beside it."""
    strength = np.sqrt((taken**2).mean(axis=2))
    if taken.shape[2] == 1:
        return np.maximum(taken[..., 0], 0)
    strongest = taken[strength >= np.quantile(strength, 0.98)].mean(axis=0)
    way = strongest / max(float(np.linalg.norm(strongest)), 1e-6)
    along = taken @ way
    beside = np.linalg.norm(taken - along[..., np.newaxis] * way, axis=2)
    return np.maximum(along - 0.7 * beside, 0) / np.sqrt(3)


def _scaled(amount: np.ndarray, least: float) -> np.ndarray:
    """Return ink with 0.5 half-way between paper and pen; all 0 if there is too little."""
    paper = float(np.quantile(amount, 0.3))
    grain = 2 * float(np.median(np.abs(amount - ndimage.uniform_filter(amount, 3))))
    cut = max(least, paper + max(FAINTEST, 4 * grain))
    if not (amount > cut).any():
        return np.zeros_like(amount, np.float32)
    pen = float(np.median(amount[amount > cut]))
    half = max(cut, (paper + pen) / 2)
    return np.clip(0.5 + (amount - half) / (2 * max(pen - half, (half - paper) / 2)), 0, 1.5).astype(np.float32)
