"""`Trainer`: fit, resume, plan, evaluate, predict. What comes before the loop and after it; the loop is in `engine`."""

from __future__ import annotations

import copy
import logging
import signal
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Unpack

import keras
import numpy as np

from trainer import checkpoint
from trainer.config.optimizers import build_optimizer
from trainer.config.schema import DEFAULT_PLUGINS, OptimizerConfig
from trainer.console.output import guarded
from trainer.console.plan import plan
from trainer.data.augmentation.strength import Strength
from trainer.data.pipeline import EvaluationArray, TrainingArray
from trainer.display.shown import Shown
from trainer.engine import preflight
from trainer.engine.course import Course, FitArguments, Given, course_of
from trainer.engine.durations import Durations
from trainer.engine.hooks import Hooks
from trainer.engine.learning_rate import LearningRate
from trainer.engine.ledger import Ledger, bottleneck
from trainer.engine.loop import Loop
from trainer.engine.signals import check_notice, listening
from trainer.engine.step import TrainStep
from trainer.errors import Interrupted, PluginError, TrainingFailed
from trainer.evaluation.overlap import overlap
from trainer.evaluator import Evaluator
from trainer.kernels.select import Kernels, select
from trainer.kernels.strategy import Strategy
from trainer.plugin import Plugin, check_plugins, in_order
from trainer.registry import plugins as registered
from trainer.result import Result, Scores
from trainer.run import Run, Status
from trainer.runs import manifest
from trainer.runs.directory import default_name
from trainer.runs.lock import RunLock
from trainer.runs.manifest import Manifest, Saved
from trainer.runs.numerics import differences, version_differences
from trainer.runs.recorder import Recorder
from trainer.runs.result import make_result
from trainer.runs.untrusted_keras import config_json
from trainer.startup import keras_defaults
from trainer.tasks.classification import Classification
from trainer.tasks.task import Task, logged_names
from trainer.text import count, in_line

logger = logging.getLogger("trainer")


class Trainer(Shown):
    """Trains, evaluates and applies one Keras model.

    Args:
        model: A built functional model: images float32 `[N, H, W, C]` in [0, 1] to, by default, logits `[N, K]`.
        task: What is learned; default: classification.
        optimizer: A Keras optimizer; default: Adam whose learning rate rises to 0.002 and falls to 0 along a cosine.
        plugins: They run in this order, but for those that need what another logs; `[]` means none. Default: those of
            `fit.py`; without a run directory, those of them that need none.
        run_dir: Where the run is written; must not exist. `"auto"`: `runs/<model>-<date>-<time>`. None: nothing is
            written, and the best weights are kept in memory.
        augmentation: Random changes of training images: `none`, `light`, `strong` or a `Strength`; default: light for
            images that `trainer.data.load` made, none for all else.
        seed: Keys the order and the augmentation of training images.
        clip_norm: Largest global norm of the gradients of a batch; None leaves them as they are.
        kernels: How a step is computed: `keras`, as `Model.fit` does, bit for bit; `fused`; `blocks`; or `auto`, which
            chooses what is known to be fast. All give the same to rounding.
        strategy: Where variables live.
        config: Nested values that `config_text` says in TOML; both are kept with the run.
        config_text: Text of `config.toml`.
        data: What is known of the data, for plugins and the result; default: what a `Data` says of itself.
        ledger: The time ledger to continue, of a process that had work to do before.
    """

    @keras_defaults()
    def __init__(
        self,
        model: keras.Model,
        *,
        task: Task | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
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
        self.model = model
        self.task = task or Classification()
        self.optimizer = optimizer
        self.plugins = in_order(plugins) if plugins is not None else None
        self.run_dir = _run_dir(run_dir, model.name)
        self.augmentation, self.seed, self.clip_norm, self.kernels = augmentation, seed, clip_norm, kernels
        self.strategy = strategy or Strategy()
        self.config, self.config_text, self.data = config or {}, config_text, data
        self.ledger = ledger or Ledger()
        self.evaluator = Evaluator(model, self.task, self.strategy)
        self.loop: Loop  # that of the last run
        self._memories: dict[str, Any] | None = None  # what plugins remembered before their first run

    def _line(self) -> str:
        written = f"writes {in_line(self.run_dir)}" if self.run_dir is not None else "writes nothing"
        trained = f"; {self.run.status}" if hasattr(self, "loop") else ""
        return f"{in_line(self.model.name)}, {count(self.model.count_params(), 'parameter')}; {written}{trained}"

    def _card(self) -> str:
        from trainer.display.html import card, facts

        shapes = " to ".join("x".join(map(str, s[1:])) for s in (self.model.input_shape, self.model.output_shape))
        rows = [
            ("model", f"{in_line(self.model.name)}, {count(self.model.count_params(), 'parameter')}, {shapes}"),
            ("task", self.task),
            ("optimizer", type(self.optimizer).__name__ if self.optimizer is not None else "Adam (default)"),
            (
                "plugins",
                ", ".join(map(repr, self.plugins)) or "none"
                if self.plugins is not None
                else "those of fit.py (default)",
            ),
            ("kernels", self.kernels),
            ("strategy", self.strategy),
        ]
        return card(repr(self), facts(rows), self.run._card() if hasattr(self, "loop") else "")

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
        validation_data: Any = None,
        test_data: Any = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        callbacks: Sequence[Plugin] = (),
        durations: Durations | None = None,
    ) -> Run:
        """Train, then evaluate `test_data` once, with the best weights by validation, else the last.

        Args:
            x: What to learn from: images in an array (uint8 from 0 to 255, or floats from 0 to 1), an `ImageSet`, a
                batched `tf.data.Dataset`, or the `Data` that `trainer.data.load` returns, which brings its own
                validation and test images.
            y: Labels of images in an array: whole numbers `[N]`, 0-based.
            validation_data: What to choose the best weights by; as `x`, or a pair `(x, y)`.
            test_data: What is evaluated once, at the end, unless the run failed or was interrupted; as
                `validation_data`.
            epochs: Passes over the training data; default: 10.
            batch_size: Training batch size of arrays and image sets; default: 128.
            callbacks: Plugins of this run alone, besides those of the trainer.
            durations: Steps, time limits and cadences, for more than `epochs` can say.

        Returns:
            The run: its history, its result, how it ended. The model has the weights that were tested.

        Raises:
            UsageError: If plugins do not fit together, the data or the optimizer cannot be trained with, or the run
                directory exists.
            DataError: If the loss of the first batch is not finite, before any training.
            InkwellError: If the disk is too small for the checkpoints, or the run directory cannot be made.
            PluginError: If a plugin that steers training raised.
            TrainingFailed: If the run was ended by `run.fail`, or its last checkpoint could not be written.
            Interrupted: After Ctrl-C or the stop button of a notebook, once the run is saved; `trainer.run` holds it. A
                `KeyboardInterrupt`, so that nothing that was to follow runs.
        """
        self._prepare(Given(x, y, validation_data, test_data, epochs, batch_size, callbacks, durations))
        with self._session(resumed=False):
            with self.ledger("loop"):
                self.loop.train()
            self._finish()
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
            **arguments: As in `fit`; all must be as they were, but for how long to train.

        Returns:
            The run, as `fit` does.

        Raises:
            UsageError: As `fit` does; also if another process or thread trains in the run directory.
            CheckpointError: If there is no sound checkpoint to resume from, or it does not fit.
            InkwellError: For all else that `fit` raises.
        """
        self._prepare(Given(x, y, **arguments))
        with self._session(resumed=True, anyway=anyway, lock=lock):
            with self.ledger("loop"):
                self.loop.train()
            self._finish()
        return _ended(self.run)

    @keras_defaults()
    def plan(
        self, x: Any, y: Any = None, *, resumed: bool = False, anyway: bool = False, **arguments: Unpack[FitArguments]
    ) -> list[tuple[str, str]]:
        """Make all checks of `fit` or `resume`, and return what it would do; nothing is written or trained.

        Args:
            x: As in `fit`.
            y: As in `fit`.
            resumed: Plan what `resume` would do.
            anyway: As in `resume`.
            **arguments: As in `fit`.

        Returns:
            Rows of label and text.

        Raises:
            InkwellError: Whatever `fit` or `resume` would raise before the first step.
        """
        self._prepare(Given(x, y, **arguments))
        preflight.check_directory(self.run_dir, resumed)
        saved = self._preflight(resumed, anyway)
        self.loop.start(saved.manifest.counters.step if saved is not None else 0)
        return self.run.plan

    def evaluate(self, x: Any, y: Any = None, *, temperature: float | None = None) -> Scores:
        """Return the task's numbers over all of the data; see `Evaluator.evaluate`."""
        return self.evaluator.evaluate(x, y, temperature=temperature)

    def predict(self, x: Any, batch_size: int = 500) -> np.ndarray:
        """Return the model's outputs; see `Evaluator.predict`."""
        return self.evaluator.predict(x, batch_size)

    def _prepare(self, given: Given) -> None:
        """Put the loop of a new run together; nothing is written.

        Raises:
            UsageError: If plugins, data, optimizer and model do not fit together.
        """
        course = course_of(given, self.seed, self.augmentation, self.data)
        train, logged = course.train, logged_names(self.task, course.validation is not None)
        plugins = in_order([*self._own_plugins(logged), *given.callbacks])
        check_plugins(plugins, logged)
        preflight.check_data(self.task, self.model, course)
        optimizer = self.optimizer or build_optimizer(OptimizerConfig(), course.steps)
        preflight.check_optimizer(optimizer)
        run = Run(
            name=self.run_dir.name if self.run_dir is not None else "",
            directory=self.run_dir.absolute() if self.run_dir is not None else None,
            seed=self.seed,
            config=self.config,
            model=self.model,
            optimizer=optimizer,
            data=course.known,
            training_data=train.data if isinstance(train, TrainingArray) else None,
            epochs=-(-course.steps // train.steps_per_epoch),
            steps=course.steps,
            steps_per_epoch=train.steps_per_epoch,
            validation_steps=course.validation.steps if course.validation is not None else 0,
        )
        self.loop = self._loop(run, course, plugins)

    def _own_plugins(self, logged: Collection[str]) -> list[Plugin]:
        """Return the trainer's plugins; if none were given, the default ones that have something to do in this run."""
        if self.plugins is not None:
            return self.plugins
        named = {name: dict(arguments) for name, arguments in DEFAULT_PLUGINS.items()}
        if "val_loss" not in logged:
            named["checkpoint"] = {"monitor": None}
            logger.info("no validation data: early stopping is off, and the last weights are kept, not the best")
        default: list[Plugin] = [registered.build(name, **arguments) for name, arguments in named.items()]
        written = self.run_dir is not None
        return [plugin for plugin in default if (written or not plugin.writes) and set(plugin.monitors) <= set(logged)]

    def _loop(self, run: Run, course: Course, plugins: Sequence[Plugin]) -> Loop:
        """Return the loop of a run; a second run of this trainer remembers nothing of the first."""
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
        rate = LearningRate(run.optimizer)
        norms = any(plugin.gradient_norms for plugin in plugins)
        kernels, spec = self._kernels(course), course.train.spec
        with self.ledger("trace"):
            step = TrainStep(self.model, self.task, run.optimizer, spec, kernels, self.strategy, self.clip_norm, norms)
        run.read_metrics, run.kernels = step.meter.read, str(kernels)
        recorder = Recorder(run, self.run_dir)
        return Loop(run, course, step, self.evaluator.step, rate, hooks, recorder, self.ledger)

    def _kernels(self, course: Course) -> Kernels:
        if isinstance(self.kernels, Kernels):
            return self.kernels
        train = course.train
        whole = min(train.batch_size, len(train.data)) if isinstance(train, TrainingArray) else None
        return select(self.kernels, whole)

    def _preflight(self, resumed: bool, anyway: bool) -> Saved | None:
        """Look at everything that can fail later, change nothing, and write the plan of the run into `run.plan`.

        Returns:
            The checkpoint to resume from, if there is one.
        """
        loop, saved = self.loop, None
        with self.ledger("preflight"):
            check_notice(loop.course.durations.stop_when)
            if resumed:
                saved = loop.recorder.newest()
                manifest.check(loop.run, saved.manifest, anyway)
                _say_bits(loop.run, saved.manifest)
                checkpoint.check_fits(saved.checkpoint, loop.variables)
            loop.hooks.check()
            preflight.check_first_loss(self.task, self.model, loop.course)
            preflight.check_schedule(loop.run, loop.rate)
            space = preflight.check_space(self.run_dir, loop.variables, loop.hooks.plugins)
            loop.run.plan = plan(loop.run, loop.course, loop.hooks.plugins, loop.rate, space, saved)
        return saved

    def _start(self, saved: Saved | None) -> None:
        """Make the run directory, or take up the run in it where `saved` left it; batches are made meanwhile."""
        loop, run = self.loop, self.run
        loop.start(saved.manifest.counters.step if saved is not None else 0)
        with self.ledger("checkpoints"):
            loop.recorder.open(resumed=saved is not None)
            if saved is not None:
                loop.take_up(saved, loop.recorder.done)
                _say_rates(run, saved.manifest)
                self.ledger.started -= run.seconds  # the wall time of a run includes its earlier processes' training
                self.ledger.seconds["earlier"] = run.seconds
            loop.recorder.start(self.config_text, "" if self.config else config_json(self.model))
        if (find_out := loop.course.seen) is not None:
            loop.recorder.remember(find_out)
        loop.started = time.perf_counter() - run.seconds

    @contextmanager
    def _session(self, resumed: bool, anyway: bool = False, lock: RunLock | None = None) -> Iterator[None]:
        """Check and open a run, start its plugins, and end each one that was started, however the run ends."""
        run, hooks, recorder = self.run, self.loop.hooks, self.loop.recorder
        with (
            guarded(),
            self._opened(resumed, anyway, lock),
            listening(run),
            closing(recorder),
            self._ending(),
            ExitStack() as ends,
        ):
            try:
                for plugin in hooks.plugins:
                    ends.callback(hooks.call_one, Plugin.on_fit_end, plugin)
                    hooks.call_one(Plugin.on_fit_start, plugin)
                yield
                self._set_status("done" if run.result else "interrupted")
            except BaseException as error:
                run.error = error
                run.stop(str(error) or type(error).__name__)
                self._set_status("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
                hooks.call(Plugin.on_exception)
                self.loop.save_after_exception()
                raise

    @contextmanager
    def _opened(self, resumed: bool, anyway: bool, lock: RunLock | None) -> Iterator[None]:
        """Claim, check and open the run directory, and let go of it in the end."""
        recorder = self.loop.recorder
        with closing(recorder):
            if resumed:
                recorder.claim(lock)
            else:
                preflight.check_directory(self.run_dir, resumed)
            self._start(self._preflight(resumed, anyway))
            yield

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Mark a run failed whose plugins could not be ended."""
        try:
            yield
        except PluginError:
            self._set_status("failed")
            self.loop.recorder.withdraw()
            raise

    def _set_status(self, status: Status) -> None:
        self.run.status = status
        self.loop.recorder.status()

    def _finish(self) -> None:
        """Choose the weights, fit their temperature, look at the test data once, write the result."""
        run, recorder, evaluator = self.run, self.loop.recorder, self.evaluator
        if run.failed:
            raise TrainingFailed(run.stop_reason)
        with self.ledger("checkpoints"):
            recorder.check_saved()
            if run.broken_off:
                return
            best = recorder.best()
            if best is not None:
                checkpoint.restore(best.checkpoint, self.loop.variables)
        if run.optimizer.use_ema:
            run.optimizer.finalize_variable_values(self.model.trainable_variables)
        with self.ledger("test"):
            validation, test = self.loop.course.validation, self.loop.course.test
            temperature = evaluator.temperature(validation) if validation is not None else None
            tested, run.predictions = evaluator.assess(test, temperature) if test is not None else (Scores(), None)
            if (seen := recorder.seen) is not None and isinstance(test, EvaluationArray):
                right = run.predictions.right if run.predictions is not None else None
                tested = Scores({**tested, "overlap": overlap(seen, test.data, right).to_dict()})
        if run.broken_off:  # told to stop meanwhile: the test is repeated when the run is resumed
            return
        speed = run.images / (run.step_seconds or 1.0)
        run.kernels = str(self.loop.training.kernels)  # `auto` knows now what it chose
        run.result = self._accounted(make_result(run, best, tested, speed, temperature))
        self.loop.hooks.call(Plugin.on_test_end)
        run.result = self._accounted(run.result)
        recorder.finish()

    def _accounted(self, result: Result) -> Result:
        """Return a result with where the time went until now."""
        self.ledger.rest("other")
        spent = {"wall_seconds": self.ledger.wall(), "time": self.ledger.rounded()}
        return Result({**result, **spent, "bottleneck": bottleneck(self.ledger.seconds)})


def _say_bits(run: Run, before: Manifest) -> None:
    """Warn of a run that will not be what it would have been without the break, since it is computed otherwise now."""
    now = Manifest.of(run, {})
    differ = [*differences(before.numerics, now.numerics), *version_differences(before.versions, now.versions)]
    if differ:
        run.warn(f"the run continues, but not bit for bit: {', '.join(differ)}")


def _say_rates(run: Run, before: Manifest) -> None:
    """Warn of a learning rate that jumps because the schedule of a longer or shorter run is another curve."""
    old, new = before.learning_rate, run.learning_rate
    if old is not None and run.steps != before.steps and abs(new - old) > 0.01 * max(new, old):
        run.warn(
            f"the learning rate goes from {old:.3g} to {new:.3g} at step {run.step:,}, since the run has {run.steps:,} "
            f"steps now instead of {before.steps:,}; optimizer.schedule_steps={before.steps} keeps the old curve"
        )


def _run_dir(given: Path | str | None, model: str) -> Path | None:
    """Return where a run is written, if it is."""
    if given is None:
        return None
    return Path("runs") / default_name(model) if given == "auto" else Path(given)


def _ended(run: Run) -> Run:
    """Return a run that ended by itself.

    Raises:
        Interrupted: If Ctrl-C ended it, or came while the result was written: whatever was to come next shall not run.
    """
    if run.signal != signal.SIGINT:
        return run
    if run.status == "done":
        raise Interrupted(f"{run.stop_reason} after training: the run is done")
    raise Interrupted(f"{run.stop_reason}; {run.way_back}")
