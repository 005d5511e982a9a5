"""The proof of an export: when read back, it gives the same probabilities as its source."""

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
from trainer.text import shortened

TIMED = 30
"""Number of timed answers for a single image."""


@dataclass(frozen=True)
class Proof:
    """The comparison of an export with its source.

    Attributes:
        data: Description of the images.
        images: Number of images.
        largest_difference: Largest difference between two probabilities.
        other_classes: Number of images whose most probable class differs.
        tolerance: Largest allowed `largest_difference`.
        others: Largest allowed share of images whose class differs.
        milliseconds: Median time of an answer for one image; None if it was not measured.
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
        """True if the export matches its source."""
        return self.largest_difference <= self.tolerance and self.other_classes <= self.others * self.images

    def __str__(self) -> str:
        classes = f"{self.other_classes:,} classes differ" if self.other_classes else "the same classes"
        return f"{self.images:,} images ({self.data}): {classes}, largest difference {self.largest_difference:.1e}"


@dataclass(frozen=True)
class Answer:
    """The answer of an export for images.

    Attributes:
        probabilities: `[N, K]`.
        milliseconds: Median time of an answer for one image; None if it was not measured.
    """

    probabilities: np.ndarray
    milliseconds: float | None = None


def compare(data: str, original: np.ndarray, answer: Answer, form: Format) -> Proof:
    """Compare the probabilities of an export, which must be float32, with the original's, `[N, K]`.

    Raises:
        InkwellError: If the shape or dtype is wrong.
    """
    exported = answer.probabilities
    if exported.shape != original.shape or exported.dtype != np.float32:
        found, expected = f"{exported.dtype} {list(exported.shape)}", f"float32 {list(original.shape)}"
        raise InkwellError(f"the export returns {found}, not {expected}")
    largest = float(np.max(np.nan_to_num(np.abs(exported - original), nan=np.inf)))
    other_classes = int((exported.argmax(axis=1) != original.argmax(axis=1)).sum())
    return Proof(data, len(original), largest, other_classes, form.tolerance, form.others, answer.milliseconds)


def read_afresh(name: str, folder: Path, images: np.ndarray) -> Answer:
    """Return the answer of an export in the format `name` for images, from a fresh process without the source.

    Raises:
        InkwellError: If it cannot be read or used there; the message has the reason.
    """
    with scratch() as between:
        asked, answered = between / "images.npy", between / "answer.npz"
        np.save(asked, images)
        command = [sys.executable, "-P", "-m", "trainer.export.proof", name, folder, asked, answered]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise InkwellError(f"cannot use the export in a fresh process: {shortened(lines[-1])}")
        with np.load(answered) as answer:
            return Answer(answer["probabilities"], float(answer["milliseconds"]))


def _answer(name: str, folder: str, asked: str, answered: str) -> None:
    """Answer the request of `read_afresh`."""
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
    return statistics.median(times[1:])  # the first is slow, because the batch size has changed


if __name__ == "__main__":
    _answer(*sys.argv[1:])
