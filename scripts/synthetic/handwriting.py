"""Synthetic ink: enlarged MNIST digits, digits drawn with a pen, letters, scribbles, lines of digits.

Ink is float32 `[H, W]` in [0, 1], 1 where the pen has been; everything is a function of the random generator.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from trainer.errors import InkwellError

SIDE = 200
"""Height of enlarged and drawn digits, in pixels."""

# Pen paths in a box of height 1 (x to the right, y down): ways to write each digit, as strokes of points.
# A stroke whose first number is negative consists of straight lines; the others are curves.
PEN = {
    0: [[[0.5, 0, 0.2, 0.12, 0.08, 0.5, 0.22, 0.9, 0.45, 1, 0.68, 0.85, 0.75, 0.45, 0.65, 0.1, 0.47, 0.01]]],
    1: [[[0.3, 0, 0.3, 0.5, 0.3, 1]], [[-1, 0.2, 0.15, 0.35, 0, 0.35, 1]]],
    2: [
        [[0.1, 0.25, 0.25, 0.03, 0.5, 0.02, 0.62, 0.22, 0.5, 0.5, 0.25, 0.78, 0.05, 1], [0.05, 1, 0.35, 0.98, 0.7, 1]],
        [[0.1, 0.2, 0.35, 0, 0.6, 0.2, 0.45, 0.6, 0.15, 0.95, 0.05, 0.85, 0.2, 0.8, 0.45, 0.97, 0.7, 0.92]],
    ],
    3: [
        [[0.08, 0.1, 0.35, 0, 0.6, 0.18, 0.5, 0.4, 0.28, 0.48], [0.28, 0.48, 0.6, 0.56, 0.65, 0.8, 0.4, 1, 0.05, 0.9]],
        [[-1, 0.08, 0, 0.6, 0, 0.3, 0.4], [0.3, 0.4, 0.6, 0.52, 0.63, 0.8, 0.4, 1, 0.05, 0.92]],
    ],
    4: [
        [[-1, 0.35, 0, 0.05, 0.6, 0.7, 0.6], [0.52, 0.3, 0.51, 0.65, 0.5, 1]],
        [[0.08, 0, 0.05, 0.3, 0.15, 0.5, 0.4, 0.52, 0.6, 0.47], [0.6, 0, 0.59, 0.5, 0.58, 1]],
        [[-1, 0.55, 1, 0.55, 0, 0.05, 0.65, 0.72, 0.65]],
    ],
    5: [
        [[-1, 0.62, 0, 0.18, 0, 0.14, 0.43], [0.14, 0.43, 0.4, 0.35, 0.66, 0.55, 0.6, 0.85, 0.35, 1, 0.05, 0.92]],
        [
            [-1, 0.16, 0.02, 0.12, 0.42],
            [0.12, 0.42, 0.4, 0.36, 0.62, 0.6, 0.5, 0.92, 0.05, 0.96],
            [-1, 0.16, 0, 0.65, 0],
        ],
    ],
    6: [
        [[0.5, 0, 0.2, 0.3, 0.06, 0.7, 0.3, 1, 0.58, 0.85, 0.55, 0.6, 0.3, 0.55, 0.09, 0.75]],
        [[0.3, 0, 0.12, 0.4, 0.1, 0.8, 0.32, 1, 0.56, 0.8, 0.4, 0.58, 0.12, 0.75]],
    ],
    7: [
        [[-1, 0.05, 0.02, 0.65, 0.02, 0.28, 1]],
        [[0.05, 0.06, 0.3, 0.02, 0.66, 0.02], [0.66, 0.02, 0.45, 0.4, 0.3, 1], [-1, 0.22, 0.5, 0.6, 0.48]],
        [[-1, 0.05, 0.12, 0.06, 0, 0.62, 0], [0.62, 0, 0.42, 0.45, 0.32, 1]],
    ],
    8: [
        [[0.55, 0.1, 0.3, 0, 0.12, 0.2, 0.35, 0.45, 0.62, 0.75, 0.38, 1, 0.1, 0.8, 0.35, 0.48, 0.6, 0.2, 0.5, 0.06]],
    ],
    9: [
        [[0.58, 0.18, 0.35, 0, 0.1, 0.2, 0.2, 0.45, 0.45, 0.42, 0.58, 0.18], [0.58, 0.18, 0.55, 0.6, 0.48, 1]],
        [[0.6, 0.15, 0.3, 0.02, 0.1, 0.3, 0.35, 0.5, 0.6, 0.2], [0.6, 0.2, 0.58, 0.7, 0.4, 1, 0.1, 0.92]],
    ],
}
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "cmr10", "cmtt10", "STIXGeneral")
"""Fonts of the photographed letters; they come with Matplotlib."""

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@cache
def mnist_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images of digits not used for training, uint8 `[N, 28, 28]`, and their labels.

    They are MNIST's test images if `INKWELL_MNIST` names their folder, else the test images of `mnist5k`, which are
    among the training images of a model trained on all of MNIST.
    """
    from trainer.data import load

    part = load(os.environ.get("INKWELL_MNIST") or "mnist5k", Path("data")).test
    return np.asarray(part.images)[..., 0], np.asarray(part.labels)


def enlarged(image: np.ndarray, pen: float) -> np.ndarray:
    """Return an MNIST image as ink of `SIDE` rows, written with a thicker (`pen` > 0) or thinner pen.

    Args:
        image: uint8 `[28, 28]`.
        pen: Change of the stroke width in pixels of the MNIST image; thinner strokes keep their centre line.
    """
    scale = SIDE / 20
    smooth = ndimage.gaussian_filter(ndimage.zoom(image.astype(np.float32) / 255, scale, order=1), scale * 0.35)
    mask = smooth > 0.45
    if pen > 0:
        mask = ndimage.distance_transform_edt(~mask) < pen * scale / 2
    elif pen < 0:
        from skimage.morphology import skeletonize

        inside = ndimage.distance_transform_edt(mask)
        width = max(0.8, 2.6 + pen) * scale / 2
        mask = (inside > -pen * scale / 2) | (ndimage.distance_transform_edt(~skeletonize(mask)) < width)
        mask &= smooth > 0.45
    return cut(ndimage.gaussian_filter(mask.astype(np.float32), 1.0))


def cut(ink: np.ndarray) -> np.ndarray:
    """Return ink without the empty rows and columns around it."""
    rows, columns = np.nonzero(ink.max(axis=1) > 0.1)[0], np.nonzero(ink.max(axis=0) > 0.1)[0]
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def drawn(digit: int, random: np.random.Generator, width: float | None = None) -> np.ndarray:
    """Return a digit as written with a pen: in one of several ways, with wobble, slant and varying width.

    Args:
        digit: 0 to 9.
        random: The random generator.
        width: Pen width as a fraction of the height; 0.03 (a pencil) to 0.17 (a marker) if None.
    """
    width = width or float(np.exp(random.uniform(np.log(0.03), np.log(0.17))))
    ways = PEN[digit]
    return stroked([_points(stroke, random) for stroke in ways[random.integers(len(ways))]], width, random)


def _points(stroke: list[float], random: np.random.Generator) -> np.ndarray:
    straight = stroke[0] < 0
    points = np.array(stroke[1:] if straight else stroke).reshape(-1, 2)
    points = points + random.normal(0, 0.018, points.shape)
    return _along(points, straight)


def _along(points: np.ndarray, straight: bool = False) -> np.ndarray:
    """Return closely spaced points along the lines, or the curve, through some points, `[N, 2]`."""
    from scipy.interpolate import make_interp_spline

    at = np.r_[0, np.cumsum(np.maximum(np.hypot(*np.diff(points, axis=0).T), 1e-3))]
    dense = np.linspace(0, at[-1], 60 + round(150 * at[-1]))
    return make_interp_spline(at, points, k=1 if straight or len(points) < 3 else min(3, len(points) - 1))(dense)


def stroked(strokes: list[np.ndarray], width: float, random: np.random.Generator) -> np.ndarray:
    """Return ink of `SIDE` rows for strokes in a box of height 1, with random slant, stretch and pressure."""
    slant, stretch = random.uniform(-0.12, 0.3), random.uniform(0.8, 1.15)
    image = Image.new("L", (3 * SIDE, 2 * SIDE))
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        x = (stroke[:, 0] - slant * (stroke[:, 1] - 0.5)) * stretch * SIDE + SIDE
        y = stroke[:, 1] * SIDE + SIDE / 2
        pressure = 1 + 0.2 * np.sin(np.linspace(0, random.uniform(1, 6), len(x)) + random.uniform(0, 6))
        for u, v, radius in zip(x, y, np.maximum(pressure * width * SIDE / 2, 1.0), strict=True):
            pen.ellipse((u - radius, v - radius, u + radius, v + radius), fill=255)
    return cut(ndimage.gaussian_filter(np.asarray(image, np.float32) / 255, 0.8))


def some_digit(digit: int | None, random: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return the ink of a digit and its label: from MNIST three times out of four, else drawn; pens of any width."""
    if random.random() < 0.75:
        images, labels = mnist_digits()
        index = random.choice(np.flatnonzero(labels == digit)) if digit is not None else random.integers(len(images))
        pen = float(random.choice([0, 0, random.uniform(-1.6, 0), random.uniform(0, 2)]))
        return enlarged(images[index], pen), int(labels[index])
    digit = int(random.integers(10)) if digit is None else digit
    return drawn(digit, random), digit


def letter(random: np.random.Generator, fonts: Sequence[str] = FONTS, letters: str = LETTERS) -> tuple[np.ndarray, str]:
    """Return the ink of a slightly tilted letter in one of several fonts, and the letter; look-alikes are included."""
    try:
        import matplotlib
    except ImportError as error:
        missing = 'its fonts come with Matplotlib, which is missing; python -m pip install -e ".[plots]"'
        raise InkwellError(f"cannot draw letters: {missing}") from error
    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{random.choice(fonts)}.ttf"
    character = str(random.choice(list(letters)))
    image = Image.new("L", (3 * SIDE, 3 * SIDE))
    ImageDraw.Draw(image).text((SIDE, SIDE), character, 255, ImageFont.truetype(font, SIDE))
    turned = image.rotate(random.uniform(-8, 8), Image.Resampling.BICUBIC)
    return cut(np.asarray(turned, np.float32) / 255), character


def scribble(random: np.random.Generator) -> np.ndarray:
    """Return the ink of a scribble: a zigzag, a tangle, hatching or a spiral."""
    kind = random.integers(4)
    if kind == 0:
        n = int(random.integers(7, 16))
        points = np.c_[np.linspace(0, 1.2, n), np.arange(n) % 2 * 0.8 + random.normal(0, 0.08, n)]
        strokes = [_along(points)]
    elif kind == 1:
        tangle = np.cumsum(random.normal(0, 0.35, (int(random.integers(12, 25)), 2)), axis=0)
        strokes = [_along((tangle - tangle.min(axis=0)) / np.ptp(tangle, axis=0))]
    elif kind == 2:
        starts = np.linspace(0, 1, int(random.integers(4, 9)))
        lean = random.uniform(-0.4, 0.4)
        strokes = [_along(np.array([[x, 0.0], [x + lean, 1.0]]) + random.normal(0, 0.04, (2, 2))) for x in starts]
    else:
        turn = np.linspace(0, random.uniform(14, 26), 1200)
        radius = np.linspace(0.05, 0.5, 1200) * random.uniform(0.9, 1.1)
        strokes = [np.c_[0.5 + radius * np.cos(turn), 0.5 + radius * np.sin(turn)]]
    return stroked(strokes, random.uniform(0.03, 0.1), random)


def line_of_digits(random: np.random.Generator, touching: float = 0.06) -> tuple[np.ndarray, str]:
    """Return the ink of 3 to 10 digits side by side, and the number.

    They share a pen; spacing, size and height above the baseline vary, the baseline is slanted by up to 4 degrees, and
    a fraction `touching` of neighbours touch.
    """
    count = int(random.integers(3, 11))
    pen, space = float(random.uniform(-1.0, 0.8)), random.uniform(0.12, 0.6) * SIDE
    own = random.random() < 0.8
    slope = np.tan(np.radians(random.uniform(-4, 4)))
    canvas = np.zeros((5 * SIDE, (count + 2) * 2 * SIDE), np.float32)
    images, labels = mnist_digits()
    text, x = "", float(SIDE)
    for _ in range(count):
        index = int(random.integers(len(images)))
        digit = int(labels[index])
        ink = enlarged(images[index], pen) if own else drawn(digit, random, 0.09 + 0.03 * pen)
        ink = ndimage.zoom(ink, random.uniform(0.85, 1.12), order=1)
        y = round(2.5 * SIDE + slope * (x - SIDE) - ink.shape[0] / 2 + random.normal(0, 0.04) * SIDE)
        if text and random.random() < touching:
            x = _touch(canvas, ink, y, x)
        part = canvas[y : y + ink.shape[0], round(x) : round(x) + ink.shape[1]]
        np.maximum(part, ink, out=part)
        text += str(digit)
        x += ink.shape[1] + space * random.uniform(0.6, 1.5)
    return cut(canvas), text


def _touch(canvas: np.ndarray, ink: np.ndarray, y: int, x: float) -> float:
    """Return the position to which ink can be moved left until it just touches the canvas's ink."""
    inked = canvas[y : y + ink.shape[0]] > 0.5
    for left in range(round(x), 0, -1):
        if (inked[:, left : left + ink.shape[1]] & (ink > 0.5)).sum() > 3:
            return left
    return x


def touching(a: np.ndarray, b: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two digits, each alone on paper of the same size, the second moved left until it touches the first."""
    height = max(len(a), len(b)) + 30
    first, second = (np.zeros((height, a.shape[1] + b.shape[1]), np.float32) for _ in range(2))
    top, below = random.integers(height - len(a)), random.integers(height - len(b))
    first[top : top + len(a), : a.shape[1]] = a
    second[below : below + len(b), a.shape[1] :] = b
    while ((first > 0.5) & (second > 0.5)).sum() < 4 and not second[:, 0].any():
        second = np.roll(second, -1, axis=1)
    return first, second


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Jaccard index of two masks (Jaccard 1901)."""
    return float((a & b).sum() / (a | b).sum())
