"""`Trainer`: fit, evaluate, predict. The loop is `Trainer._train`."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer import checkpoint, resume
from trainer.data.imageset import ImageSet
from trainer.data.pipeline import EvaluationPipeline, Fixed, InOrder, Shuffled, Streamed, TrainPipeline
from trainer.errors import PluginError, TrainingFailed, UsageError
from trainer.hooks import Hooks
from trainer.ledger import Ledger
from trainer.plugin import Every, Plugin, check_plugins, overrides
from trainer.recorder import Recorder
from trainer.result import make_result
from trainer.run import Run, Status
from trainer.signals import listening, look_outside
from trainer.spans import SPAN_SECONDS, Due, Pace, steps_to_next
from trainer.step import EvaluationStep, TrainStep
from trainer.strategy import SingleDevice
from trainer.task import ENGINE_LOGS, Classification, Task, logged_names


class Trainer:
    """Trains, evaluates and applies one Keras model.

    Args:
        model: A built functional model: images float32 `[N, H, W, C]` in [0, 1] to, by default, logits `[N, K]`.
        task: What is learnt; default: classification.
        optimizer: A Keras optimizer; default: Adam with a learning rate of 0.001.
        plugins: In the order in which their hooks run.
        run_dir: Where the run is written; must not exist. None: nothing is written, and the last weights are tested.
        config: Nested values that `config_text` says in TOML; both are kept with the run.
        config_text: Text of `config.toml`.
        seed: Keys order and augmentation of images that `fit` gets as an `ImageSet`.
        clip_norm: Largest global norm of the gradients of a batch; None leaves them as they are.
        strategy: Where variables live.
        ledger: The time ledger to go on with, of a process that had work to do before.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        task: Task | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
        plugins: Sequence[Plugin] = (),
        run_dir: Path | str | None = None,
        config: Mapping[str, Any] | None = None,
        config_text: str = "",
        seed: int = 0,
        clip_norm: float | None = None,
        strategy: SingleDevice | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.model = model
        self.task = task or Classification()
        self.optimizer = optimizer or keras.optimizers.Adam(1e-3)
        self.plugins = list(plugins)
        self.run_dir = Path(run_dir) if run_dir is not None else None
        self.config, self.config_text = config or {}, config_text
        self.seed, self.clip_norm = seed, clip_norm
        self.strategy = strategy or SingleDevice()
        self.ledger = ledger or Ledger()
        self._memories: dict[str, Any] | None = None  # what plugins remember before their first run
        self.evaluation = EvaluationStep(model, self.task, self.strategy)
        images = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)
        self._forward = tf.function(
            lambda images: model(images, training=False), input_signature=[images], autograph=False
        )

    def fit(
        self,
        train: TrainPipeline | ImageSet | tf.data.Dataset,
        validation: EvaluationPipeline | ImageSet | tf.data.Dataset | None = None,
        test: EvaluationPipeline | ImageSet | tf.data.Dataset | None = None,
        *,
        epochs: int = 10,
        steps: int | None = None,
        max_time: float | None = None,
        validate_every: Every | None = None,
        data: Mapping[str, Any] | None = None,
        going_on: bool = False,
        anyway: bool = False,
    ) -> Run:
        """Train, then look at `test` once, with the weights that the role `best` points to, else the last.

        Args:
            train: What to learn from; an `ImageSet` is shuffled and augmented lightly, in batches of 128.
            validation: What to validate on.
            test: What is evaluated once, at the end, unless the run failed or was interrupted.
            epochs: Passes over `train`.
            steps: Optimizer steps; given, it replaces `epochs`.
            max_time: Wall seconds after which training ends at the next span.
            validate_every: When to validate, besides the end of the run; default: after every epoch.
            data: Facts about the data, for plugins and the result.
            going_on: Go on with the run in the run directory, from its newest sound checkpoint, as if it had never been
                interrupted; all other arguments must be as they were, but for how long to train.
            anyway: Go on even if the data are not those of the checkpoint.

        Returns:
            The run: its history, its result, how it ended. The model has the weights that were tested.

        Raises:
            UsageError: If plugins do not fit together, there is no step to do, or the run directory exists or is in
                use.
            CheckpointError: If there is no sound checkpoint to resume from, or it does not fit.
            PluginError: If a plugin that steers training raised.
            TrainingFailed: If the run was ended by `run.fail`, or its last checkpoint could not be written.
        """
        learnt = _training(train, self.seed)
        validated = _evaluating(validation) if validation is not None else None
        total = epochs * learnt.steps_per_epoch if steps is None else steps
        run = self._plan(learnt, validated, total, data or {}, going_on, anyway)
        with self._session(run):
            self._train(run, learnt, validated, validate_every or Every(epochs=1), max_time)
            self._finish(run, test)
        return run

    def _train(
        self,
        run: Run,
        train: TrainPipeline,
        validation: EvaluationPipeline | None,
        validate_every: Every,
        max_time: float | None,
    ) -> None:
        now = time.perf_counter()
        validation_due = Due(validate_every, now)
        step_hooks = [(p, Due(p.every, now)) for p in self.plugins if overrides(p, "on_step_end")]
        cadences = [validate_every, *(due.every for _, due in step_hooks)]
        batches, pace = iter(train.batches(run.step)), Pace()
        while not run.broken_off and (run.unfinished or (run.step < run.steps and not run.stop_reason)):
            if not run.unfinished:
                if run.step % run.steps_per_epoch == 0:
                    self._begin_epoch(run)
                    if run.stop_reason:
                        break
                self._span(run, batches, steps_to_next(run, cadences, pace.limit), pace)
                moment = run.step, run.epoch, run.epoch_ended, time.perf_counter()
                self.hooks.call(Plugin.on_step_end, [plugin for plugin, due in step_hooks if due(*moment)])
                if max_time is not None and run.seconds >= max_time and run.step < run.steps:
                    run.stop(f"the time limit of {max_time:g} s was reached")
                look_outside(run)
            run.unfinished = True
            moment = run.step, run.epoch, run.epoch_ended, time.perf_counter()
            wanted = validation_due(*moment) or run.step == run.steps or bool(run.stop_reason)
            if validation is not None and wanted and run.validated != run.step and not run.broken_off:
                self._validate(run, validation)
            if not run.broken_off:
                self._settle(run)
            if run.signal is not None:
                run.save("last")
            self._save(run)
        if validation is not None and run.validated != run.step and not run.broken_off:
            self._validate(run, validation)  # a plugin stopped training at the end of an epoch that had none
            self._settle(run)
            self._save(run)

    def _settle(self, run: Run) -> None:
        """End the epoch, if it has ended or training does; else write down a validation in its midst."""
        if run.unfinished and (run.epoch_ended or run.stop_reason):
            self._end_epoch(run)
        elif run.validated == run.step:
            self.recorder.history("validation", {k: v for k, v in run.logs.items() if k.startswith("val_")})
        run.unfinished = False

    def _span(self, run: Run, batches: Iterator[Any], count: int, pace: Pace) -> None:
        """Run `count` steps as one call of one compiled function."""
        start = time.perf_counter()
        with self.ledger("steps"):
            run.loss = self.training.span(batches, tf.constant(count))
        spent = time.perf_counter() - start
        pace.measured(count, spent)
        run.step += count
        run.epoch_seconds += spent
        run.step_seconds += spent
        run.seconds = time.perf_counter() - run.started

    def _begin_epoch(self, run: Run) -> None:
        run.epoch = run.step // run.steps_per_epoch + 1
        run.epoch_seconds = 0.0
        run.logs = {name: value for name, value in run.logs.items() if name.startswith("val_")}
        self.training.meter.reset()
        self.hooks.call(Plugin.on_epoch_start)

    def _end_epoch(self, run: Run) -> None:
        self.recorder.collect()
        images = self.training.meter.images
        run.images += images
        run.logs |= self.training.meter.read()
        numbers = (run.learning_rate, run.epoch_seconds, images / (run.epoch_seconds or 1.0))
        run.logs |= dict(zip(ENGINE_LOGS, numbers, strict=True))
        self.hooks.call(Plugin.on_epoch_end)
        fresh = run.validated == run.step  # numbers of a validation earlier in the epoch have a line of their own
        self.recorder.history("epoch", {k: v for k, v in run.logs.items() if fresh or not k.startswith("val_")})

    def _validate(self, run: Run, validation: EvaluationPipeline) -> None:
        """Evaluate on validation data, unless told to stop; the metrics of the epoch in progress stay as they are."""
        self.recorder.collect()
        self.hooks.call(Plugin.on_validation_start)
        self.evaluation.meter.reset()
        due = Due(Every(seconds=SPAN_SECONDS), time.perf_counter())
        batches = iter(validation.batches())
        with self._averages():
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

    def _save(self, run: Run) -> None:
        """Save what plugins asked for, after all of them had their turn."""
        roles, run.saves = run.saves, []
        drops, run.drops = run.drops, []
        if roles and run.directory is not None and not run.failed:
            with self.ledger("checkpoints"):
                name = f"epoch={run.epoch:04d}-step={run.step:07d}{'-unfinished' if run.unfinished else ''}"
                state = checkpoint.snapshot(name, self._variables(), resume.facts(run, self.hooks.states()))
                self.recorder.save(state, roles, drops)

    def _save_after(self, run: Run) -> None:
        """Save what plugins asked for after an exception, if the variables are those of `run.step`."""
        if run.saves and int(self.optimizer.iterations) == run.step > 0:
            self._save(run)
            self.recorder.collect()

    @contextmanager
    def _averages(self) -> Iterator[None]:
        """Have the model use the averages of its weights meanwhile, if the optimizer keeps them (`use_ema`)."""
        if not self.optimizer.use_ema:
            yield
            return
        weights = self.model.trainable_variables
        kept = [tf.identity(weight) for weight in weights]
        self.optimizer.finalize_variable_values(weights)
        try:
            yield
        finally:
            for weight, value in zip(weights, kept, strict=True):
                weight.assign(value)

    def _variables(self) -> list[Any]:
        """Return everything that training changes, in the order of a checkpoint."""
        return [*self.model.variables, *self.optimizer.variables, *self.training.meter.variables]

    def _finish(self, run: Run, test: EvaluationPipeline | ImageSet | tf.data.Dataset | None) -> None:
        """Choose the weights, look at the test data once, write the result."""
        if run.failed:
            raise TrainingFailed(run.stop_reason)
        self.recorder.check_saved()
        if run.broken_off:
            return
        best = self.recorder.best()
        if best is not None:
            checkpoint.restore(best, self._variables())
        if self.optimizer.use_ema:
            self.optimizer.finalize_variable_values(self.model.trainable_variables)
        with self.ledger("test"):
            tested = self.evaluate(test) if test is not None else {}
        if run.broken_off:  # told to stop meanwhile: the test is repeated when the run is resumed
            return
        run.result = make_result(run, best, tested, run.images / (run.step_seconds or 1.0))
        self.hooks.call(Plugin.on_test_end)
        run.result["wall_seconds"] = self.ledger.wall()
        run.result["time"] = self.ledger.rounded()
        self.recorder.finish()

    def _plan(
        self,
        train: TrainPipeline,
        validation: EvaluationPipeline | None,
        steps: int,
        data: Mapping[str, Any],
        going_on: bool,
        anyway: bool,
    ) -> Run:
        """Check what can be checked before step 0, compile, and open the run or go on with it."""
        check_plugins(self.plugins, logged_names(self.task, validation is not None))
        if steps < 1:
            raise UsageError(
                f"there is nothing to train: epochs and steps must be at least 1, not {steps} steps in all"
            )
        run = Run(
            seed=self.seed,
            config=self.config,
            model=self.model,
            optimizer=self.optimizer,
            data=data,
            epochs=-(-steps // train.steps_per_epoch),
            steps=steps,
            steps_per_epoch=train.steps_per_epoch,
            validation_steps=validation.steps if validation is not None else 0,
        )
        self._begin_anew(run)
        with self.ledger("trace"):
            self.training = TrainStep(self.model, self.task, self.optimizer, train.spec, self.strategy, self.clip_norm)
            self.training.span.get_concrete_function()
        run.read_metrics = self.training.meter.read
        self.recorder = Recorder(run, self.run_dir, going_on)
        if going_on:
            self._go_on(run, anyway)
        self.recorder.start(self.config_text)
        run.started = time.perf_counter() - run.seconds
        return run

    def _begin_anew(self, run: Run) -> None:
        """Have a second run of this trainer remember nothing of the first."""
        if self._memories is not None:
            self.ledger = Ledger()
        self.hooks = Hooks(self.plugins, run, self.ledger)
        if self._memories is None:
            self._memories = self.hooks.states()
            return
        for plugin in self.plugins:
            if plugin.name in self._memories:
                plugin.restore(copy.deepcopy(self._memories[plugin.name]))

    def _go_on(self, run: Run, anyway: bool) -> None:
        """Take up the run in the run directory where its newest sound checkpoint left it."""
        saved = self.recorder.newest()
        resume.check(run, saved.manifest, anyway)
        checkpoint.restore(saved, self._variables())
        resume.take_up(run, saved.manifest, self.plugins, self.recorder.done)
        self.recorder.cut_history(saved.manifest["history"])
        self.ledger.started -= run.seconds  # the wall time of a run includes its earlier processes' training

    @contextmanager
    def _session(self, run: Run) -> Iterator[None]:
        """Start the plugins, and end each one that was started, however the run ends."""
        with listening(run), closing(self.recorder), self._ending(run), ExitStack() as ends:
            try:
                for plugin in self.plugins:
                    ends.callback(self.hooks.call_one, Plugin.on_fit_end, plugin)
                    self.hooks.call_one(Plugin.on_fit_start, plugin)
                yield
                self._set_status(run, "done" if run.result else "interrupted")
            except BaseException as error:
                run.error = error
                run.stop(str(error) or type(error).__name__)
                self._set_status(run, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
                self.hooks.call(Plugin.on_exception)
                self._save_after(run)
                raise

    @contextmanager
    def _ending(self, run: Run) -> Iterator[None]:
        """Mark a run failed whose plugins could not be ended."""
        try:
            yield
        except PluginError:
            self._set_status(run, "failed")
            self.recorder.withdraw()
            raise

    def _set_status(self, run: Run, status: Status) -> None:
        run.status = status
        self.recorder.status()

    def evaluate(self, data: EvaluationPipeline | ImageSet | tf.data.Dataset) -> dict[str, Any]:
        """Return the task's numbers over all of `data`, every image counted once.

        For classification they are those of `trainer.evaluation.classification_report`.
        """
        pipeline = _evaluating(data)
        self.evaluation.meter.reset()
        batches, outputs, labels = iter(pipeline.batches()), [], []
        for _ in range(pipeline.steps):
            batch, output = self.evaluation.next(batches)
            if self.task.reports:
                outputs.append(np.asarray(output))
                labels.append(np.asarray(batch[-1]))
        report = self.task.report(np.concatenate(outputs), np.concatenate(labels)) if self.task.reports else {}
        return self.evaluation.meter.read() | report

    def predict(self, images: np.ndarray, batch_size: int = 500) -> np.ndarray:
        """Return the model's outputs, by default logits, float32 `[N, K]`.

        Args:
            images: `[N, H, W, C]`, N at least 1: whole numbers from 0 to 255, or floats in [0, 1].
            batch_size: Images a call of the model.
        """
        whole = np.issubdtype(np.asarray(images).dtype, np.integer)
        scaled = np.asarray(images, np.float32) / (255 if whole else 1)
        starts = range(0, len(scaled), batch_size)
        return np.concatenate([np.asarray(self._forward(scaled[i : i + batch_size])) for i in starts])


def _training(data: TrainPipeline | ImageSet | tf.data.Dataset, seed: int) -> TrainPipeline:
    if isinstance(data, ImageSet):
        return Shuffled(data, seed=seed)
    return Streamed(data) if isinstance(data, tf.data.Dataset) else data


def _evaluating(data: EvaluationPipeline | ImageSet | tf.data.Dataset) -> EvaluationPipeline:
    if isinstance(data, ImageSet):
        return InOrder(data)
    return Fixed(data) if isinstance(data, tf.data.Dataset) else data
