"""Explanatory pictures: what the model saw with its probabilities, and where it found digits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from models.recognizer.reading import Line, Reading
from models.recognizer.recognizer import Recognizer
from trainer.errors import InkwellError
from trainer.text import printable

PAPER, TEXT, BAR, BEST, MATTERED = "white", (40, 40, 40), (150, 170, 200), (30, 90, 180), (220, 60, 30)
SIDE, ROW = 280, 26
LONGEST = 200
"""Bytes of a file name kept in the name of its explanation, so that a number still fits behind it."""


def explained(picture: np.ndarray, reading: Reading, recognizer: Recognizer) -> Image.Image:
    """Return a picture beside what the model saw of it, with important pixels in red, and bars of probability.

    Args:
        picture: uint8 `[H, W, 3]`.
        reading: The reading of it.
        recognizer: The recognizer that read it.
    """
    class_names, importance = recognizer.class_names, recognizer.importance(reading.seen)
    height = max(SIDE, ROW * len(class_names)) + 60
    sheet = Image.new("RGB", (3 * SIDE + 80, height), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    sheet.paste(ImageOps.pad(Image.fromarray(picture), (SIDE, SIDE), color=(225, 225, 225)), (20, 40))
    sheet.paste(_seen(reading.seen, importance), (SIDE + 40, 40))
    pen.text((20, 12), "the picture", TEXT, font)
    pen.text((SIDE + 40, 12), "what the model saw; red mattered", TEXT, font)
    left = 2 * SIDE + 60
    pen.text((left, 12), _summary(reading), TEXT, font)
    for k, (name, p) in enumerate(zip(class_names, reading.probabilities, strict=True)):
        top = 40 + ROW * k
        pen.text((left, top + 3), printable(name)[:6], TEXT, font)
        pen.rectangle((left + 40, top + 4, left + 40 + 160 * p, top + ROW - 5), BEST if name == reading.label else BAR)
        pen.text((left + 210, top + 3), f"{100 * p:.1f} %", TEXT, font)
    return sheet


def _summary(reading: Reading) -> str:
    return printable(f"refused: {reading.reason}" if reading.label is None else f"read as {reading.label}")


def _seen(seen: np.ndarray, importance: np.ndarray) -> Image.Image:
    gray = np.repeat(seen.mean(axis=2, keepdims=True), 3, axis=2)
    mattered = 0.75 * importance[..., np.newaxis]
    mixed = gray * (1 - mattered) + np.array(MATTERED) * mattered
    return Image.fromarray(mixed.astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)


def boxed(picture: np.ndarray, lines: Sequence[Line]) -> Image.Image:
    """Return a picture with a box around each digit and its label above."""
    image = Image.fromarray(picture).convert("RGB")
    pen = ImageDraw.Draw(image)
    thick = max(1, round(max(image.size) / 600))
    for line in lines:
        for digit in line.digits:
            left, top, _, bottom = digit.box
            font = ImageFont.load_default(max(10, round(0.3 * (bottom - top))))
            pen.rectangle(digit.box, outline=MATTERED, width=thick)
            pen.text((left, top), str(digit.reading.label), MATTERED, font, anchor="lb")
    return image


def saved(image: Image.Image, folder: Path, file: Path) -> Path:
    """Write a picture into a folder, named after the file it explains; a number is added if the name is taken.

    Raises:
        InkwellError: If the file cannot be written.
    """
    stem = "stdin" if file == Path("-") else os.fsdecode(os.fsencode(file.stem)[:LONGEST])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = (f"{stem}{suffix}.png" for suffix in ["", *(f"-{k}" for k in range(2, 100_000))])
        path = next(path for name in names if not (path := folder / name).exists())
        image.save(path)
    except OSError as error:
        raise InkwellError(f"cannot write to {folder}: {error.strerror or error}") from error
    return path
