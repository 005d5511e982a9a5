"""`Durations`: how long a run trains and how often it validates, one object from the configuration to the loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.config.schema import TrainingConfig
from trainer.errors import UsageError
from trainer.plugin import Every

DEFAULTS = TrainingConfig()
VALIDATIONS = 10
"""Validations, about, of a run that repeats few images in many short epochs to reach its smallest number of steps."""


@dataclass(frozen=True, kw_only=True)
class Durations:
    """The length of a run, and how often it validates.

    Args:
        epochs: Passes over the training data; default: 10, and at least 800 steps, unless `steps` are given.
        steps: Optimizer steps over the whole run, instead of `epochs`.
        min_steps: Optimizer steps to take at least, in as many epochs as that needs; early stopping waits for them.
            Default: 800, or none if `epochs` or `steps` are given.
        max_time: Wall seconds of training after which it ends at the next span.
        stop_when: A file whose appearance ends the run at the next span, saved, as SIGTERM does, such as the notice of
            a spot machine; must not exist at the start.
        validate_every: When to validate, besides the end of the run. Default: after every epoch; after every few where
            `min_steps` adds epochs, so that there are about ten validations.
        steps_per_epoch: Batches per epoch of data that are given as batches, which are repeated whatever their number;
            default: all of them once. Where their number is unknown, `steps` make the whole run a single epoch.
        validation_steps: Batches per validation of data that are given as batches; default: all of them.
        log_every: Steps between two batch lines in the history.

    Raises:
        UsageError: If both epochs and steps are given, a number is not positive, or `min_steps` exceeds `steps`.
    """

    epochs: int | None = None
    steps: int | None = None
    min_steps: int | None = None
    max_time: float | None = None
    stop_when: Path | None = None
    validate_every: Every | None = None
    steps_per_epoch: int | None = None
    validation_steps: int | None = None
    log_every: int = DEFAULTS.log_every_steps

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise UsageError(f"give epochs or steps, not both: {self.epochs} epochs, {self.steps} steps")
        for name in ("epochs", "steps", "min_steps", "max_time", "steps_per_epoch", "validation_steps", "log_every"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} must be greater than 0: {value}")
        if self.steps is not None and self.steps < self.least:
            length = f"at least {self.least:,} steps and {self.steps:,} in total"
            raise UsageError(f"cannot train for {length}; leave out min_steps or steps")

    @property
    def least(self) -> int:
        """Optimizer steps to take at least; 0 if there is no such number."""
        chosen = self.epochs is not None or self.steps is not None
        return self.min_steps or (0 if chosen else DEFAULTS.min_steps or 0)

    def total(self, steps_per_epoch: int) -> int:
        """Return the optimizer steps of the whole run, given those of an epoch; epochs are whole ones."""
        if self.steps is not None:
            return self.steps
        least = -(-self.least // steps_per_epoch)
        return max(self.epochs or DEFAULTS.epochs, least) * steps_per_epoch

    def cadence(self, steps_per_epoch: int) -> Every:
        """Return when to validate, given the steps of an epoch."""
        if self.validate_every is not None:
            return self.validate_every
        epochs = self.total(steps_per_epoch) // steps_per_epoch
        lengthened = self.steps is None and epochs > (self.epochs or DEFAULTS.epochs)
        return Every(epochs=max(1, epochs // VALIDATIONS) if lengthened else 1)
