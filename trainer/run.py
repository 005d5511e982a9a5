"""The state of a run: the object that plugins read and through which they make requests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trainer.display.shown import Shown
from trainer.result import Result
from trainer.text import in_line

if TYPE_CHECKING:
    import keras

    from trainer.data.rows import Rows
    from trainer.evaluation.predictions import Predictions

logger = logging.getLogger("trainer")

LEARNING_RATE = "learning_rate"
LEARNING_RATE_FACTOR = "learning_rate_factor"
"""Name of the variable by which a schedule is lowered; checkpoints have it last."""

ENGINE_LOGS = (LEARNING_RATE, "seconds", "images_per_second")
"""Values that the engine logs for every epoch besides those of the task; the seconds are those of training steps."""

Status = Literal["running", "done", "failed", "interrupted"]

ONLY = "model"
"""Name of the model of a run that has only one."""


def named(given: Any) -> Mapping[str, Any]:
    """Return models or optimizers by name; a single one is called `model`."""
    return given if isinstance(given, Mapping) else {ONLY: given}


def first_of(given: Any) -> Any:
    """Return the first of models or optimizers by name, or the single one."""
    return next(iter(named(given).values()))


@dataclass(frozen=True)
class Rewind:
    """A request to go back to a checkpoint and to continue from there with a changed plan.

    Attributes:
        reason: The reason, for users.
        skip: Steps whose batches are skipped from now on, counted from 1, ascending; at least one.
        factor: Factor of the learning rate from the first of these steps onwards.
    """

    reason: str
    skip: tuple[int, ...]
    factor: float


@dataclass
class Counters:
    """The progress of a run, which a checkpoint stores and a resumed run restores.

    Attributes:
        epoch: 1-based number of the epoch in progress or just ended; 0 before the first.
        step: Number of optimizer steps completed in the whole run.
        images: Number of training images seen in completed epochs.
        seconds: Wall seconds of training, from after compilation to the last span.
        epoch_seconds: Wall seconds spent on the steps of the epoch in progress.
        step_seconds: Wall seconds spent on all steps of the run.
        validated: The step of the latest validation.
        unfinished: True if a validation or the end of the epoch is still due after the last step.
        recoveries: The rewinds carried out so far, oldest first.
    """

    epoch: int = 0
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    step_seconds: float = 0.0
    validated: int = 0
    unfinished: bool = False
    recoveries: list[Rewind] = field(default_factory=list)


@dataclass
class Inbox:
    """Pending requests to the engine.

    Attributes:
        saves: Roles requested with `save`.
        drops: Roles given up with `drop`.
        rewinding: The request to rewind, if there is one.
        failed: True if `fail` was called.
        signal: Number of the signal that ends the run, if there is one.
        from_outside: Reason to stop that came from outside; empty if there is none.
    """

    saves: list[str] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)
    rewinding: Rewind | None = None
    failed: bool = False
    signal: int | None = None
    from_outside: str = ""


@dataclass
class Notebook:
    """The notes of plugins in `run.json`.

    Attributes:
        notes: Values by key.
        write: Writes `run.json`; None if there is no run directory.
    """

    notes: dict[str, Any] = field(default_factory=dict)
    write: Callable[[], None] | None = None


def _nothing_read() -> dict[str, float]:
    return {}


@dataclass(repr=False)
class Run(Shown, Counters):
    """The state that plugins may read, with the requests `stop`, `fail`, `rewind`, `save`, `log` and `warn`.

    Tests create one by hand (`Run(epoch=3, logs={"val_loss": 0.1})`) and pass it to a hook, without TensorFlow.
    The attributes of `Counters` are also part of the readable state.

    Attributes:
        name: Name of the run and its directory.
        directory: The run directory, or None if nothing is written.
        config: The resolved configuration as nested plain values; empty for a `Trainer` without configuration.
        seed: Seed of shuffling and augmentation; `fit.py` also uses it for initial weights and dropout.
        model: The model in training, the first of several; its weights change as training continues.
        optimizer: Its optimizer; `run.learning_rate` evaluates its schedule.
        models: All models in training by name; a single one is called `model`.
        optimizers: Their optimizers, by the same names.
        classifies: True if the task is classification, so that the model's outputs tell classes apart.
        data: Name, digest, sizes of the splits and class names of the data, as far as known.
        training_data: The training data before augmentation; None if they are streamed.
        epochs: Planned number of epochs.
        steps: Planned number of optimizer steps in the whole run.
        min_steps: Smallest number of optimizer steps, unless the run fails or is interrupted; 0 if none was set.
        steps_per_epoch: Number of optimizer steps per epoch, including that of a short last batch.
        validation_step: Number of batches completed in the validation in progress.
        validation_steps: Number of batches per validation; 0 without validation data, None if it is not known yet.
        monitor: Name of the metric by which the task would choose the best weights; None without validation data.
        kernels: Kernels that compute a step, as text; `none` if nothing is trained.
        loss: Loss of the last step, a scalar tensor; `float(run.loss)` waits for the device. None before the first.
        losses: Losses of the last span, a float32 tensor `[n]` whose last value belongs to `step`; empty if that step
            was skipped. A plugin that needs all of them sets `every = Every()`.
        gradient_norms: Global gradient norms of the same steps before clipping, a float32 tensor `[n]`; empty unless a
            plugin sets `gradient_norms`, and if the task applies its gradients itself (`Task.step`).
        scalars: Scalars that the task noted in the same steps, by name, float32 tensors `[n]`.
        logs: Numbers of the latest epoch and validation, plain floats.
        history: One mapping per line of `history.jsonl`, oldest first.
        result: The result; empty until the test data have been evaluated.
        predictions: The model's predictions for the test images, if the task reports on them; never written to disk.
        status: `running`, then `done`, `failed` or `interrupted`.
        stop_reason: The first reason passed to `fail`, otherwise to `stop`; empty if there is none.
        error: The exception that ended the run, if there was one.
        saved: Step of the latest checkpoint of each role.
        plan: The plan of the run, as rows of label and text; see `trainer.console.plan`.
        inbox: Pending requests, for the engine.
        notebook: Notes in `run.json` (see `note`), for the engine.
        read_metrics: Reads the training metrics (see `metrics`); set by the engine.
    """

    name: str = ""
    directory: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    model: keras.Model | None = None
    optimizer: Any = None
    models: Mapping[str, keras.Model] = field(default_factory=dict)
    optimizers: Mapping[str, Any] = field(default_factory=dict)
    classifies: bool = True
    data: Mapping[str, Any] = field(default_factory=dict)
    training_data: Rows | None = None
    epochs: int = 1
    steps: int = 0
    min_steps: int = 0
    steps_per_epoch: int = 0
    validation_step: int = 0
    validation_steps: int | None = 0
    monitor: str | None = "val_loss"
    kernels: str = "none"
    loss: Any = None
    losses: Any = ()
    gradient_norms: Any = ()
    scalars: Mapping[str, Any] = field(default_factory=dict)
    logs: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    result: Result = field(default_factory=Result)
    predictions: Predictions | None = None
    status: Status = "running"
    stop_reason: str = ""
    error: BaseException | None = None
    saved: dict[str, int] = field(default_factory=dict)
    plan: list[tuple[str, str]] = field(default_factory=list)
    inbox: Inbox = field(default_factory=Inbox)
    notebook: Notebook = field(default_factory=Notebook)
    read_metrics: Callable[[], dict[str, float]] = _nothing_read

    def __post_init__(self) -> None:
        if self.model is not None:
            self.models = self.models or named(self.model)
        if self.optimizer is not None:
            self.optimizers = self.optimizers or named(self.optimizer)

    def _line(self) -> str:
        far = f"epoch {self.epoch}/{self.epochs}, step {self.step:,}/{self.steps:,}"
        reason = f", {in_line(self.stop_reason)}" if self.stop_reason else ""
        return f"{self._title}: {self.status}, {far}{reason}" + (f"; {said}" if (said := self.result.headline) else "")

    def _card(self) -> str:
        from trainer.display.epochs import epochs
        from trainer.display.html import card, definitions, note
        from trainer.display.outcome import outcome

        names = self.data.get("class_names", ())
        shown = outcome(self.result, names) if self.result else definitions(self.plan)
        headline = self.result.headline or self._title
        return card(headline, note(repr(self)), epochs(self.history, self.steps_per_epoch), shown)

    @property
    def _title(self) -> str:
        """Name of the run, or of its model where nothing is written."""
        return in_line(self.name or getattr(self.model, "name", "unnamed"))

    @property
    def epoch_ended(self) -> bool:
        """True if the last step was the last of its epoch or of the run."""
        return self.step % self.steps_per_epoch == 0 or self.step == self.steps

    @property
    def broken_off(self) -> bool:
        """True if training must end or rewind at once, because of a signal, a failure or a rewind."""
        return self.inbox.signal is not None or self.inbox.failed or self.inbox.rewinding is not None

    @property
    def failed(self) -> bool:
        """True if `fail` was called."""
        return self.inbox.failed

    @property
    def signal(self) -> int | None:
        """Number of the signal that ended the run; None if there was none."""
        return self.inbox.signal

    @property
    def skipped(self) -> list[int]:
        """Steps whose batches are skipped, counted from 1, ascending."""
        return sorted({step for recovery in self.recoveries for step in recovery.skip})

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step, of the first optimizer."""
        return float(self.optimizer.learning_rate)

    @property
    def learning_rates(self) -> dict[str, float]:
        """The learning rates of several optimizers as they are logged, `learning_rate_<name>`; empty for only one."""
        several = self.optimizers if len(self.optimizers) > 1 else {}
        return {f"{LEARNING_RATE}_{name}": float(each.learning_rate) for name, each in several.items()}

    @property
    def report(self) -> Path | None:
        """Folder for pictures and tables, created on first access; None if nothing is written."""
        if self.directory is None:
            return None
        folder = self.directory / "report"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def way_back(self) -> str:
        """One line on how to continue an interrupted run."""
        if self.directory is None:
            return "nothing was saved; give the Trainer a run_dir to be able to resume"
        return (
            f"step {self.step:,} is saved; Trainer.resume continues from there" if self.saved else "nothing was saved"
        )

    def metrics(self) -> dict[str, float]:
        """Return the training metrics since the start of the epoch, and the task's scalars of the last step.

        Reading them waits for the device.
        """
        return self.read_metrics() | {name: float(values[-1]) for name, values in self.scalars.items()}

    def stop(self, reason: str) -> None:
        """Request the end of training once all plugins have been called; the first reason is kept."""
        self.stop_reason = self.stop_reason or reason

    def fail(self, reason: str) -> None:
        """Request the end of training without a result: no more data are read, nothing is saved, the run fails.

        A failure takes precedence over a request to stop; the reason of the first failure is kept.
        """
        if not self.inbox.failed:
            self.inbox.failed, self.stop_reason = True, reason

    def rewind(self, reason: str, skip: Iterable[int], factor: float = 1.0) -> None:
        """Request a return to the last good checkpoint, and training from there without some batches.

        A good checkpoint contains only finite numbers and was, if possible, saved before the first step of `skip`.
        Everything after it is undone, including the plugins' states and the history. The continuation does not depend
        on which checkpoint is used. A rewind takes precedence over a request to stop or fail at the same moment, since
        that moment is undone; the first rewind is kept.

        Args:
            reason: The reason, for users.
            skip: Steps whose batches are skipped from now on, counted from 1, at least one; they still count as steps.
            factor: Factor of the learning rate from the first of these steps onwards.
        """
        self.inbox.rewinding = self.inbox.rewinding or Rewind(reason, tuple(sorted(skip)), factor)

    def save(self, *roles: str) -> None:
        """Request a checkpoint once all plugins have been called; every role (`"best"`, `"last"`) will point to it.

        Checkpoints without a role are deleted.
        """
        self.inbox.saves.extend(role for role in roles if role not in self.inbox.saves)

    def drop(self, *roles: str) -> None:
        """Give up roles with the next save; checkpoints without a role are deleted."""
        self.inbox.drops.extend(roles)

    def log(self, name: str, value: float) -> None:
        """Add a number to `logs`, and so to this epoch's line in the history; list its name in the plugin's `logs`."""
        self.logs[name] = float(value)

    def note(self, key: str, value: Any) -> None:
        """Write a JSON-compatible value to `run.json` at once; `key` is the plugin's name."""
        self.notebook.notes[key] = value
        if self.notebook.write is not None:
            self.notebook.write()

    def say(self, message: str) -> None:
        """Show the user a message of one line."""
        _tell(logging.INFO, message)

    def warn(self, message: str) -> None:
        """Show the user a warning of one line."""
        _tell(logging.WARNING, message)


def _tell(level: int, message: str) -> None:
    with suppress(Exception):  # a user's handler may raise anything, and no message may end a run
        logger.log(level, "%s", message)
