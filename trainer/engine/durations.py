"""How long a run trains, and how often it looks: one object from the configuration to the loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.errors import UsageError
from trainer.plugin import Every

EVERY_EPOCH = Every(epochs=1)
EPOCHS = 10
"""Epochs of a run that is given neither epochs nor steps."""


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long a run trains, and how often it looks.

    Args:
        epochs: Passes over the training data; default: 10, unless `steps` are given.
        steps: Optimizer steps over the whole run, instead of `epochs`.
        max_time: Wall seconds of training after which it ends at the next span.
        stop_when: A file whose appearance ends the run at the next span, saved, as SIGTERM does, such as the notice of
            a spot machine; must not exist at the start.
        validate_every: When to validate, besides the end of the run.
        steps_per_epoch: Batches per epoch of a stream that does not know its length.
        validation_steps: Batches per validation of a stream that does not know its length.
        log_every: Steps from one line of a batch in the history to the next.

    Raises:
        UsageError: If both epochs and steps are given, or a number is not positive.
    """

    epochs: int | None = None
    steps: int | None = None
    max_time: float | None = None
    stop_when: Path | None = None
    validate_every: Every = EVERY_EPOCH
    steps_per_epoch: int | None = None
    validation_steps: int | None = None
    log_every: int = 50

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise UsageError(f"give epochs or steps, not both: {self.epochs} epochs, {self.steps} steps")
        for name in ("epochs", "steps", "max_time", "steps_per_epoch", "validation_steps", "log_every"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} must be greater than 0: {value}")

    def total(self, steps_per_epoch: int) -> int:
        """Return the optimizer steps of the whole run, whose epochs have so many."""
        return self.steps if self.steps is not None else (self.epochs or EPOCHS) * steps_per_epoch
