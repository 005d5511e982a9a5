"""`Run`, the one object that plugins read, and through which they ask for things."""

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

    from trainer.data.imageset import ImageSet
    from trainer.evaluation.predictions import Predictions

logger = logging.getLogger("trainer")

ENGINE_LOGS = ("learning_rate", "seconds", "images_per_second")
"""What the engine logs for every epoch besides the task's numbers; the seconds are those of training steps."""

Status = Literal["running", "done", "failed", "interrupted"]


@dataclass(frozen=True)
class Rewind:
    """A request to go back to a checkpoint, and to continue from there otherwise.

    Attributes:
        reason: Why, for people.
        skip: Steps whose batches are left out from now on, counted from 1, ascending; at least one.
        factor: What the learning rate is multiplied with, from the first of these steps on.
    """

    reason: str
    skip: tuple[int, ...]
    factor: float


@dataclass
class Counters:
    """How far a run is: what a checkpoint keeps of it, and a resumed run takes back.

    Attributes:
        epoch: 1-based number of the epoch in progress or just ended; 0 before the first.
        step: Optimizer steps done so far, over the whole run.
        images: Training images seen in the epochs that have ended.
        seconds: Wall seconds of training, from after compilation to the last span.
        epoch_seconds: Wall seconds that the steps of the epoch in progress took.
        step_seconds: The same for the whole run.
        validated: The step after which the validation data were last evaluated.
        unfinished: Whether validation or the end of the epoch, due after the last step, are still to come.
        recoveries: The requests to go back that were met, oldest first.
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
    """What a run was asked for and the engine has not met yet.

    Attributes:
        saves: Roles asked for with `save`.
        drops: Roles given up with `drop`.
        rewinding: The request to go back, if there is one.
        failed: Whether the run is to end by `fail`.
        signal: Number of the signal that ends the run, if one does.
        from_outside: Reason to stop that came with it; empty if there is none.
    """

    saves: list[str] = field(default_factory=list)
    drops: list[str] = field(default_factory=list)
    rewinding: Rewind | None = None
    failed: bool = False
    signal: int | None = None
    from_outside: str = ""


@dataclass
class Notebook:
    """What plugins keep in `run.json`, and how it gets there.

    Attributes:
        notes: Values by key.
        write: Writes `run.json`; None while nothing is written.
    """

    notes: dict[str, Any] = field(default_factory=dict)
    write: Callable[[], None] | None = None


def _nothing_read() -> dict[str, float]:
    return {}


@dataclass(repr=False)
class Run(Shown, Counters):
    """Everything that a plugin may read; `stop`, `fail`, `rewind`, `save`, `log` and `warn` are what it may ask for.

    A test makes one by hand (`Run(epoch=3, logs={"val_loss": 0.1})`) and calls a hook with it: no TensorFlow needed.
    The attributes of `Counters` are among those that may be read.

    Attributes:
        name: Name of the run, that of its directory.
        directory: The run directory, or None when nothing is written.
        config: The resolved configuration as nested plain values; empty for a `Trainer` used from Python.
        seed: The seed of data order and augmentation; `fit.py` seeds initial weights and dropout with it too.
        model: The model in training; its weights change under the reader.
        optimizer: The optimizer; `run.learning_rate` reads its schedule.
        data: What is known of the data: name, digest, sizes of the splits, class names.
        training_data: The training images as they are, before any augmentation; None where data are streamed.
        epochs: Planned number of epochs.
        steps: Planned number of optimizer steps over the whole run.
        steps_per_epoch: Optimizer steps per epoch, the short last batch included.
        validation_step: Batches done in the validation in progress.
        validation_steps: Batches per validation; 0 without validation data.
        kernels: How a step is computed, as `Kernels` says it; `none` where nothing is trained.
        loss: Loss of the last step, a scalar tensor; `float(run.loss)` waits for the device. None before the first.
        losses: Losses of the steps of the last span, a float32 tensor `[n]` whose last is that of `step`; empty if that
            was skipped. A plugin that is to see all of them has `every = Every()`.
        gradient_norms: Global norms of the gradients of these steps, before they were clipped, a float32 tensor `[n]`;
            empty unless a plugin has `gradient_norms` set.
        logs: Numbers of the latest epoch and validation, plain floats.
        history: One mapping per line of `history.jsonl`, oldest first.
        result: What came out; empty until the test data were evaluated.
        predictions: What the model made of the test images, if the task reports about that; not kept anywhere.
        status: `running`, then `done`, `failed` or `interrupted`.
        stop_reason: The first reason given to `fail`, else to `stop`; empty while nobody asked.
        error: The exception that ended the run, if one did.
        saved: The step of the checkpoint that each role was last pointed to.
        plan: What the run is going to do, as rows of label and text; see `trainer.console.plan`.
        inbox: What was asked for and is not met yet; the engine's to read.
        notebook: What plugins keep in `run.json` (`note`); the engine's to write.
        read_metrics: Reads the training metrics (`metrics`); the engine's to set.
    """

    name: str = ""
    directory: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    model: keras.Model | None = None
    optimizer: Any = None
    data: Mapping[str, Any] = field(default_factory=dict)
    training_data: ImageSet | None = None
    epochs: int = 1
    steps: int = 0
    steps_per_epoch: int = 0
    validation_step: int = 0
    validation_steps: int = 0
    kernels: str = "none"
    loss: Any = None
    losses: Any = ()
    gradient_norms: Any = ()
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

    def _line(self) -> str:
        far = f"epoch {self.epoch}/{self.epochs}, step {self.step:,}/{self.steps:,}"
        reason = f", {in_line(self.stop_reason)}" if self.stop_reason else ""
        return f"{self._title}: {self.status}, {far}{reason}" + (f"; {said}" if (said := self.result.headline) else "")

    def _card(self) -> str:
        from trainer.display.epochs import epochs
        from trainer.display.html import card, facts, note
        from trainer.display.outcome import outcome

        names = self.data.get("class_names", ())
        shown = outcome(self.result, names) if self.result else facts(self.plan)
        headline = self.result.headline or self._title
        return card(headline, note(repr(self)), epochs(self.history, self.steps_per_epoch), shown)

    @property
    def _title(self) -> str:
        """Name of the run, or of its model where nothing is written."""
        return in_line(self.name or getattr(self.model, "name", "unnamed"))

    @property
    def epoch_ended(self) -> bool:
        """Whether the last step was the last of its epoch or of the run."""
        return self.step % self.steps_per_epoch == 0 or self.step == self.steps

    @property
    def broken_off(self) -> bool:
        """Whether training must end or turn back at once: by a signal, a failure or a rewind, not by a plan."""
        return self.inbox.signal is not None or self.inbox.failed or self.inbox.rewinding is not None

    @property
    def failed(self) -> bool:
        """Whether the run is ended by `fail`."""
        return self.inbox.failed

    @property
    def signal(self) -> int | None:
        """Number of the signal that ended the run, if one did."""
        return self.inbox.signal

    @property
    def skipped(self) -> list[int]:
        """Steps whose batches are left out, counted from 1, ascending."""
        return sorted({step for recovery in self.recoveries for step in recovery.skip})

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.learning_rate)

    @property
    def report(self) -> Path | None:
        """Folder for pictures and tables, made when first asked for; None when nothing is written."""
        if self.directory is None:
            return None
        folder = self.directory / "report"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def way_back(self) -> str:
        """How an interrupted run can be continued, in one line."""
        if self.directory is None:
            return "nothing was saved; give the Trainer a run_dir to be able to resume"
        return (
            f"step {self.step:,} is saved; Trainer.resume continues from there" if self.saved else "nothing was saved"
        )

    def metrics(self) -> dict[str, float]:
        """Return the training metrics accumulated since the epoch began; waits for the device."""
        return self.read_metrics()

    def stop(self, reason: str) -> None:
        """Ask to end training once every plugin had its turn; the first reason is kept."""
        self.stop_reason = self.stop_reason or reason

    def fail(self, reason: str) -> None:
        """Ask to end training without a result: no more data are looked at, nothing is saved, the run is failed.

        A failure outweighs a request to stop; the first failure's reason is kept.
        """
        if not self.inbox.failed:
            self.inbox.failed, self.stop_reason = True, reason

    def rewind(self, reason: str, skip: Iterable[int], factor: float = 1.0) -> None:
        """Ask to go back to the last good checkpoint and to continue from there without some batches.

        Good is one whose numbers are all finite and, if there is one, that was saved before the first step of `skip`.
        What came after it is taken back, the plugins' states and the history too. What happens from then on does not
        depend on where it lies. A request to go back outweighs one to stop or to fail at the same moment, since that
        moment will not have been; the first is kept.

        Args:
            reason: Why, for people.
            skip: Steps whose batches are left out from now on, counted from 1, at least one; they count as steps.
            factor: What the learning rate is multiplied with, from the first of these steps on.
        """
        self.inbox.rewinding = self.inbox.rewinding or Rewind(reason, tuple(sorted(skip)), factor)

    def save(self, *roles: str) -> None:
        """Ask for a checkpoint after this moment's hooks; every role (`"best"`, `"last"`) will point to it.

        A checkpoint that no role points to any more is deleted.
        """
        self.inbox.saves.extend(role for role in roles if role not in self.inbox.saves)

    def drop(self, *roles: str) -> None:
        """Give up roles with the next save; a checkpoint that no role points to any more is deleted."""
        self.inbox.drops.extend(roles)

    def log(self, name: str, value: float) -> None:
        """Add a number to `logs` and so to the history line of this epoch; list its name in the plugin's `logs`."""
        self.logs[name] = float(value)

    def note(self, key: str, value: Any) -> None:
        """Keep a value that JSON can hold under `key` of `run.json`, at once; the key is the plugin's name."""
        self.notebook.notes[key] = value
        if self.notebook.write is not None:
            self.notebook.write()

    def say(self, message: str) -> None:
        """Tell the user something good to know, on one line."""
        _tell(logging.INFO, message)

    def warn(self, message: str) -> None:
        """Tell the user, on one line, without ending anything."""
        _tell(logging.WARNING, message)


def _tell(level: int, message: str) -> None:
    with suppress(Exception):  # a handler of the user's may raise anything, and no word to a person ends a run
        logger.log(level, "%s", message)
