"""Synthetic photos: ink composed onto paper as in pictures from cameras, scanners and drawing programs.

`photos` show single digits, `junk` anything else, `lines` numbers. A photo is the content of a file, so that decoding,
EXIF orientation and transparency are tested too. One random generator varies:

- size: 60 to 3000 pixels on the longer side, uniform in its logarithm;
- paper: white, cream, pink, blue, gray or brown, with grain and fibres; ruled, perhaps with a margin line, or squared;
- light: a gradient, a vignette, the soft or sharp edge of a shadow;
- ink: black, gray, blue, red, green, from pencils 1/30 of the digit's height thick to markers of a sixth; light on dark
  like chalk on a board or a screen, black on a transparent canvas;
- position: anywhere with any margin, or tightly cropped; rotated by up to 8 degrees; EXIF tells the camera's rotation;
- camera: blur, noise, JPEG of quality 35 to 95, or PNG, BMP or WebP.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from scripts.synthetic.handwriting import letter, line_of_digits, scribble, some_digit

PAPERS = ((250, 250, 248), (243, 236, 215), (250, 215, 220), (215, 228, 242), (205, 205, 205), (196, 164, 120))
INKS = ((25, 25, 30), (70, 70, 75), (25, 45, 150), (170, 25, 35), (20, 100, 50))
BOARDS = ((20, 22, 24), (30, 60, 45), (35, 40, 90), (0, 0, 0))
CHALKS = ((255, 255, 255), (235, 235, 215), (250, 225, 120), (200, 225, 250))
RULES = ((150, 185, 225), (190, 190, 195), (235, 160, 175), (130, 160, 150))
GROUNDS = {"paper": 0.3, "ruled": 0.15, "squared": 0.15, "shadow": 0.2, "board": 0.12, "canvas": 0.08}
"""Probability of each background."""

JUNK = ("blank", "noise", "letter", "scribble")
TURNED = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
"""Transposition of the stored pixels, by EXIF orientation."""


@dataclass(frozen=True)
class Photo:
    """A picture as the content of a file.

    Attributes:
        data: Content of the file.
        truth: What it shows: a digit, a number, or the kind of junk with its detail.
        made: How it was made, for tables of errors.
    """

    data: bytes
    truth: str
    made: str


def photos(count: int, seed: int = 0) -> list[Photo]:
    """Return photos of single digits, equally many of each."""
    return [_digit_photo(k % 10, np.random.default_rng([seed, 1, k])) for k in range(count)]


def junk(count: int, seed: int = 0) -> list[Photo]:
    """Return photos without a digit: equally many blank ones, noise, letters and scribbles."""
    return [_junk_photo(JUNK[k % len(JUNK)], np.random.default_rng([seed, 2, k])) for k in range(count)]


def lines(count: int, seed: int = 0) -> list[Photo]:
    """Return photos of lines of 3 to 10 digits."""
    made = []
    for k in range(count):
        random = np.random.default_rng([seed, 3, k])
        ink, text = line_of_digits(random)
        made.append(compose(ink, text, random, longest=random.uniform(700, 2400), turn=1.0))
    return made


def _digit_photo(digit: int, random: np.random.Generator) -> Photo:
    ink, digit = some_digit(digit, random)
    return compose(ink, str(digit), random)


def _junk_photo(kind: str, random: np.random.Generator) -> Photo:
    if kind == "letter":
        ink, character = letter(random)
        return compose(ink, f"letter {character}", random)
    if kind == "scribble":
        return compose(scribble(random), "scribble", random)
    if kind == "blank":
        return compose(np.zeros((200, 140), np.float32), "blank", random)
    side = int(random.integers(28, 400))
    coarse = random.integers(0, 256, (max(4, side // int(random.integers(1, 12))),) * 2).astype(np.uint8)
    pixels = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return Photo(_encoded(pixels.convert("RGB"), "png", 1, 90), "noise", "noise")


def compose(
    ink: np.ndarray, truth: str, random: np.random.Generator, longest: float | None = None, turn: float = 8.0
) -> Photo:
    """Return a photo of ink.

    Args:
        ink: float `[H, W]` in [0, 1].
        truth: What it shows.
        random: The random generator.
        longest: Longer side of the photo in pixels; 60 to 3000 if None.
        turn: Maximum rotation in degrees, in either direction.
    """
    longest = longest or float(np.exp(random.uniform(np.log(60), np.log(3000))))
    ground = str(random.choice(list(GROUNDS), p=list(GROUNDS.values())))
    placed = _placed(ink, random, turn)
    scale = min(longest, 1400) / max(placed.shape)  # larger ones are enlarged at the end, which is indistinguishable
    placed = np.clip(ndimage.zoom(placed, scale, order=1) if scale > 1 else _shrunk(placed, scale), 0, 1)
    if ground == "canvas":
        shade = np.zeros((*placed.shape, 4), np.uint8)
        shade[..., 3] = np.round(255 * placed)
        return Photo(_encoded(Image.fromarray(shade), "png", 1, 95), truth, "canvas")
    pixels = _lit(_inked(placed, ground, random), ground, random)
    pixels = ndimage.gaussian_filter(pixels, (*[random.uniform(0, 0.0012) * max(placed.shape)] * 2, 0))
    pixels += random.normal(0, random.uniform(0, 6), pixels.shape)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if longest > 1400:
        size = (round(image.width * longest / max(image.size)), round(image.height * longest / max(image.size)))
        image = image.resize(size, Image.Resampling.BILINEAR)
    if random.random() < 0.2:
        image = image.convert("L")
    kind = str(random.choice(["jpeg", "jpeg", "jpeg", "png", "webp", "bmp"]))
    if longest > 1400 and kind in ("png", "bmp"):  # would exceed the size limit of files
        kind = "jpeg"
    orientation = int(random.choice([1, 1, 3, 6, 8])) if kind == "jpeg" else 1
    quality = int(random.integers(35, 96))
    made = f"{ground} {kind} {image.width}x{image.height} exif {orientation} quality {quality}"
    return Photo(_encoded(image, kind, orientation, quality), truth, made)


def _placed(ink: np.ndarray, random: np.random.Generator, turn: float) -> np.ndarray:
    """Return ink slightly rotated, with random margins on each side: from almost nothing to its own size."""
    turned = np.clip(ndimage.rotate(np.pad(ink, 2), random.uniform(-turn, turn), order=1), 0, 1)
    side = max(turned.shape[0], turned.shape[1] / 3)
    widest = float(random.choice([0.06, 0.4, 1.2]))
    margins = np.round(side * random.uniform(0.04, widest + 0.02, (2, 2))).astype(int)
    return np.pad(turned, margins)


def _shrunk(ink: np.ndarray, scale: float) -> np.ndarray:
    size = (max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale)))
    image = Image.fromarray(np.round(255 * ink).astype(np.uint8)).resize(size, Image.Resampling.BOX)
    return np.asarray(image, np.float32) / 255


def _inked(ink: np.ndarray, ground: str, random: np.random.Generator) -> np.ndarray:
    """Return paper with ink on it, float `[H, W, 3]`."""
    dark = ground == "board"
    plain = np.array((BOARDS if dark else PAPERS)[random.integers(4 if dark else 6)], float)
    paper = _texture(ink.shape, plain, random)
    if ground in ("ruled", "squared"):
        _rule(paper, ground == "squared", random)
    colour = np.array((CHALKS if dark else INKS)[random.integers(4 if dark else 5)], float)
    pressure = random.uniform(0.65, 1.0) * (1 - 0.25 * random.random() * random.random(ink.shape))
    alpha = (ink * pressure)[..., np.newaxis]
    return paper * (1 - alpha) + colour * alpha


def _texture(shape: tuple[int, ...], colour: np.ndarray, random: np.random.Generator) -> np.ndarray:
    grain = ndimage.gaussian_filter(random.normal(0, 1, shape), 1.0) * random.uniform(0, 8)
    fibres = ndimage.gaussian_filter(random.normal(0, 1, shape), (1, max(shape) / 40)) * random.uniform(0, 12)
    return np.repeat((grain + fibres)[..., np.newaxis], 3, axis=2) + colour


def _rule(paper: np.ndarray, squared: bool, random: np.random.Generator) -> None:
    """Draw ruled or squared lines of one colour onto paper, tilted by up to a degree, sometimes with a margin line."""
    height, width = paper.shape[:2]
    step = max(8.0, random.uniform(0.1, 0.45) * min(height, width))
    thick = max(1.0, step * random.uniform(0.015, 0.05))
    colour = np.array(RULES[random.integers(len(RULES))], float)
    y, x = np.mgrid[:height, :width]
    lean = np.tan(np.radians(random.uniform(-1, 1)))
    first = random.uniform(0, step)
    on = (y + lean * x + first) % step < thick
    if squared:
        on |= (x - lean * y + first / 2) % step < thick
    elif random.random() < 0.3:
        on |= np.abs(x - lean * y - 0.06 * width) < thick / 2
    paper[on] = 0.25 * paper[on] + 0.75 * colour


def _lit(pixels: np.ndarray, ground: str, random: np.random.Generator) -> np.ndarray:
    """Return a picture in uneven light: a gradient and a vignette; on the background `shadow`, partly in shadow."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    way = random.uniform(0, 2 * np.pi)
    across = np.cos(way) * x + np.sin(way) * y
    light = 1 - random.uniform(0, 0.25) * (across + 1) / 2 - random.uniform(0, 0.12) * (x**2 + y**2)
    if ground == "shadow":
        softness = float(np.exp(random.uniform(np.log(0.02), np.log(0.5))))
        light *= 1 - random.uniform(0.2, 0.5) / (1 + np.exp(-(across - random.uniform(-0.5, 0.5)) / softness))
    return pixels * light[..., np.newaxis]


def _encoded(image: Image.Image, kind: str, orientation: int, quality: int) -> bytes:
    file = io.BytesIO()
    if kind == "jpeg":
        if turned := TURNED[orientation]:
            image = image.transpose(turned)
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(file, "JPEG", quality=quality, exif=exif)
    else:
        image.save(file, kind.upper(), **({"quality": quality} if kind == "webp" else {}))
    return file.getvalue()
