"""The examination of a trained model on images, as done by `scripts/evaluate.py`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trainer.data.augmentation.strength import strength
from trainer.display.shown import Shown
from trainer.errors import InkwellError, UsageError
from trainer.evaluation.overlap import overlap
from trainer.evaluation.robustness.measure import corrupted, measurements, varied
from trainer.evaluation.statistics import Comparison, compare
from trainer.registry import tasks
from trainer.runs.files import RunFiles, is_run
from trainer.runs.find import find_checkpoint
from trainer.runs.trained import Chosen, Trained, load_trained, restore_task
from trainer.stage import Stage


class Comparisons(NamedTuple):
    """The comparison of two models on the same images.

    Attributes:
        on_all: Comparison on all images.
        on_new: Comparison on the images that neither was trained on, as far as known; None if these are all or none.
    """

    on_all: Comparison
    on_new: Comparison | None


class Examination(Shown):
    """A trained model and its results on images.

    Args:
        trained: The model.
        chosen: The images.

    Attributes:
        numbers: The result of `Evaluator.evaluate`.
        predictions: The model's predictions; None if its task is not classification.
        overlap: The overlap of the images with those that the model has seen; None if unknown.
        title: A title for headings.
    """

    def __init__(self, trained: Trained, chosen: Chosen) -> None:
        from trainer.evaluator import Evaluator

        self.trained, self.chosen = trained, chosen
        task = tasks.build(trained.config.task.name, **trained.config.task.args)
        self.evaluator = Evaluator(trained.model, task)
        self.temperature = trained.temperature if trained.temperature != 1 else None
        data = self.evaluator.pipeline(chosen.images)
        self.evaluator.settle(data)
        restore_task(trained.path, task.variables)
        self.numbers, outputs = self.evaluator.assess(data, self.temperature)
        self.predictions = outputs if "per_class" in self.numbers else None
        right = self.predictions.right if self.predictions is not None else None
        self.overlap = overlap(trained.seen, chosen.images, right) if trained.seen is not None else None
        self.title = f"{trained.path.parent.parent.absolute().name}: {chosen.what}"
        if self.overlap is not None and self.overlap.trained_on:
            self.title += f" ({self.overlap.trained_on:,} of {self.overlap.images:,} used for training)"

    def _line(self) -> str:
        return f"{self.title}: {self.numbers!r}"

    def compare(self, path: Path, imports: Sequence[str] = ()) -> Comparisons:
        """Compare this model with that of another run or checkpoint on the same images.

        Args:
            path: The other run or checkpoint.
            imports: Modules that register parts of its model; see `trainer.runs.trained.load_trained`.

        Raises:
            UsageError: If the other model has another input shape or other classes, or either does not classify.
        """
        other = load_trained(path, imports)
        for key, what in (("input_shape", "takes other images"), ("class_names", "has other classes")):
            if (found := other.data.get(key)) != (own := self.trained.data.get(key)):
                raise UsageError(f"--compare {path}: its model {what}: {found}, not {own}")
        theirs = Examination(other, self.chosen).predictions
        if theirs is None or self.predictions is None:
            raise UsageError(f"--compare {path}: both models must be classifiers")
        right, their_right = self.predictions.right, theirs.right
        new = np.ones(len(right), bool)
        for seen in (self.trained.seen, other.seen):
            if seen is not None:
                new &= ~seen.marks(self.chosen.images)[0]
        on_new = compare(right[new], their_right[new]) if new.any() and not new.all() else None
        return Comparisons(compare(right, their_right), on_new)

    def robustness(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the rows of `measure.corrupted` and `measure.varied`."""
        images, config = self.chosen.images, self.trained.config.data
        trained_with = strength(config.augmentation, config.augmentation_args)
        found: tuple[list[dict[str, Any]], list[dict[str, Any]]] = [], []
        rows = (
            corrupted(self._logits, images, self.temperature, trained_with),
            varied(self._logits, images, self.temperature),
        )
        with Stage("measuring robustness", measurements(images) * len(images), "images") as progress:
            for kept, measured in zip(found, rows, strict=True):
                for row in measured:
                    kept.append(row)
                    progress.done += len(images)
        return found

    def _logits(self, images: np.ndarray) -> np.ndarray:
        from trainer.tasks.classification import logits_of

        return np.asarray(logits_of(self.trained.model, self.evaluator.predict(images)))


def report_folder(path: Path, chosen: Chosen, out: Path | None = None) -> Path:
    """Create and return the folder for the report on a checkpoint and images.

    It is `report` for the weights and images that the run was tested with, and a subfolder of it for others, so that
    the results cannot be confused.

    Args:
        path: The checkpoint.
        chosen: The images.
        out: The folder to use instead.

    Raises:
        UsageError: If the checkpoint is not in a run directory, and no folder is given.
        InkwellError: If the folder cannot be created, or is a link that leads out of the run directory.
    """
    folder = out or _own_folder(path, chosen)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InkwellError(f"cannot create {folder}: {error.strerror}; choose another folder with --out") from error
    return folder


def _own_folder(path: Path, chosen: Chosen) -> Path:
    run = path.parent.parent
    if not is_run(run):
        raise UsageError(f"{path} is not in a run directory; choose a folder for tables and pictures with --out")
    weights = "" if find_checkpoint(run) == path else path.name
    data = "" if chosen.own else re.sub(r"[^\w.]+", "-", chosen.what).strip("-.")
    files = RunFiles(run)
    return files.inside(files.report / weights / data)
