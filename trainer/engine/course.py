"""The course of a run: from the arguments of `fit` to the batches, durations and names that the loop needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypedDict

from trainer.data.augmentation.strength import Strength
from trainer.data.batch import Fitting
from trainer.data.given.labelled import evaluation_data, training_data
from trainer.data.pipeline import EvaluationPipeline, EvaluationRows, TrainingPipeline, TrainingRows
from trainer.data.seen import Seen
from trainer.data.split import Data
from trainer.data.streams.stream import Length
from trainer.engine.durations import Durations
from trainer.errors import UsageError
from trainer.plugin import Every, Plugin


class FitArguments(TypedDict, total=False):
    """The arguments of `Trainer.fit` besides `x` and `y`, which `resume` and `plan` take too."""

    sample_weight: Any
    validation_data: Any
    test_data: Any
    epochs: int | None
    batch_size: int | None
    callbacks: Sequence[Plugin]
    durations: Durations | None


@dataclass(frozen=True)
class Given:
    """The arguments of `Trainer.fit`; see there."""

    x: Any
    y: Any = None
    sample_weight: Any = None
    validation_data: Any = None
    test_data: Any = None
    epochs: int | None = None
    batch_size: int | None = None
    callbacks: Sequence[Plugin] = ()
    durations: Durations | None = None


@dataclass(frozen=True)
class Course:
    """The data and the durations of a run.

    Attributes:
        train: Training batches.
        validation: Validation batches; None without validation data.
        test: Batches of the test data, which are evaluated once, at the end; None without test data.
        durations: How long to train, and how often to validate.
        known: Name, digest, sizes and class names of the data, as far as known.
    """

    train: TrainingPipeline
    validation: EvaluationPipeline | None
    test: EvaluationPipeline | None
    durations: Durations
    known: Mapping[str, Any]

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.durations.total(self.train.steps_per_epoch)

    @property
    def epochs(self) -> int:
        """Epochs of the whole run; the last may be cut short."""
        return -(-self.steps // self.train.steps_per_epoch)

    @property
    def validate_every(self) -> Every:
        """When to validate, besides the end of the run."""
        return self.durations.cadence(self.train.steps_per_epoch)

    @property
    def seen(self) -> Callable[[], Seen] | None:
        """Function that hashes the rows that the run sees; None where data are streamed.

        A stream of validation data counts as none.
        """
        if not isinstance(self.train, TrainingRows):
            return None
        validation = self.validation.rows if isinstance(self.validation, EvaluationRows) else None
        return partial(Seen.of, self.train.rows, validation)


def course_of(
    given: Given,
    fitting: Fitting,
    images: bool,
    seed: int,
    augmentation: str | Strength | None,
    known: Mapping[str, Any] | None,
    constant: bool = False,
) -> Course:
    """Return the course of a run.

    Args:
        given: The data, and how long to train on them.
        fitting: Arranges batches for the task.
        images: True if the model takes images, so that arrays may be images.
        seed: Seed of order and augmentation.
        augmentation: As in `trainer.data.given.labelled.training_data`.
        known: Name, digest, sizes and class names of the data; default: those of a `Data`.
        constant: True if the learning rate does not depend on the length of the run, which may then be found out.

    Raises:
        UsageError: If the data cannot be trained or evaluated on, or the durations contradict each other.
    """
    x, validation, test = given.x, given.validation_data, given.test_data
    if isinstance(x, Data):
        known = known or x.describe()
        validation = x.validation if validation is None else validation
        test = x.test if test is None else test
        x = x.train
    durations = _durations(given)
    train = training_data(
        x,
        given.y,
        given.sample_weight,
        fitting=fitting,
        images=images,
        batch_size=given.batch_size,
        seed=seed,
        augmentation=augmentation,
        length=Length(durations.steps_per_epoch, durations.steps, counted=constant),
    )
    validated, tested = (
        evaluation_data(data, fitting=fitting, images=images, steps=steps) if data is not None else None
        for data, steps in ((validation, durations.validation_steps), (test, None))
    )
    return Course(train, validated, tested, durations, known or {})


def described(course: Course) -> Course:
    """Return the course with a digest and the sizes of its rows, if nothing else is known of its data.

    A stream has neither. Reading rows for their digest takes about a second per gigabyte.
    """
    if course.known or not isinstance(course.train, TrainingRows):
        return course
    parts = {"train": course.train, "validation": course.validation, "test": course.test}
    rows = {part: data.rows for part, data in parts.items() if isinstance(data, TrainingRows | EvaluationRows)}
    digest = hashlib.sha256("".join(f"{part} {each.digest}\n" for part, each in rows.items()).encode()).hexdigest()
    return replace(course, known={"digest": digest, **{part: len(each) for part, each in rows.items()}})


def _durations(given: Given) -> Durations:
    """Return the durations of a run.

    Raises:
        UsageError: If the arguments contradict each other.
    """
    if given.durations is None:
        return Durations(epochs=given.epochs)
    if given.epochs is not None:
        raise UsageError("give epochs or durations, not both: Durations has epochs of its own")
    return given.durations
