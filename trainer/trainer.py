"""`Trainer`: fit, evaluate, predict. What comes before the loop and after it; the loop is `trainer.engine.loop`."""

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

from trainer import checkpoint
from trainer.console.plan import plan
from trainer.data.imageset import ImageSet
from trainer.data.pipeline import EvaluationPipeline, Fixed, InOrder, Shuffled, Streamed, TrainPipeline
from trainer.engine.hooks import Hooks
from trainer.engine.learning_rate import LearningRate
from trainer.engine.ledger import Ledger, bottleneck
from trainer.engine.loop import Course, Loop
from trainer.engine.preflight import check_data, check_directory, check_first_loss, check_schedule, check_space
from trainer.engine.signals import listening
from trainer.engine.step import EvaluationStep, TrainStep
from trainer.errors import PluginError, TrainingFailed, UsageError
from trainer.evaluation.predictions import Predictions
from trainer.kernels.batch_statistics import BatchStatistics as Population
from trainer.kernels.select import SingleDevice
from trainer.plugin import Every, Plugin, check_plugins, in_order
from trainer.run import Run, Status
from trainer.runs import manifest
from trainer.runs.recorder import Recorder
from trainer.runs.result import make_result
from trainer.tasks.task import Classification, Task, logged_names


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
        self.plugins = in_order(plugins)
        self.run_dir = Path(run_dir) if run_dir is not None else None
        self.config, self.config_text = config or {}, config_text
        self.seed, self.clip_norm = seed, clip_norm
        self.strategy = strategy or SingleDevice()
        self.ledger = ledger or Ledger()
        self.rate = LearningRate(self.optimizer)
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
        population: EvaluationPipeline | ImageSet | tf.data.Dataset | None = None,
        profile: bool = False,
        log_every: int = 50,
        data: Mapping[str, Any] | None = None,
        going_on: bool = False,
        anyway: bool = False,
        dry_run: bool = False,
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
            population: Images as they are, some thousands of those trained on, over which the statistics of batch
                normalisation are measured before every validation; default: the averages that training keeps.
            profile: Trace steps 21 to 40 with TensorFlow's profiler, into the folder `profile` of the run directory.
            log_every: Steps from one line of a batch in the history to the next.
            data: Facts about the data, for plugins and the result.
            going_on: Go on with the run in the run directory, from its newest sound checkpoint, as if it had never been
                interrupted; all other arguments must be as they were, but for how long to train.
            anyway: Go on even if the data or the seed are not those of the checkpoint.
            dry_run: Make all checks, then return the run with its `plan`; nothing was written or trained.

        Returns:
            The run: its history, its result, how it ended. The model has the weights that were tested.

        Raises:
            UsageError: If plugins do not fit together, there is no step to do, the data do not fit the model, the run
                directory exists or is in use, or there is a `population` but no batch normalisation or validation.
            DataError: If the loss of the first batch is not finite, before any training.
            InkwellError: If the disk is too small for the checkpoints, or the run directory cannot be made.
            CheckpointError: If there is no sound checkpoint to resume from, or it does not fit.
            PluginError: If a plugin that steers training raised.
            TrainingFailed: If the run was ended by `run.fail`, or its last checkpoint could not be written.
        """
        learnt = _training(train, self.seed)
        validated = _evaluating(validation) if validation is not None else None
        measured = self._population(population, validated)
        course = Course(learnt, validated, validate_every or Every(epochs=1), measured, max_time, profile, log_every)
        total = epochs * learnt.steps_per_epoch if steps is None else steps
        self.loop = self._prepare(course, total, data or {})
        with self.ledger("preflight"):
            saved = self._preflight(course, going_on, anyway)
        self.loop.start(course, saved.manifest["step"] if saved is not None else 0)
        if dry_run:
            return self.loop.run
        with self.ledger("checkpoints"):
            self._open(saved)
        with self._session(self.loop.run):
            self.loop.train(course)
            self._finish(self.loop.run, course.validation, test)
        return self.loop.run

    def _population(
        self, images: EvaluationPipeline | ImageSet | tf.data.Dataset | None, validation: EvaluationPipeline | None
    ) -> Population | None:
        if images is None:
            return None
        if validation is None:
            raise UsageError("the statistics of batch normalisation are measured before validations; there are none")
        return Population(self.model, _evaluating(images))

    def _finish(
        self,
        run: Run,
        validation: EvaluationPipeline | None,
        test: EvaluationPipeline | ImageSet | tf.data.Dataset | None,
    ) -> None:
        """Choose the weights, fit their temperature, look at the test data once, write the result."""
        if run.failed:
            raise TrainingFailed(run.stop_reason)
        recorder = self.loop.recorder
        with self.ledger("checkpoints"):
            recorder.check_saved()
            if run.broken_off:
                return
            best = recorder.best()
            if best is not None:
                checkpoint.restore(best, self.loop.variables)
        if self.optimizer.use_ema:
            self.optimizer.finalize_variable_values(self.model.trainable_variables)
        with self.ledger("test"):
            temperature = self.temperature(validation) if validation is not None else None
            tested, run.predictions = self.assess(test, temperature) if test is not None else ({}, None)
        if run.broken_off:  # told to stop meanwhile: the test is repeated when the run is resumed
            return
        speed = run.images / (run.step_seconds or 1.0)
        run.result = make_result(run, best, tested, speed, str(self.strategy), temperature)
        self._account(run.result)  # as far as it goes, for what plugins tell
        self.loop.hooks.call(Plugin.on_test_end)
        self._account(run.result)
        recorder.finish()

    def _account(self, result: dict[str, Any]) -> None:
        """Write down where the time went until now."""
        self.ledger.rest("other")
        result["wall_seconds"] = self.ledger.wall()
        result["time"] = self.ledger.rounded()
        result["bottleneck"] = bottleneck(self.ledger.seconds)

    def _prepare(self, course: Course, steps: int, data: Mapping[str, Any]) -> Loop:
        """Put the loop of a new run together; nothing is written.

        Raises:
            UsageError: If plugins, data and model do not fit together, or there is no step to do.
        """
        train, validation = course.train, course.validation
        check_plugins(self.plugins, logged_names(self.task, validation is not None))
        if steps < 1:
            raise UsageError(
                f"there is nothing to train: epochs and steps must be at least 1, not {steps} steps in all"
            )
        check_data(self.task, self.model, course)
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
        hooks = self._begin_anew(run)
        with self.ledger("trace"):
            norms = any(plugin.gradient_norms for plugin in self.plugins)
            step = TrainStep(self.model, self.task, self.optimizer, train.spec, self.strategy, self.clip_norm, norms)
        run.read_metrics = step.meter.read
        return Loop(run, step, self.evaluation, self.rate, hooks, Recorder(run, self.run_dir), self.ledger)

    def _begin_anew(self, run: Run) -> Hooks:
        """Return the hooks of a run; a second run of this trainer remembers nothing of the first."""
        if self._memories is not None:
            self.ledger = Ledger()
        hooks = Hooks(self.plugins, run, self.ledger)
        if self._memories is None:
            self._memories = hooks.states()
            return hooks
        for plugin in self.plugins:
            if plugin.name in self._memories:
                plugin.restore(copy.deepcopy(self._memories[plugin.name]))
        return hooks

    def _preflight(self, course: Course, going_on: bool, anyway: bool) -> checkpoint.Checkpoint | None:
        """Look at everything that can fail later, change nothing, and write the plan of the run into `run.plan`.

        Returns:
            The checkpoint to go on from, if there is one.
        """
        loop, saved = self.loop, None
        check_directory(self.run_dir, going_on)
        if going_on:
            saved = loop.recorder.newest()
            manifest.check(loop.run, saved.manifest, anyway)
            checkpoint.check_fits(saved, loop.variables)
        check_first_loss(self.task, self.model, course)
        check_schedule(loop.run, self.rate)
        space = check_space(self.run_dir, loop.variables, self.plugins)
        loop.run.plan = plan(loop.run, course, self.plugins, self.rate, space, saved)
        return saved

    def _open(self, saved: checkpoint.Checkpoint | None) -> None:
        """Make the run directory, or take up the run in it where `saved` left it."""
        run, recorder = self.loop.run, self.loop.recorder
        recorder.open(going_on=saved is not None)
        if saved is not None:
            self.loop.take_up(saved, recorder.done)
            self.ledger.started -= run.seconds  # the wall time of a run includes its earlier processes' training
            self.ledger.seconds["earlier"] = run.seconds
        recorder.start(self.config_text)
        run.started = time.perf_counter() - run.seconds

    @contextmanager
    def _session(self, run: Run) -> Iterator[None]:
        """Start the plugins, and end each one that was started, however the run ends."""
        hooks = self.loop.hooks
        with listening(run), closing(self.loop.recorder), self._ending(run), ExitStack() as ends:
            try:
                for plugin in self.plugins:
                    ends.callback(hooks.call_one, Plugin.on_fit_end, plugin)
                    hooks.call_one(Plugin.on_fit_start, plugin)
                yield
                self._set_status(run, "done" if run.result else "interrupted")
            except BaseException as error:
                run.error = error
                run.stop(str(error) or type(error).__name__)
                self._set_status(run, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
                hooks.call(Plugin.on_exception)
                self.loop.save_after_exception()
                raise

    @contextmanager
    def _ending(self, run: Run) -> Iterator[None]:
        """Mark a run failed whose plugins could not be ended."""
        try:
            yield
        except PluginError:
            self._set_status(run, "failed")
            self.loop.recorder.withdraw()
            raise

    def _set_status(self, run: Run, status: Status) -> None:
        run.status = status
        self.loop.recorder.status()

    def temperature(self, validation: EvaluationPipeline | ImageSet | tf.data.Dataset) -> float | None:
        """Return what logits are to be divided by for calibrated probabilities; None if the task has no such thing."""
        if not self.task.reports:
            return None
        outputs, labels = self._outputs(_evaluating(validation))
        return self.task.temperature(outputs, labels) if np.isfinite(outputs).all() else None

    def evaluate(
        self, data: EvaluationPipeline | ImageSet | tf.data.Dataset, temperature: float | None = None
    ) -> dict[str, Any]:
        """Return the task's numbers over all of `data`, every image counted once.

        For classification they are those of `trainer.evaluation.classification_report`, and `calibrated_ece` and
        `calibrated_nll` if the temperature is given.

        Args:
            data: Images and labels.
            temperature: What logits are divided by for calibrated probabilities, as `result.json` has it.
        """
        return self.assess(data, temperature)[0]

    def assess(
        self, data: EvaluationPipeline | ImageSet | tf.data.Dataset, temperature: float | None = None
    ) -> tuple[dict[str, Any], Predictions | None]:
        """Return what `evaluate` returns, and the outputs it comes from if the task reports about them."""
        pipeline = _evaluating(data)
        outputs, labels = self._outputs(pipeline)
        numbers = self.evaluation.meter.read()
        if not self.task.reports:
            return numbers, None
        images = pipeline.data.images if isinstance(pipeline, InOrder) else None
        report = self.task.report(outputs, labels, temperature)
        return numbers | report, Predictions(outputs, labels, images, temperature)

    def _outputs(self, pipeline: EvaluationPipeline) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate all batches; return the model's outputs and the labels, empty if the task does not want them."""
        self.evaluation.meter.reset()
        batches, outputs, labels = iter(pipeline.batches()), [], []
        for _ in range(pipeline.steps):
            batch, output = self.evaluation.next(batches)
            if self.task.reports:
                outputs.append(np.asarray(output))
                labels.append(np.asarray(batch[-1]))
        return (np.concatenate(outputs), np.concatenate(labels)) if outputs else (np.empty(0), np.empty(0))

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
