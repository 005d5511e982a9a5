"""The training loop: spans of steps and the work between them. `Loop.train` shows it all on one screen."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from trainer import checkpoint
from trainer.data.streams.reading import failure_of, reading
from trainer.engine.clock import Due, Moment
from trainer.engine.course import Course
from trainer.engine.evaluation_step import EvaluationStep
from trainer.engine.hooks import Hooks
from trainer.engine.learning_rate import LearningRate
from trainer.engine.ledger import Ledger
from trainer.engine.signals import look_outside
from trainer.engine.spans import SPAN_SECONDS, Pace, steps_to_next
from trainer.engine.step import TrainStep
from trainer.plugin import Every, Plugin, overrides
from trainer.run import ENGINE_LOGS, Rewind, Run
from trainer.runs.manifest import Manifest, Saved, take_up
from trainer.runs.recorder import Recorder


class Looks:
    """The schedule of interruptions: validation and `on_step_end`, counted from now.

    Args:
        validate_every: When to validate.
        plugins: The plugins of the run.
    """

    def __init__(self, validate_every: Every, plugins: Sequence[Plugin]) -> None:
        now = time.perf_counter()
        self.validation = Due(validate_every, now)
        self.listeners = [(p, Due(p.every, now)) for p in plugins if overrides(p, "on_step_end")]
        self.cadences = [validate_every, *(due.every for _, due in self.listeners)]
        self.pace = Pace()

    def at(self, moment: Moment) -> list[Plugin]:
        """Return the plugins whose `on_step_end` is due."""
        return [plugin for plugin, due in self.listeners if due(moment)]


@dataclass
class Loop:
    """The training loop of one run.

    Attributes:
        run: The run.
        course: The data and durations.
        training: The compiled span of training steps.
        evaluation: The compiled evaluation of a batch.
        rates: The learning rates of the optimizers, by name.
        hooks: The plugins.
        recorder: Writes history and checkpoints.
        ledger: The time ledger.
        batches: The training batches from the next step onwards; see `start`.
        started: Clock reading from which the run's seconds are counted.
        updates: Number of updates of each optimizer before the span in progress; None between spans.
    """

    run: Run
    course: Course
    training: TrainStep
    evaluation: EvaluationStep
    rates: Mapping[str, LearningRate]
    hooks: Hooks
    recorder: Recorder
    ledger: Ledger
    batches: Iterator[Any] = field(init=False)
    started: float = 0.0
    updates: list[int] | None = None

    @property
    def variables(self) -> list[Any]:
        """Every variable that training changes, in checkpoint order."""
        return [*self.training.variables, *(each for rate in self.rates.values() for each in rate.variables)]

    def start(self, step: int) -> None:
        """Start producing batches at global step `step` (0-based), and compile that step in the meantime."""
        with self.ledger("data"):
            self.batches = iter(self.course.train.batches(step))
        with self.ledger("trace"):
            self.training.span(step + 1)

    def train(self) -> None:
        """Train until the plan is complete or a plugin, signal or file stops it; call `start(run.step)` first."""
        run, looks = self.run, Looks(self.course.validate_every, self.hooks.plugins)
        self._save()  # requested by plugins in on_fit_start
        while self._continues():
            if run.inbox.rewinding is not None:
                self._rewind()
                looks = Looks(self.course.validate_every, self.hooks.plugins)
            elif not run.unfinished and self._is_over():  # the last epoch had no validation
                self._validate()
                self._settle()
            elif not run.unfinished and run.epoch <= run.step // run.steps_per_epoch:
                self._begin_epoch()
            else:
                if not run.unfinished:
                    self._advance(looks)
                    self.hooks.call(Plugin.on_step_end, looks.at(Moment.of(run)))
                    self._look_at_limits()
                run.unfinished = True
                if looks.validation(Moment.of(run)) or self._is_over():
                    self._validate()
                self._settle()
                if not run.broken_off:
                    self._save()
        if run.inbox.signal is not None:
            run.save("last")
        self._save()

    def _is_over(self) -> bool:
        """Return True if no step is left: all are done, or a stop was requested."""
        return self.run.step >= self.run.steps or bool(self.run.stop_reason)

    def _continues(self) -> bool:
        """Return True if work is left: steps, what follows the last of them, or a rewind."""
        run = self.run
        if run.broken_off:
            return run.inbox.rewinding is not None
        owed = self.course.validation is not None and run.validated != run.step
        return run.unfinished or owed or not self._is_over()

    def _look_at_limits(self) -> None:
        """Stop the run if its time is up or it is told to stop from outside."""
        run, limit = self.run, self.course.durations.max_time
        if limit is not None and run.seconds >= limit and run.step < run.steps:
            run.stop(f"the time limit of {limit:g} s was reached")
        look_outside(run, self.course.durations.stop_when)

    def _advance(self, looks: Looks) -> None:
        """Run all steps up to the next interruption as one compiled call, or skip a step marked to be skipped."""
        run = self.run
        if run.step + 1 in run.skipped:
            self._skip()
        else:
            count = steps_to_next(run, looks.cadences, self._limit(looks.pace))
            with self.ledger("trace"):
                train = self.training.span(run.step + 1)
            self.updates = self._updates()
            start = time.perf_counter()
            with self.ledger("steps"):
                try:
                    span = train(self.batches, tf.constant(run.step, tf.int64), tf.constant(count))
                except tf.errors.OpError as error:
                    raise self._broken_by(error) from error
                run.losses, run.gradient_norms, run.scalars = span.losses, span.norms, span.scalars
                run.loss = run.losses[-1]
            self.ledger.move(float(span.waited), "steps", "data_wait")
            spent = time.perf_counter() - start
            looks.pace.measured(count, spent)
            run.step += count
            self.updates = None
            run.epoch_seconds += spent
            run.step_seconds += spent
            self._log_batches(self.course.durations.log_every)
        run.seconds = time.perf_counter() - self.started

    def _broken_by(self, error: tf.errors.OpError) -> Exception:
        """Return why a span failed; if its data did, in one line, with the steps before counted, which are complete.

        How many they were is known from the optimizer, unless the task updates it as it likes.
        """
        run = self.run
        counted = self.updates is not None and not self.training.task.has_step
        done = run.step + (self._updates()[0] - self.updates[0] if counted and self.updates else 0)
        failure = failure_of(error, f"cannot continue after step {done:,}")
        if failure is not None and counted:
            run.step, self.updates = done, None
        return failure or error

    def _limit(self, pace: Pace) -> int:
        """Return the maximum number of steps of the next span, all of which use the same kernels."""
        left = self.training.kernels.head_start - self.run.step
        return min(pace.limit, left) if left > 0 else pace.limit

    def _log_batches(self, every: int) -> None:
        """Log every `every`-th step of the span that just ended; logging never shortens a span."""
        run = self.run
        columns = {"batch_loss": run.losses, "gradient_norm": run.gradient_norms, **run.scalars}
        values = {name: np.asarray(column) for name, column in columns.items() if len(column)}
        before = run.step - len(run.losses)
        steps = range(before - before % every + every, run.step + 1, every)
        self.recorder.batches(
            {step: {name: float(column[step - before - 1]) for name, column in values.items()} for step in steps}
        )

    def _skip(self) -> None:
        run = self.run
        with reading(f"cannot continue after step {run.step:,}"):
            next(self.batches)
        for optimizer in self.training.learners.optimizers.values():  # schedules count skipped steps too
            optimizer.iterations.assign_add(max(1, round(int(optimizer.iterations) / max(1, run.step))))
        run.losses, run.gradient_norms, run.scalars = (), (), {}
        run.step += 1
        for recovery in run.recoveries:
            if recovery.skip[0] == run.step:
                self._take_effect(recovery)

    def _take_effect(self, recovery: Rewind) -> None:
        for rate in self.rates.values():
            rate.scale(recovery.factor)
        self.recorder.history("recovery", {**asdict(recovery), "skip": list(recovery.skip)})

    def _begin_epoch(self) -> None:
        run = self.run
        run.epoch = run.step // run.steps_per_epoch + 1
        run.epoch_seconds = 0.0
        run.logs = {name: value for name, value in run.logs.items() if name.startswith("val_")}
        self.training.meter.reset()
        self.hooks.call(Plugin.on_epoch_start)

    def _settle(self) -> None:
        """End the epoch if it or the training is over; otherwise record a validation within the epoch."""
        run = self.run
        if run.broken_off:
            return
        if run.unfinished and (run.epoch_ended or run.stop_reason):
            self._end_epoch()
        elif run.validated == run.step:
            self.recorder.history("validation", {k: v for k, v in run.logs.items() if k.startswith("val_")})
        run.unfinished = False

    def _end_epoch(self) -> None:
        run = self.run
        self.recorder.collect()
        images = self.training.meter.images
        run.images += images
        run.logs |= self.training.meter.read()
        numbers = (run.learning_rate, run.epoch_seconds, images / (run.epoch_seconds or 1.0))
        run.logs |= run.learning_rates | dict(zip(ENGINE_LOGS, numbers, strict=True))
        self.hooks.call(Plugin.on_epoch_end)
        fresh = run.validated == run.step  # an earlier validation of this epoch already has its own line
        self.recorder.history("epoch", {k: v for k, v in run.logs.items() if fresh or not k.startswith("val_")})

    def _validate(self) -> None:
        """Evaluate on the validation data, unless that has been done or the run is told to stop.

        The metrics of the epoch in progress are kept. Hooks see the weights being validated, which are averaged ones
        if the optimizer keeps averages.
        """
        run, validation = self.run, self.course.validation
        if validation is None or run.validated == run.step or run.broken_off:
            return
        self.recorder.collect()
        with self.training.learners.averaged():
            self.hooks.call(Plugin.on_validation_start)
            results = self.evaluation.over(validation)
            due = Due(Every(seconds=SPAN_SECONDS), time.perf_counter())
            for run.validation_step in range(1, validation.steps + 1) if validation.steps else itertools.count(1):
                if run.broken_off:
                    return
                with self.ledger("validation"):
                    if next(results, None) is None:  # the end of data of unknown length
                        run.validation_steps = run.validation_step = run.validation_step - 1
                        break
                if due(Moment.of(run)):
                    self.hooks.call(Plugin.on_validation_step)
                look_outside(run, self.course.durations.stop_when)
            run.logs |= {f"val_{name}": value for name, value in self.evaluation.meter.read().items()}
            run.validated = run.step
            self.hooks.call(Plugin.on_validation_end)

    def _save(self) -> None:
        """Write the checkpoints that plugins requested, once all of them have been called."""
        run = self.run
        roles, run.inbox.saves = run.inbox.saves, []
        drops, run.inbox.drops = run.inbox.drops, []
        if roles and self.recorder.keeps(roles) and not run.failed:
            with self.ledger("checkpoints"):
                name = f"epoch={run.epoch:04d}-step={run.step:07d}{'-unfinished' if run.unfinished else ''}"
                manifest = Manifest.of(run, self.hooks.states()).to_dict()
                state = checkpoint.snapshot(name, self.variables, manifest)
                self.recorder.save(state, roles, drops)

    def save_after_exception(self) -> None:
        """Write requested checkpoints if the variables belong to `run.step`, and wait until they are written."""
        untouched = self.updates is None or self.updates == self._updates()
        if self.run.inbox.saves and self.run.step > 0 and untouched:
            self._save()
            self.recorder.collect()

    def _updates(self) -> list[int]:
        """Return the number of updates of each optimizer."""
        return [int(optimizer.iterations) for optimizer in self.training.learners.optimizers.values()]

    def _rewind(self) -> None:
        """Rewind to a good checkpoint as a plugin requested, and save the changed plan at once."""
        run, asked = self.run, self.run.inbox.rewinding
        assert asked is not None
        recoveries, ended = [*run.recoveries, asked], run.stop_reason if run.signal is not None else ""
        with self.ledger("checkpoints"):
            self.take_up(self.recorder.good(before=asked.skip[0]))
        run.recoveries, run.stop_reason = recoveries, ended
        run.inbox.rewinding, run.inbox.failed = None, False
        run.inbox.saves, run.inbox.drops = ["last"], []
        if asked.skip[0] <= run.step:  # no checkpoint precedes the step, so it can no longer be skipped
            self._take_effect(asked)
        self._save()
        slower = f", at {asked.factor:g} times the learning rate" if asked.factor != 1 else ""
        run.warn(f"{asked.reason}: back to step {run.step}, continuing without {in_words(asked.skip)}{slower}")
        self.start(run.step)

    def take_up(self, saved: Saved, done: bool = False) -> None:
        """Restore everything from a checkpoint, and truncate the history to match it.

        Args:
            saved: A verified checkpoint of this run.
            done: True if the run had finished and is now being extended.

        Raises:
            CheckpointError: If the checkpoint does not fit the model.
            InkwellError: If the history is shorter than the checkpoint says.
        """
        checkpoint.restore(saved.checkpoint, self.variables)
        take_up(self.run, saved.manifest, self.hooks.plugins, done)
        self.recorder.cut_history(saved.manifest.history)


def in_words(numbers: Sequence[int]) -> str:
    """Return ascending step numbers as text: `step 7`, `steps 7 to 9`, `steps 3, 7`."""
    if len(numbers) == 1:
        return f"step {numbers[0]}"
    together = numbers[-1] - numbers[0] == len(numbers) - 1
    return f"steps {numbers[0]} to {numbers[-1]}" if together else f"steps {', '.join(map(str, numbers))}"
