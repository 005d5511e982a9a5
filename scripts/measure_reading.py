"""Measure how well a recognizer reads photos and refuses junk: `python scripts/measure_reading.py --run DIR`.

It takes some minutes. With INKWELL_MNIST, the digits are MNIST's test images, and clean files of them are read too.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from models.recognizer import Reading, Recognizer, open_picture
from scripts.synthetic.handwriting import mnist_digits
from scripts.synthetic.photos import JUNK, Photo, junk, lines, photos
from trainer.console.cli import run_script
from trainer.console.output import show
from trainer.console.tables import table


def read(recognizer: Recognizer, made: Sequence[Photo]) -> list[Reading]:
    """Return the readings of photos."""
    return [recognizer.read([open_picture(photo.data)])[0] for photo in made]


def right(readings: Sequence[Reading], made: Sequence[Photo]) -> float:
    """Return the fraction of photos read correctly; a refusal counts as an error."""
    return float(np.mean([reading.label == photo.truth for reading, photo in zip(readings, made, strict=True)]))


def refused(readings: Sequence[Reading]) -> float:
    """Return the fraction of readings that are refusals."""
    return float(np.mean([reading.label is None for reading in readings]))


def clean_files(recognizer: Recognizer, count: int) -> tuple[float, float, float]:
    """Return the accuracy on PNG files of MNIST digits, the model's accuracy on their pixels, and the share refused."""
    images, labels = mnist_digits()
    images, labels = images[:count], labels[:count]
    readings = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        readings += recognizer.read([open_picture(file.getvalue())])
    best = np.array([reading.probabilities.argmax() for reading in readings])
    own = recognizer.classify(images[..., np.newaxis]).argmax(axis=1)
    return float((best == labels).mean()), float((own == labels).mean()), refused(readings)


def numbers(recognizer: Recognizer, made: Sequence[Photo]) -> tuple[float, float]:
    """Return the fraction of digits in photos of lines that are read correctly, by edit distance, and that of lines."""
    texts = [" ".join(line.text for line in recognizer.read_many(open_picture(photo.data))) for photo in made]
    wrong = sum(min(edits(photo.truth, text), len(photo.truth)) for photo, text in zip(made, texts, strict=True))
    whole = float(np.mean([photo.truth == text for photo, text in zip(made, texts, strict=True)]))
    return 1 - wrong / sum(len(photo.truth) for photo in made), whole


def edits(a: str, b: str) -> int:
    """Return the edit distance of two strings: insertions, deletions and substitutions (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def percent(part: float) -> str:
    """Return a fraction as text."""
    return f"{100 * part:.2f} %"


def main() -> int:
    """Measure and print the results; return the exit status."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--run", type=Path, required=True, help="run directory, checkpoint or export")
    p.add_argument("--photos", type=int, default=400, help="number of photos, and of junk photos (default: 400)")
    p.add_argument("--lines", type=int, default=200, help="number of photos of lines (default: 200)")
    p.add_argument("--clean", type=int, default=10_000, help="maximum number of clean files (default: 10000)")
    p.add_argument("--seed", type=int, default=0, help="seed of the photos (default: 0)")
    args = p.parse_args()
    recognizer, start = Recognizer.load(args.run), time.perf_counter()
    made = photos(args.photos, args.seed)
    readings = read(recognizer, made)
    no_digits = junk(args.photos, args.seed)
    of_junk = read(recognizer, no_digits)
    kinds = Counter(photo.truth.split()[0] for photo, r in zip(no_digits, of_junk, strict=True) if r.label is None)
    digits, whole = numbers(recognizer, lines(args.lines, args.seed))
    of_files, of_pixels, of_clean = clean_files(recognizer, args.clean)
    best = np.mean(
        [recognizer.class_names[r.probabilities.argmax()] == m.truth for r, m in zip(readings, made, strict=True)]
    )
    rows = [
        ("photos read correctly", f"{percent(right(readings, made))} of {len(made)}, refusals counted as errors"),
        ("most probable correct", percent(float(best))),
        ("photos refused", percent(refused(readings))),
        ("junk refused", f"{percent(refused(of_junk))} of {len(no_digits)}"),
        *((kind, percent(kinds[kind] / (len(no_digits) / len(JUNK)))) for kind in JUNK),
        ("digits in lines", f"{percent(digits)} of {args.lines} lines of 3 to 10"),
        ("whole lines", percent(whole)),
        ("clean files", f"{percent(of_files)}, the model {percent(of_pixels)}, refused {percent(of_clean)}"),
        ("time", f"{time.perf_counter() - start:.0f} s"),
    ]
    show(table(rows))
    return 0


if __name__ == "__main__":
    run_script(main)
