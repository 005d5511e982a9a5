"""What a run goes through: from what `fit` is given to the batches, durations and names that the loop needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict

from trainer.data.augmentation.strength import Strength
from trainer.data.given import evaluation_data, training_data
from trainer.data.pipeline import EvaluationArray, EvaluationPipeline, TrainingArray, TrainingPipeline
from trainer.data.seen import Seen
from trainer.data.split import Data
from trainer.engine.durations import Durations
from trainer.errors import UsageError
from trainer.plugin import Every, Plugin


class FitArguments(TypedDict, total=False):
    """The arguments of `Trainer.fit` besides `x` and `y`, which `resume` and `plan` take too."""

    validation_data: Any
    test_data: Any
    epochs: int | None
    batch_size: int | None
    callbacks: Sequence[Plugin]
    durations: Durations | None


@dataclass(frozen=True)
class Given:
    """What `Trainer.fit` was given; see there."""

    x: Any
    y: Any = None
    validation_data: Any = None
    test_data: Any = None
    epochs: int | None = None
    batch_size: int | None = None
    callbacks: Sequence[Plugin] = ()
    durations: Durations | None = None


@dataclass(frozen=True)
class Course:
    """What a run goes through.

    Attributes:
        train: What to learn from.
        validation: What to validate on, if anything.
        test: What to test on once, at the end, if anything.
        durations: How long, and how often to look.
        known: What is known of the data: name, digest, sizes, class names.
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
        """Function that hashes the images that the run sees; None where data are streamed.

        A stream of validation images counts as none.
        """
        if not isinstance(self.train, TrainingArray):
            return None
        validation = self.validation.data if isinstance(self.validation, EvaluationArray) else None
        return partial(Seen.of, self.train.data, validation)


def course_of(given: Given, seed: int, augmentation: str | Strength | None, known: Mapping[str, Any] | None) -> Course:
    """Return what a run goes through.

    Args:
        given: The data, and how long to train on them.
        seed: Keys order and augmentation.
        augmentation: As in `trainer.data.given.training_data`.
        known: What is known of the data; None: what a `Data` says of itself.

    Raises:
        UsageError: If the data are none that can be trained or evaluated on, or the durations contradict each other.
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
        batch_size=given.batch_size,
        seed=seed,
        augmentation=augmentation,
        steps_per_epoch=durations.steps_per_epoch,
    )
    validated, tested = (
        evaluation_data(data, steps=durations.validation_steps) if data is not None else None
        for data in (validation, test)
    )
    return Course(train, validated, tested, durations, known or {})


def _durations(given: Given) -> Durations:
    """Return how long to train.

    Raises:
        UsageError: If that is said twice.
    """
    if given.durations is None:
        return Durations(epochs=given.epochs)
    if given.epochs is not None:
        raise UsageError("give epochs or durations, not both: Durations has epochs of its own")
    return given.durations
