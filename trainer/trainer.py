"""`Trainer`: fit, resume, plan, evaluate, predict. It puts the loop together; see `lifecycle` and `engine`."""

from __future__ import annotations

import copy
import logging
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Unpack

import keras

from trainer.config.optimizers import build_optimizer
from trainer.config.schema import DEFAULT_PLUGINS, OptimizerConfig
from trainer.console.output import guarded
from trainer.data.augmentation.strength import Strength
from trainer.data.batch import Tree
from trainer.data.pipeline import TrainingRows
from trainer.display.model import model_line
from trainer.display.shown import Shown
from trainer.engine import preflight
from trainer.engine.compiled import settings_of
from trainer.engine.course import Course, FitArguments, Given, course_of, described
from trainer.engine.durations import Durations
from trainer.engine.hooks import Hooks
from trainer.engine.learners import Learners, check_task, given_models
from trainer.engine.learning_rate import LearningRate, is_constant
from trainer.engine.ledger import Ledger
from trainer.engine.loop import Loop
from trainer.engine.signals import listening
from trainer.engine.step import TrainStep
from trainer.errors import Interrupted
from trainer.evaluator import Evaluator, takes_images
from trainer.kernels.select import Kernels, select
from trainer.kernels.strategy import Strategy
from trainer.lifecycle.ending import conclude, plugins_at_work
from trainer.lifecycle.opening import Opening, check, opened
from trainer.plugin import Plugin, check_plugins, in_order
from trainer.registry import plugins as registered
from trainer.result import Scores
from trainer.run import Run, first_of, named
from trainer.runs.directory import default_name
from trainer.runs.lock import RunLock
from trainer.runs.recorder import Recorder
from trainer.startup import keras_defaults
from trainer.tasks.classification import Classification
from trainer.tasks.task import Task, logged_names
from trainer.text import in_line

logger = logging.getLogger("trainer")


class Trainer(Shown):
    """Trains, evaluates and applies one Keras model.

    Args:
        model: A Keras model of any structure; one that is not built yet is built from the data when it is fitted. For
            the default task, from images float32 `[N, H, W, C]` in [0, 1] to logits `[N, K]`.
        models: Several models by name instead, for a task with its own `step`, such as a GAN. The first is the one
            that predicts and is exported.
        task: The task to learn; default: the loss and metrics with which the model is compiled, otherwise
            classification.
        optimizer: A Keras optimizer; default: that with which the model is compiled, otherwise Adam whose learning rate
            rises to 0.002 and falls to 0 along a cosine.
        optimizers: The optimizers of `models`, by the same names.
        plugins: Plugins, which run in this order, except that one that monitors a value runs after the one that logs
            it; `[]` means none. Default: those of `fit.py`, less those that write where there is no run directory.
        run_dir: Run directory, which must not exist. `"auto"`: `runs/<model>-<date>-<time>`. None: nothing is written,
            and the best weights are kept in memory.
        augmentation: Random changes of training images: `none`, `light`, `strong` or a `Strength`; default: light for
            images that `trainer.data.load` made, none for all else.
        seed: Seed of the order and the augmentation of training images.
        clip_norm: Largest global norm of the gradients of a batch; None does not clip.
        kernels: How a step is computed: `keras`, like `Model.fit`, bit for bit; `fused`; `blocks`; or `auto`, which
            picks whatever is known to be fastest. All agree up to rounding.
        strategy: Where variables live.
        config: Configuration as nested values, the same as `config_text`; both are kept with the run.
        config_text: Text of `config.toml`.
        data: Name, digest, sizes and class names of the data, for plugins and the result; default: those of `x` if it
            is a `Data`.
        ledger: The time ledger to continue, of a process that was at work before.

    Raises:
        UsageError: If models or optimizers do not fit together, the task has no `step` for several, a compiled model
            meets a task or an optimizer, or its class computes its own step.
    """

    @keras_defaults()
    def __init__(
        self,
        model: keras.Model | None = None,
        *,
        models: Mapping[str, keras.Model] | None = None,
        task: Task | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
        optimizers: Mapping[str, keras.optimizers.Optimizer] | None = None,
        plugins: Sequence[Plugin] | None = None,
        run_dir: Path | str | None = None,
        augmentation: str | Strength | None = None,
        seed: int = 0,
        clip_norm: float | None = None,
        kernels: str | Kernels = "auto",
        strategy: Strategy | None = None,
        config: Mapping[str, Any] | None = None,
        config_text: str = "",
        data: Mapping[str, Any] | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.given = given_models(model, models, optimizer, optimizers)
        self.task, self.optimizer = settings_of(model, task, optimizer)
        check_task(self.given, self.task)
        self.models, self.optimizers = named(self.given), optimizers
        self.model = first_of(self.given)
        self.plugins = in_order(plugins) if plugins is not None else None
        self.run_dir = _run_dir(run_dir, self.model.name)
        self.augmentation, self.seed, self.clip_norm, self.kernels = augmentation, seed, clip_norm, kernels
        self.strategy = strategy or Strategy()
        self.config, self.config_text, self.data = config or {}, config_text, data
        self.ledger = ledger or Ledger()
        self.evaluator = Evaluator(self.given, self.task, self.strategy)
        self.loop: Loop  # that of the last run
        self._memories: dict[str, Any] | None = None  # plugins' states before their first run

    def _line(self) -> str:
        written = f"writes {in_line(self.run_dir)}" if self.run_dir is not None else "writes nothing"
        trained = f"; {self.run.status}" if hasattr(self, "loop") else ""
        return f"{model_line(self.given)}; {written}{trained}"

    def _card(self) -> str:
        from trainer.data.batch import described
        from trainer.data.structure import Signature
        from trainer.display.html import card, definitions

        signature = Signature.of(self.model) if self.optimizers is None else None
        known = [described(side.tree) for side in (signature.inputs, signature.outputs)] if signature else []
        optimizers = list((self.optimizers or {}).values()) or ([self.optimizer] if self.optimizer is not None else [])
        rows = [
            ("model", ", ".join([model_line(self.given), *([" to ".join(known)] if known else [])])),
            ("task", self.task),
            ("optimizer", ", ".join(type(each).__name__ for each in optimizers) or "Adam (default)"),
            (
                "plugins",
                ", ".join(map(repr, self.plugins)) or "none"
                if self.plugins is not None
                else "those of fit.py (default)",
            ),
            ("kernels", self.kernels),
            ("strategy", self.strategy),
        ]
        return card(repr(self), definitions(rows), self.run._card() if hasattr(self, "loop") else "")

    @property
    def run(self) -> Run:
        """The run in progress, or the last one."""
        return self.loop.run

    @keras_defaults()
    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        validation_data: Any = None,
        test_data: Any = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        callbacks: Sequence[Plugin] = (),
        durations: Durations | None = None,
    ) -> Run:
        """Train, then evaluate `test_data` once with the best weights by validation, or else the last.

        Args:
            x: Training data: an array, or a tuple, list or dict of arrays that are matched with the model's inputs by
                name (uint8 means 0 to 255, and is scaled to 0 to 1); `Rows` such as an `ImageSet`; batches from a
                `tf.data.Dataset`, a `keras.utils.PyDataset`, a generator function or any iterable, such as a loader of
                PyTorch; or the `Data` that `trainer.data.load` returns, which brings its own validation and test
                images.
            y: Labels, if `x` are arrays: for classification whole numbers `[N]`, 0-based.
            sample_weight: Weights of the rows in the loss, `[N]`, if `x` are arrays.
            validation_data: Data by which the best weights are chosen; as `x`, or a tuple `(x, y)` or
                `(x, y, sample_weight)`.
            test_data: Data that are evaluated once, at the end, unless the run failed or was interrupted; as
                `validation_data`.
            epochs: Passes over the training data; default: 10, and at least 800 steps.
            batch_size: Training batch size of arrays and image sets; default: 128.
            callbacks: Plugins of this run alone, besides those of the trainer.
            durations: Steps, time limits and cadences, beyond `epochs`.

        Returns:
            The run: its history, its result, how it ended. The model has the weights that were tested.

        Raises:
            UsageError: If plugins do not fit together, the data or the optimizer cannot be used, or the run directory
                exists.
            DataError: If the loss of the first batch is not finite, before any training.
            InkwellError: If the disk is too full for the checkpoints, or the run directory cannot be made.
            PluginError: If a plugin that steers training raised.
            TrainingFailed: If `run.fail` ended the run, or its last checkpoint could not be written.
            Interrupted: After Ctrl-C or the stop button of a notebook, once the run is saved; `trainer.run` holds it. A
                `KeyboardInterrupt`, so nothing after it runs.
        """
        self._prepare(Given(x, y, sample_weight, validation_data, test_data, epochs, batch_size, callbacks, durations))
        with self._session(Opening()):
            with self.ledger("loop"):
                self.loop.train()
            conclude(self.loop, self.evaluator)
        return _ended(self.run)

    @keras_defaults()
    def resume(
        self,
        x: Any,
        y: Any = None,
        *,
        anyway: bool = False,
        lock: RunLock | None = None,
        **arguments: Unpack[FitArguments],
    ) -> Run:
        """Continue the run in the run directory from its newest sound checkpoint, as if it had never been interrupted.

        Args:
            x: As in `fit`.
            y: As in `fit`.
            anyway: Continue even if the data or the seed are not those of the checkpoint.
            lock: The lock of the run directory, if it is held already; released at the end.
            **arguments: As in `fit`; all must be unchanged, except for how long to train.

        Returns:
            The run, as from `fit`.

        Raises:
            UsageError: As `fit` does; also if another process or thread trains in the run directory.
            CheckpointError: If there is no sound checkpoint to resume from, or it does not fit.
            InkwellError: Whatever else `fit` raises.
        """
        self._prepare(Given(x, y, **arguments))
        with self._session(Opening(resumed=True, anyway=anyway, lock=lock)):
            with self.ledger("loop"):
                self.loop.train()
            conclude(self.loop, self.evaluator)
        return _ended(self.run)

    @keras_defaults()
    def plan(
        self, x: Any, y: Any = None, *, resumed: bool = False, anyway: bool = False, **arguments: Unpack[FitArguments]
    ) -> list[tuple[str, str]]:
        """Make every check of `fit` or `resume` and return what it would do; nothing is written or trained.

        Args:
            x: As in `fit`.
            y: As in `fit`.
            resumed: Plan a `resume` instead of a `fit`.
            anyway: As in `resume`.
            **arguments: As in `fit`.

        Returns:
            Rows of label and text.

        Raises:
            InkwellError: Whatever `fit` or `resume` would raise before the first step.
        """
        self._prepare(Given(x, y, **arguments))
        preflight.check_directory(self.run_dir, resumed)
        saved = check(self.loop, self.task, Opening(resumed, anyway))
        self.loop.start(saved.manifest.counters.step if saved is not None else 0)
        return self.run.plan

    def evaluate(self, x: Any, y: Any = None, sample_weight: Any = None, *, temperature: float | None = None) -> Scores:
        """Return the task's numbers over all of the data; see `Evaluator.evaluate`."""
        return self.evaluator.evaluate(x, y, sample_weight, temperature=temperature)

    def predict(self, x: Any, batch_size: int = 500) -> Tree:
        """Return the model's outputs; see `Evaluator.predict`."""
        return self.evaluator.predict(x, batch_size)

    def _prepare(self, given: Given) -> None:
        """Put together the loop of a new run; nothing is written.

        Raises:
            UsageError: If plugins, data, optimizer and model do not fit together.
        """
        images = takes_images(self.given)
        constant = all(map(is_constant, (self.optimizers or {"": self.optimizer}).values()))
        course = course_of(given, self.evaluator.fitting, images, self.seed, self.augmentation, self.data, constant)
        if self.run_dir is not None:
            course = described(course)
        preflight.settle(self.task, self.given, course)
        self.evaluator.renew()
        train = course.train
        logged = logged_names(self.task, course.validation is not None, self.models)
        plugins = in_order([*self._own_plugins(logged), *given.callbacks])
        check_plugins(plugins, logged)
        optimizer = self.optimizers or self.optimizer or build_optimizer(OptimizerConfig(), course.steps)
        learners = Learners(self.given, optimizer, self.task)
        for each in learners.optimizers.values():
            preflight.check_optimizer(each)
        run = Run(
            name=self.run_dir.name if self.run_dir is not None else "",
            directory=self.run_dir.absolute() if self.run_dir is not None else None,
            seed=self.seed,
            config=self.config,
            classifies=isinstance(self.task, Classification),
            model=self.model,
            optimizer=first_of(learners.optimizers),
            models=learners.models,
            optimizers=learners.optimizers,
            data=course.known,
            training_data=train.rows if isinstance(train, TrainingRows) else None,
            epochs=course.epochs,
            steps=course.steps,
            min_steps=course.durations.least,
            steps_per_epoch=train.steps_per_epoch,
            validation_steps=course.validation.steps if course.validation is not None else 0,
            monitor=self.task.monitor if course.validation is not None else None,
        )
        self.loop = self._loop(run, course, plugins, learners)

    def _own_plugins(self, logged: Collection[str]) -> list[Plugin]:
        """Return the trainer's plugins, or by default those that have something to do in this run."""
        if self.plugins is not None:
            return self.plugins
        named = {name: dict(arguments) for name, arguments in DEFAULT_PLUGINS.items()}
        if "val_loss" not in logged:
            del named["early_stopping"]
            logger.info("no validation data: early stopping is off, and the last weights are kept, not the best")
        default: list[Plugin] = [registered.build(name, **arguments) for name, arguments in named.items()]
        written = self.run_dir is not None
        return [plugin for plugin in default if written or not plugin.writes]

    def _loop(self, run: Run, course: Course, plugins: Sequence[Plugin], learners: Learners) -> Loop:
        """Return the loop of a run; in a second run of this trainer, plugins start afresh."""
        if self._memories is None:
            self._memories = {}
        else:
            self.ledger = Ledger()
        hooks = Hooks(plugins, run, self.ledger)
        states = hooks.states()
        for plugin in hooks.plugins:
            if plugin.name in self._memories:
                plugin.restore(copy.deepcopy(self._memories[plugin.name]))
            elif plugin.name in states:
                self._memories[plugin.name] = states[plugin.name]
        rates = {name: LearningRate(optimizer) for name, optimizer in learners.optimizers.items()}
        norms = any(plugin.gradient_norms for plugin in plugins)
        kernels, spec = self._kernels(course), course.train.spec
        with self.ledger("trace"):
            streamed = not isinstance(course.train, TrainingRows)
            step = TrainStep(learners, spec, kernels, self.strategy, self.seed, self.clip_norm, norms, streamed)
        run.read_metrics, run.kernels = step.meter.read, str(kernels)
        recorder = Recorder(run, self.run_dir)
        return Loop(run, course, step, self.evaluator.step, rates, hooks, recorder, self.ledger)

    def _kernels(self, course: Course) -> Kernels:
        if isinstance(self.kernels, Kernels):
            return self.kernels
        train = course.train
        whole = min(train.batch_size, len(train.rows)) if isinstance(train, TrainingRows) else None
        return select(self.kernels, whole)

    @contextmanager
    def _session(self, opening: Opening) -> Iterator[None]:
        """Open a run, put its plugins to work, and release everything however the run ends."""
        with (
            guarded(),
            opened(self.loop, self.task, opening, self.config_text),
            listening(self.run),
            closing(self.loop.recorder),
            plugins_at_work(self.loop),
        ):
            yield


def _run_dir(given: Path | str | None, model: str) -> Path | None:
    """Return the run directory, or None if nothing is written."""
    if given is None:
        return None
    return Path("runs") / default_name(model) if given == "auto" else Path(given)


def _ended(run: Run) -> Run:
    """Return a run that was not ended by Ctrl-C.

    Raises:
        Interrupted: If it was, or Ctrl-C came while the result was written: nothing after it should run.
    """
    if run.signal != signal.SIGINT:
        return run
    if run.status == "done":
        raise Interrupted(f"{run.stop_reason} after training: the run is done")
    raise Interrupted(f"{run.stop_reason}; {run.way_back}")
