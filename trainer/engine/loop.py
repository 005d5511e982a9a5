"""The loop: spans of steps, and what happens between them. `Loop._train` is all of it on a screen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer import checkpoint
from trainer.data.pipeline import EvaluationPipeline, TrainPipeline
from trainer.engine.hooks import Hooks
from trainer.engine.learning_rate import LearningRate
from trainer.engine.ledger import Ledger
from trainer.engine.signals import look_outside
from trainer.engine.spans import SPAN_SECONDS, Due, Pace, steps_to_next
from trainer.engine.step import EvaluationStep, TrainStep
from trainer.kernels.batch_statistics import BatchStatistics as Population
from trainer.plugin import Every, Plugin, overrides
from trainer.run import Rewind, Run
from trainer.runs import manifest
from trainer.runs.recorder import Recorder
from trainer.tasks.task import ENGINE_LOGS


@dataclass(frozen=True)
class Course:
    """What a run goes through.

    Attributes:
        train: What to learn from.
        validation: What to validate on, if anything.
        validate_every: When, besides the end of the run.
        population: What the statistics of batch normalisation are measured on before, if anything.
        max_time: Wall seconds after which training ends at the next span.
        profile: Whether a few steps are traced by TensorFlow's profiler.
        log_every: Steps from one line of a batch in the history to the next.
    """

    train: TrainPipeline
    validation: EvaluationPipeline | None
    validate_every: Every
    population: Population | None = None
    max_time: float | None = None
    profile: bool = False
    log_every: int = 50


@dataclass
class Loop:
    """What trains one run.

    Attributes:
        run: The run.
        training: The compiled span of training steps.
        evaluation: The compiled evaluation of a batch.
        rate: The learning rate.
        hooks: The plugins.
        recorder: Writes history and checkpoints.
        ledger: Where time goes.
    """

    run: Run
    training: TrainStep
    evaluation: EvaluationStep
    rate: LearningRate
    hooks: Hooks
    recorder: Recorder
    ledger: Ledger
    batches: Iterator[Any] = field(init=False)

    @property
    def variables(self) -> list[Any]:
        """Everything that training changes, in the order of a checkpoint."""
        model, optimizer = self.training.model, self.training.optimizer
        return [*model.variables, *optimizer.variables, *self.training.meter.variables, *self.rate.variables]

    def start(self, course: Course, step: int) -> None:
        """Have batches made from global step `step` (0-based) on, and compile that step meanwhile."""
        with self.ledger("data"):
            self.batches = iter(course.train.batches(step))
        with self.ledger("trace"):
            self.training.span(step + 1)

    def train(self, course: Course) -> None:
        """Train until the plan, a plugin or the outside ends it, going back to a checkpoint when a plugin asks.

        `start` was called with the run's step.
        """
        run = self.run
        with self.ledger("loop"):
            self._save()  # what plugins asked for in on_fit_start
            self._train(course)
            while run.rewinding is not None:
                self._rewind()
                self.start(course, run.step)
                self._train(course)
            if run.signal is not None:
                run.save("last")
            self._save()

    def _train(self, course: Course) -> None:
        run, now = self.run, time.perf_counter()
        validation, max_time = course.validation, course.max_time
        validation_due = Due(course.validate_every, now)
        listeners = [(p, Due(p.every, now)) for p in self.hooks.plugins if overrides(p, "on_step_end")]
        cadences = [course.validate_every, *(due.every for _, due in listeners)]
        pace = Pace()
        while not run.broken_off and (run.unfinished or (run.step < run.steps and not run.stop_reason)):
            if not run.unfinished:
                if run.epoch <= run.step // run.steps_per_epoch:
                    self._begin_epoch()
                if run.stop_reason:
                    break
                self._advance(steps_to_next(run, cadences, self._limit(pace)), pace, course.log_every)
                moment = run.step, run.epoch, run.epoch_ended, time.perf_counter()
                self.hooks.call(Plugin.on_step_end, [plugin for plugin, due in listeners if due(*moment)])
                if max_time is not None and run.seconds >= max_time and run.step < run.steps:
                    run.stop(f"the time limit of {max_time:g} s was reached")
                look_outside(run)
            run.unfinished = True
            moment = run.step, run.epoch, run.epoch_ended, time.perf_counter()
            wanted = validation_due(*moment) or run.step == run.steps or bool(run.stop_reason)
            if validation is not None and wanted and run.validated != run.step:
                self._validate(validation, course.population)
            self._settle()
            if not run.broken_off:
                self._save()
        if validation is not None and run.validated != run.step:
            self._validate(
                validation, course.population
            )  # a plugin stopped training at the end of an epoch that had none
            self._settle()

    def _limit(self, pace: Pace) -> int:
        """Return how many steps the next span may have at most: all of them are computed in the same way."""
        left = self.training.strategy.head_start - self.run.step
        return min(pace.limit, left) if left > 0 else pace.limit

    def _advance(self, count: int, pace: Pace, log_every: int) -> None:
        """Run `count` steps as one call of one compiled function, or leave out one that is to be skipped."""
        run = self.run
        if run.step + 1 in run.skipped:
            self._skip()
        else:
            self._span(count, pace)
            self._log_batches(log_every)
        run.seconds = time.perf_counter() - run.started

    def _span(self, count: int, pace: Pace) -> None:
        run = self.run
        with self.ledger("trace"):
            train = self.training.span(run.step + 1)
        start = time.perf_counter()
        with self.ledger("steps"):
            run.losses, run.gradient_norms, waited = train(self.batches, tf.constant(count))
            run.loss = run.losses[-1]
        self.ledger.move(float(waited), "steps", "data_wait")
        spent = time.perf_counter() - start
        pace.measured(count, spent)
        run.step += count
        run.epoch_seconds += spent
        run.step_seconds += spent

    def _log_batches(self, every: int) -> None:
        """Write down each step of the span that just ended that `every` divides; a span is not cut short for it."""
        run = self.run
        losses, norms = np.asarray(run.losses), np.asarray(run.gradient_norms)
        before = run.step - len(losses)
        steps = range(before - before % every + every, run.step + 1, every)
        numbers = {step: {"batch_loss": float(losses[step - before - 1])} for step in steps}
        if len(norms):
            for step, facts in numbers.items():
                facts["gradient_norm"] = float(norms[step - before - 1])
        self.recorder.batches(numbers)

    def _skip(self) -> None:
        run = self.run
        next(self.batches)
        self.training.optimizer.iterations.assign_add(1)  # the schedule goes by steps, skipped or not
        run.losses, run.gradient_norms = (), ()
        run.step += 1
        for recovery in run.recoveries:
            if recovery.skip[0] == run.step:
                self._take_effect(recovery)

    def _take_effect(self, recovery: Rewind) -> None:
        self.rate.scale(recovery.factor)
        self.recorder.history("recovery", {**asdict(recovery), "skip": list(recovery.skip)})

    def _begin_epoch(self) -> None:
        run = self.run
        run.epoch = run.step // run.steps_per_epoch + 1
        run.epoch_seconds = 0.0
        run.logs = {name: value for name, value in run.logs.items() if name.startswith("val_")}
        self.training.meter.reset()
        self.hooks.call(Plugin.on_epoch_start)

    def _settle(self) -> None:
        """End the epoch, if it has ended or training does; else write down a validation in its midst."""
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
        run.logs |= dict(zip(ENGINE_LOGS, numbers, strict=True))
        self.hooks.call(Plugin.on_epoch_end)
        fresh = run.validated == run.step  # numbers of a validation earlier in the epoch have a line of their own
        self.recorder.history("epoch", {k: v for k, v in run.logs.items() if fresh or not k.startswith("val_")})

    def _validate(self, validation: EvaluationPipeline, population: Population | None) -> None:
        """Evaluate on validation data, unless told to stop; the metrics of the epoch in progress stay as they are."""
        run = self.run
        if run.broken_off:
            return
        self.recorder.collect()
        self.hooks.call(Plugin.on_validation_start)
        self.evaluation.meter.reset()
        due = Due(Every(seconds=SPAN_SECONDS), time.perf_counter())
        batches = iter(validation.batches())
        with averages(self.training.model, self.training.optimizer):
            if population is not None:
                with self.ledger("validation"):
                    population.measure()
            for run.validation_step in range(1, validation.steps + 1):
                if run.broken_off:
                    return
                with self.ledger("validation"):
                    self.evaluation.next(batches)
                if due(run.validation_step, run.epoch, False, time.perf_counter()):
                    self.hooks.call(Plugin.on_validation_step)
                look_outside(run)
        run.logs |= {f"val_{name}": value for name, value in self.evaluation.meter.read().items()}
        run.validated = run.step
        self.hooks.call(Plugin.on_validation_end)

    def _save(self) -> None:
        """Save what plugins asked for, after all of them had their turn."""
        run = self.run
        roles, run.saves = run.saves, []
        drops, run.drops = run.drops, []
        if roles and run.directory is not None and not run.failed:
            with self.ledger("checkpoints"):
                name = f"epoch={run.epoch:04d}-step={run.step:07d}{'-unfinished' if run.unfinished else ''}"
                state = checkpoint.snapshot(name, self.variables, manifest.facts(run, self.hooks.states()))
                self.recorder.save(state, roles, drops)

    def save_after_exception(self) -> None:
        """Save what plugins asked for, if the variables are those of `run.step`, and wait until it is written."""
        if self.run.saves and int(self.training.optimizer.iterations) == self.run.step > 0:
            self._save()
            self.recorder.collect()

    def _rewind(self) -> None:
        """Go back to a good checkpoint as a plugin asked, and save at once what is different from then on."""
        run, asked = self.run, self.run.rewinding
        assert asked is not None
        recoveries, ended = [*run.recoveries, asked], run.stop_reason if run.signal is not None else ""
        with self.ledger("checkpoints"):
            self.take_up(self.recorder.good(before=asked.skip[0]))
        run.recoveries = recoveries
        run.rewinding, run.failed, run.stop_reason = None, False, ended
        run.saves, run.drops = ["last"], []
        if asked.skip[0] <= run.step:  # there is no earlier checkpoint, so that it is too late for the step itself
            self._take_effect(asked)
        self._save()
        slower = f", at {asked.factor:g} times the learning rate" if asked.factor != 1 else ""
        run.warn(f"{asked.reason}: back to step {run.step}, to go on without {in_words(asked.skip)}{slower}")

    def take_up(self, saved: checkpoint.Checkpoint, done: bool = False) -> None:
        """Set everything as a checkpoint has it, and cut the history back to it.

        Args:
            saved: A sound checkpoint of this run.
            done: Whether the run had a result, and more is asked of it now.

        Raises:
            CheckpointError: If it does not fit.
            InkwellError: If the history is shorter than the checkpoint says.
        """
        checkpoint.restore(saved, self.variables)
        manifest.take_up(self.run, saved.manifest, self.hooks.plugins, done)
        self.recorder.cut_history(saved.manifest["history"])


@contextmanager
def averages(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Have the model use the averages of its weights meanwhile, if the optimizer keeps them (`use_ema`)."""
    if not optimizer.use_ema:
        yield
        return
    weights = model.trainable_variables
    kept = [tf.identity(weight) for weight in weights]
    optimizer.finalize_variable_values(weights)
    try:
        yield
    finally:
        for weight, value in zip(weights, kept, strict=True):
            weight.assign(value)


def in_words(numbers: Sequence[int]) -> str:
    """Return numbers of steps, in ascending order, in words: `step 7`, `steps 7 to 9`, `steps 3, 7`."""
    if len(numbers) == 1:
        return f"step {numbers[0]}"
    together = numbers[-1] - numbers[0] == len(numbers) - 1
    return f"steps {numbers[0]} to {numbers[-1]}" if together else f"steps {', '.join(map(str, numbers))}"
