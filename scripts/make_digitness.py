"""Retrain the digitness network: `python scripts/make_digitness.py`, a few minutes.

Digits are MNIST's training images with pens of all widths, and drawn ones. The rest are letters that do not look like
digits, in other fonts than the tests use, bent and written with other pens; scribbles; blots; two digits side by side,
touching; halves of digits; and two touching digits, uncut or cut in the wrong place, while those cut in the right place
count as digits.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from models.recognizer.find.framing import frame
from models.recognizer.find.seams import seams_of
from models.recognizer.find.touching import parts_between
from models.recognizer.judge.digitness import WEIGHTS
from scripts.synthetic.handwriting import LETTERS, SIDE, cut, drawn, enlarged, letter, overlap, scribble, touching
from trainer import startup
from trainer.console.cli import Parser, run_script
from trainer.data import load

FONTS = (
    "DejaVuSerif-Italic",
    "DejaVuSansMono-Oblique",
    "DejaVuSans-Oblique",
    "DejaVuSerif-Bold",
    "STIXGeneralItalic",
    "STIXGeneralBol",
    "cmss10",
    "cmmi10",
    "cmb10",
)
LETTERS_UNLIKE_DIGITS = "".join(character for character in LETTERS if character not in "OolIiSsZzqgb")
EPOCHS, BATCH = 40, 128


def bent(ink: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return ink slanted, stretched and warped."""
    matrix = np.array([[1, 0], [random.uniform(-0.25, 0.25), 1 / random.uniform(0.8, 1.2)]])
    padded = np.pad(ink, 60)
    middle = np.array(padded.shape) / 2
    slanted = ndimage.affine_transform(padded, matrix, middle - matrix @ middle, order=1)
    at = np.indices(slanted.shape).astype(np.float32)
    for axis in at:
        axis += _wobble(slanted.shape, random)
    return np.clip(ndimage.map_coordinates(slanted, at, order=1), 0, 1)


def _wobble(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    coarse = random.normal(0, random.uniform(0, 8), (4, 4))
    y, x = np.meshgrid(np.linspace(0, 3, shape[0]), np.linspace(0, 3, shape[1]), indexing="ij")
    return ndimage.map_coordinates(coarse, [y, x], order=2, mode="nearest")


def rewritten(ink: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return ink written with another pen: of uniform width, thicker, or unchanged."""
    from skimage.morphology import skeletonize

    mask = np.pad(ink > 0.5, 20)
    kind = random.random()
    if kind < 0.35:
        return (ndimage.distance_transform_edt(~skeletonize(mask)) < random.uniform(4, 16)).astype(np.float32)
    if kind >= 0.5:
        return ink
    return (ndimage.distance_transform_edt(~mask) < random.uniform(1, 12)).astype(np.float32)


def pair(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return two digits side by side that touch or nearly touch."""
    a, b = (enlarged(images[random.integers(len(images))], float(random.uniform(-1, 1))) for _ in range(2))
    canvas = np.zeros((max(a.shape[0], b.shape[0]) + 40, a.shape[1] + b.shape[1]), np.float32)
    for ink, left in ((a, 0), (b, a.shape[1] - round(random.uniform(0, 0.2) * a.shape[1]))):
        top = int(random.integers(40))
        place = canvas[top : top + ink.shape[0], left : left + ink.shape[1]]
        np.maximum(place, ink, out=place)
    return canvas


def half(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return about half of a digit: the upper, lower, left or right one; for narrow halves, two digits instead."""
    ink = enlarged(images[random.integers(len(images))], float(random.uniform(-1, 1)))
    turns = int(random.integers(4))
    kept = np.rot90(ink, turns)[: round(random.uniform(0.35, 0.65) * np.rot90(ink, turns).shape[0])]
    return np.rot90(kept, -turns) if min(kept.shape) > 60 else pair(images, random)


def cut_apart(images: np.ndarray, random: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the parts that cuts make of two touching digits: those that are one digit, and the rest with the whole.

    The two are the narrowest of three, since narrow pairs are the ones that look like one digit.
    """
    pen = float(random.uniform(-1, 0.8))
    three = [enlarged(images[random.integers(len(images))], pen) for _ in range(3)]
    widest = max(range(3), key=lambda k: three[k].shape[1])
    first, second = (ink for k, ink in enumerate(three) if k != widest)
    a, b = touching(first, second, random)
    whole = np.maximum(a, b)
    ones: list[np.ndarray] = []
    others: list[np.ndarray] = []
    for part in parts_between(whole, seams_of(whole, SIDE), SIDE).values():
        likeness = max(overlap(part.ink > 0.5, digit > 0.5) for digit in (a, b))
        if not 0.88 < likeness < 0.95:
            (ones if likeness > 0.9 else others).append(part.ink)
    random.shuffle(ones)
    random.shuffle(others)
    return [frame(ink) for ink in ones[:3]], [frame(ink) for ink in [whole, *others[:4]]]


def blot(random: np.random.Generator) -> np.ndarray:
    """Return blots of ink."""
    smooth = ndimage.gaussian_filter(random.normal(0, 1, (200, 200)), random.uniform(3, 25))
    return cut((smooth > np.quantile(smooth, random.uniform(0.5, 0.9))).astype(np.float32))


def a_digit(k: int, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the ink of a digit, framed; seven out of ten are from MNIST."""
    if k % 10 >= 7:
        return frame(drawn(int(random.integers(10)), random))
    pen = float(random.choice([0, 0, random.uniform(-1.6, 0), random.uniform(0, 2)]))
    ink = enlarged(images[random.integers(len(images))], pen)
    return frame(bent(ink, random) if k % 10 == 1 else ink)


def no_digit(k: int, images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the ink of something else, framed: half of it letters, a quarter scribbles."""
    kinds = [lambda: rewritten(bent(letter(random, FONTS, LETTERS_UNLIKE_DIGITS)[0], random), random)] * 6
    kinds += [lambda: scribble(random)] * 3
    kinds += [lambda: blot(random), lambda: pair(images, random), lambda: half(images, random)]
    ink = kinds[k % len(kinds)]()
    return frame(ink if (ink > 0.5).any() else scribble(random))


def learnt(images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the weights of the network that separates digits, label 1, from the rest."""
    startup.start(seed=0)
    import keras
    from keras import layers

    pixels = keras.Input((28, 28, 1))
    x = layers.RandomTranslation(1 / 14, 1 / 14, fill_mode="constant", interpolation="nearest", seed=0)(pixels)
    x = layers.Conv2D(16, 5, strides=2, activation="relu")(x)
    x = layers.Conv2D(32, 3, strides=2, activation="relu")(x)
    x = layers.Dropout(0.3, seed=1)(layers.Flatten()(x))
    x = layers.Dropout(0.3, seed=2)(layers.Dense(64, activation="relu")(x))
    model = keras.Model(pixels, layers.Dense(1)(x))
    rate = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * len(images) // BATCH)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(images[..., np.newaxis] / np.float32(255), labels, batch_size=BATCH, epochs=EPOCHS, verbose=2)
    names = [f"{kind}{layer}" for layer in range(1, 5) for kind in ("kernel", "bias")]
    weights = [np.asarray(variable) for variable in model.trainable_variables]
    return {name: array.astype(np.float16) for name, array in zip(names, weights, strict=True)}


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Retrain the network that separates digits from the rest; takes a few minutes.")
    p.add_argument("count", nargs="?", type=int, default=9000, metavar="N", help="images per kind (default: 9000)")
    p.add_argument("--data", default="mnist", metavar="NAME|PATH", help="source of the digits (default: mnist)")
    p.add_argument("--data-dir", default="data", metavar="DIR", help="folder of downloaded data (default: data)")
    return p


def main() -> int:
    """Train and write the weights; return the exit status."""
    args = parser().parse()
    count = args.count
    digits = np.asarray(load(args.data, args.data_dir).train.images)[..., 0]
    random = np.random.default_rng(0)
    ones = [a_digit(k, digits, random) for k in range(count)]
    others = [no_digit(k, digits, random) for k in range(count)]
    random = np.random.default_rng(1)
    for _ in range(count // 4):
        cut_well, cut_badly = cut_apart(digits, random)
        ones += cut_well
        others += cut_badly
    labels = np.repeat([1.0, 0.0], [len(ones), len(others)])
    np.savez_compressed(WEIGHTS, allow_pickle=False, **learnt(np.stack(ones + others), labels))
    return 0


if __name__ == "__main__":
    run_script(main)
