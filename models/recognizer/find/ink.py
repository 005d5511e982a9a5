"""Computes how much ink each pixel of a picture has, whatever the paper, light, ruling and pen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from models.recognizer.find.ruling import without_lines

PIXELS = 400_000
"""Maximum pixels of a picture for processing."""

COARSE = 30_000
"""Pixels of the picture in which the stroke width is estimated."""

FAINTEST = 0.1
"""Minimum fraction of the light that ink absorbs; anything less is paper."""


@dataclass(frozen=True)
class Ink:
    """The ink in a picture.

    Attributes:
        amount: float32 `[h, w]`, 0 on paper, about 1 where there is ink, with soft edges.
        scale: Pixels of the picture per pixel of `amount`.
    """

    amount: np.ndarray
    scale: float

    @property
    def mask(self) -> np.ndarray:
        """True where there is ink, bool `[h, w]`."""
        return self.amount > 0.5


def find_ink(picture: np.ndarray, pixels: int = PIXELS) -> Ink:
    """Return the ink in a picture.

    Args:
        picture: uint8 `[H, W, 3]` or `[H, W]`.
        pixels: Maximum number of pixels; larger pictures are reduced.
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
    if strokes.evidence <= 0:  # at most a shadow on blank paper
        return Ink(np.zeros(values.shape[:2], np.float32), scale)
    return Ink(_scaled(_along_the_ink(_taken(values, strokes.window, not inverted)), strokes.least), scale)


def _even_paper(picture: np.ndarray) -> int | None:
    """Return the gray level of a drawing's paper, if it is uniform and reaches the border; None for other pictures."""
    gray = picture if picture.ndim == 2 else picture[..., 0]
    paper = int(gray[0, 0])
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    even = (border == paper).all() and (gray == paper).mean() > 0.5
    return paper if even and (picture.ndim == 2 or (picture == gray[..., np.newaxis]).all()) else None


def _on_even_paper(light: np.ndarray, paper: float) -> np.ndarray:
    """Return how much ink each pixel of a drawing has: its difference from the known paper."""
    amount = np.abs(light[..., 0] - paper)
    strongest = float(amount.max())
    return amount / strongest if strongest > FAINTEST else np.zeros_like(amount)


def _reduced(picture: np.ndarray, scale: float) -> np.ndarray:
    """Return a picture reduced by area averaging, float32 `[h, w, 1 or 3]` in [0, 1]."""
    image = Image.fromarray(picture)
    if scale > 1:
        size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
        image = image.resize(size, Image.Resampling.BOX)
    pixels = np.asarray(image, np.float32) / 255
    return pixels.reshape(*pixels.shape[:2], -1)


def _taken(values: np.ndarray, window: int, relative: bool) -> np.ndarray:
    """Return the light that is missing from the paper in each channel, `[h, w, C]`; as a fraction of it if `relative`.

    The paper is estimated by a closing, which fills dark strokes narrower than its window (Serra 1982): unlike an
    average, it follows the sharp edge of a shadow. Paper is added around the picture, for digits that are cropped
    tightly.
    """
    pad = window // 2 + 1
    padded = np.pad(_with_paper_around(values), ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    paper = ndimage.grey_closing(padded, size=(window, window, 1), mode="nearest")
    paper = paper[pad + 1 : -pad - 1, pad + 1 : -pad - 1]
    return (paper - values) / np.maximum(paper, _darkest_paper(paper)) if relative else paper - values


def _darkest_paper(light: np.ndarray) -> float:
    """Return the darkest value that counts as paper; fractions of less light would be fractions of noise."""
    return max(0.25, 0.5 * float(light.max()))


@dataclass(frozen=True)
class _Strokes:
    """Parameters that separate ink from paper.

    Attributes:
        window: Pixels wide enough to contain a stroke.
        least: Minimum strength of ink.
        evidence: Edges that support it, minus those that contradict it.
    """

    window: int
    least: float
    evidence: float


def _strokes(values: np.ndarray, relative: bool) -> _Strokes:
    """Return the window and threshold that show the most edges where the picture has some, and the fewest elsewhere.

    Too small a window leaves holes in thick strokes; too large a window, like too low a threshold, ends inside a
    shadow. Paper mistaken for ink has edges only inside its loops, and most of a picture is paper.
    """
    step = max(1, round(float(np.sqrt(values.shape[0] * values.shape[1] / COARSE))))
    height, width = (n // step * step for n in values.shape[:2])
    coarse = values[:height, :width].reshape(height // step, step, width // step, step, -1).mean(axis=(1, 3))
    coarse = ndimage.gaussian_filter(coarse, (0.8, 0.8, 0))  # the grain of paper and pencil has edges too
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
    """Return a picture extended by a pixel on each side, as bright as most of the nearby border."""
    around = np.pad(values, ((1, 1), (1, 1), (0, 0)), mode="edge")
    for border in (around[0], around[-1], around[:, 0], around[:, -1]):
        near = max(3, len(border) // 2)
        border[:] = np.maximum(border, ndimage.percentile_filter(border, 70, size=(near, 1), mode="nearest"))
    return around


def _along_the_ink(taken: np.ndarray) -> np.ndarray:
    """Return the ink per pixel, `[h, w]`: the component along the ink's colour, minus the component across it."""
    strength = np.sqrt((taken**2).mean(axis=2))
    if taken.shape[2] == 1:
        return np.maximum(taken[..., 0], 0)
    strongest = taken[strength >= np.quantile(strength, 0.98)].mean(axis=0)
    way = strongest / max(float(np.linalg.norm(strongest)), 1e-6)
    along = taken @ way
    beside = np.linalg.norm(taken - along[..., np.newaxis] * way, axis=2)
    return np.maximum(along - 0.7 * beside, 0) / np.sqrt(3)


def _scaled(amount: np.ndarray, least: float) -> np.ndarray:
    """Return ink scaled so that 0.5 is half-way between paper and pen; all 0 if there is too little."""
    paper = float(np.quantile(amount, 0.3))
    grain = 2 * float(np.median(np.abs(amount - ndimage.uniform_filter(amount, 3))))
    cut = max(least, paper + max(FAINTEST, 4 * grain))
    if not (amount > cut).any():
        return np.zeros_like(amount, np.float32)
    pen = float(np.median(amount[amount > cut]))
    half = max(cut, (paper + pen) / 2)
    return np.clip(0.5 + (amount - half) / (2 * max(pen - half, (half - paper) / 2)), 0, 1.5).astype(np.float32)
