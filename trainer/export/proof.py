"""The proof of an export: read again, it gives the probabilities of its source."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.errors import InkwellError
from trainer.export import formats
from trainer.export.format import Classifier, Format
from trainer.files import scratch

TIMED = 30
"""Answers for one image that are timed."""


@dataclass(frozen=True)
class Proof:
    """How an export compares with its source.

    Attributes:
        data: What the images are.
        images: How many.
        largest_difference: The largest difference of two probabilities.
        other_classes: For how many images the most probable class is another.
        tolerance: How large `largest_difference` may be.
        others: The share of the images that may get another class.
        milliseconds: What the answer for one image took, as a median; None if it was not measured.
    """

    data: str
    images: int
    largest_difference: float
    other_classes: int
    tolerance: float
    others: float = 0.0
    milliseconds: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the export may be called one."""
        return self.largest_difference <= self.tolerance and self.other_classes <= self.others * self.images

    def __str__(self) -> str:
        classes = f"another class for {self.other_classes:,}" if self.other_classes else "the same classes"
        return f"{self.images:,} images ({self.data}): {classes}, largest difference {self.largest_difference:.1e}"


@dataclass(frozen=True)
class Answer:
    """What an export says of images.

    Attributes:
        probabilities: `[N, K]`.
        milliseconds: What it takes for one image, as a median; None if it was not measured.
    """

    probabilities: np.ndarray
    milliseconds: float | None = None


def compare(data: str, original: np.ndarray, answer: Answer, form: Format) -> Proof:
    """Return how the probabilities of an export, which must be float32, compare with the original's, `[N, K]`.

    Raises:
        InkwellError: If the export returns something else.
    """
    exported = answer.probabilities
    if exported.shape != original.shape or exported.dtype != np.float32:
        found, expected = f"{exported.dtype} {list(exported.shape)}", f"float32 {list(original.shape)}"
        raise InkwellError(f"the export returns {found}, not {expected}")
    largest = float(np.max(np.nan_to_num(np.abs(exported - original), nan=np.inf)))
    other_classes = int((exported.argmax(axis=1) != original.argmax(axis=1)).sum())
    return Proof(data, len(original), largest, other_classes, form.tolerance, form.others, answer.milliseconds)


def read_afresh(name: str, folder: Path, images: np.ndarray) -> Answer:
    """Return what an export in the format `name` says of images, in a process that knows nothing of the source.

    Raises:
        InkwellError: If it cannot be read or used there; says why.
    """
    with scratch() as between:
        asked, answered = between / "images.npy", between / "answer.npz"
        np.save(asked, images)
        command = [sys.executable, "-P", "-m", "trainer.export.proof", name, folder, asked, answered]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise InkwellError(f"the export cannot be used in a fresh process: {lines[-1]}")
        with np.load(answered) as answer:
            return Answer(answer["probabilities"], float(answer["milliseconds"]))


def _answer(name: str, folder: str, asked: str, answered: str) -> None:
    """Do what `read_afresh` asks for."""
    classify, images = formats.resolve(name).read(Path(folder)), np.load(asked)
    probabilities = classify(images)
    np.savez(answered, probabilities=probabilities, milliseconds=_milliseconds(classify, images[:1]))


def _milliseconds(classify: Classifier, image: np.ndarray) -> float:
    """Return the median time of an answer for one image."""
    times = []
    for _ in range(TIMED + 1):
        started = time.perf_counter()
        classify(image)
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[1:])  # the first is slow, since the batch had another size before


if __name__ == "__main__":
    _answer(*sys.argv[1:])
