"""Build a trainer and its data from a configuration, as the scripts do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import startup
from trainer.config.build import build_model
from trainer.config.optimizers import build_optimizer, check_optimizer
from trainer.config.schema import Config, TrainingConfig
from trainer.data import load
from trainer.data.augmentation.strength import Strength, strength
from trainer.data.sources.find import check_source
from trainer.engine.durations import Durations
from trainer.engine.ledger import Ledger
from trainer.plugin import Every, Plugin, check_plugins, in_order
from trainer.registry import models, plugins, tasks
from trainer.run import logger
from trainer.runs.trust import check_addresses, import_trusted
from trainer.tasks.task import Task, logged_names

if TYPE_CHECKING:
    from trainer.data.split import Data
    from trainer.engine.course import FitArguments
    from trainer.trainer import Trainer


@dataclass(frozen=True)
class Parts:
    """The parts of a configuration that can be built without data.

    Attributes:
        plugins: Plugins, in running order.
        task: The task to learn.
    """

    plugins: list[Plugin]
    task: Task


def check(config: Config, said: Config, root: Path, origin: str = "") -> Parts:
    """Resolve every name and argument that needs no data, to report wrong ones before TensorFlow is imported.

    Args:
        config: The configuration.
        said: The part of it that comes from the user directly; see `trainer.runs.trust`.
        root: The folder of the runs.
        origin: The file that the rest comes from, for messages.

    Raises:
        UsageError: If a name is unknown, parts do not fit together, or the file decides what only the user may.
    """
    import_trusted(config, said, origin)
    models.find(config.model.name)
    check_optimizer(config.optimizer.name)
    strength(config.data.augmentation, config.data.augmentation_args)
    durations_of(config.training)
    data = config.data
    for name, args in ((data.name, data.args), (data.test, data.test_args)):
        if name is not None:
            check_source(name, Path(data.folder), args)
    for name in config.plugins:
        plugins.find(name)
    tasks.find(config.task.name)
    check_addresses(config, said, root, origin)
    task: Task = tasks.build(config.task.name, **config.task.args)
    built: list[Plugin] = in_order(plugins.build(name, **args) for name, args in config.plugins.items())
    if task.settled:  # otherwise names are complete only with the model
        check_plugins(built, logged_names(task, validation=True))
    return Parts(built, task)


@dataclass
class Session:
    """A trainer with its data, ready to fit."""

    config: Config
    data: Data
    trainer: Trainer

    def arguments(self, stop_when: Path | None = None) -> FitArguments:
        """Return the arguments of `Trainer.fit`, `resume` and `plan` besides the data.

        Args:
            stop_when: A file whose appearance ends the run. It affects no result, and so is no part of the
                configuration.
        """
        durations = durations_of(self.config.training, stop_when)
        return {"batch_size": self.config.data.batch_size, "durations": durations}


def durations_of(training: TrainingConfig, stop_when: Path | None = None) -> Durations:
    """Return how long a configuration trains, and how often it validates."""
    every = training.validate_every_steps
    return Durations(
        epochs=None if training.steps is not None else training.epochs,
        steps=training.steps,
        min_steps=training.min_steps,
        max_time=training.max_time,
        stop_when=stop_when,
        validate_every=Every(steps=every) if every is not None else None,
        log_every=training.log_every_steps,
    )


def start(config: Config, ledger: Ledger) -> None:
    """Start TensorFlow and check the arguments of model and optimizer; a second call is cheap.

    Raises:
        UsageError: If an argument is wrong.
    """
    training = config.training
    with ledger("imports"):
        startup.start(training.seed, training.deterministic, training.dtype)
    models.check(config.model.name, models.resolve(config.model.name), (28, 28, 1), 10, **config.model.args)
    build_optimizer(config.optimizer, steps=1)


def assemble(config: Config, parts: Parts, run_dir: Path, ledger: Ledger) -> Session:
    """Start TensorFlow, load the data, and build model and trainer.

    Raises:
        UsageError: If an argument of model or optimizer is wrong.
        DataError: If the data cannot be read.
    """
    training = config.training
    import_module("optree")  # needed by both threads; no extension module of its kind is initialised beside TensorFlow
    with ThreadPoolExecutor(1) as reader:  # importing and reading both spend much time waiting
        named = config.data
        reading = reader.submit(
            load, named.name, named.folder, training.seed, named.test, args=named.args, test_args=named.test_args
        )
        with startup.IMPORTING:
            start(config, ledger)
            with ledger("imports"):
                from trainer.trainer import Trainer
        with ledger("data"):
            data = reading.result()
    for notice in data.notices:
        logger.warning("%s", notice)
    with ledger("build"):
        model = build_model(config, data.input_shape, data.num_classes)
        steps = durations_of(training).total(-(-len(data.train) // config.data.batch_size))
        trainer = Trainer(
            model,
            task=parts.task,
            optimizer=build_optimizer(config.optimizer, steps),
            plugins=parts.plugins,
            run_dir=run_dir,
            augmentation=_augmentation(config) if data.are_images else "none",
            seed=training.seed,
            clip_norm=config.optimizer.clip_norm,
            kernels=training.kernels,
            config=config.to_dict(),
            config_text=config.to_toml(),
            ledger=ledger,
        )
    return Session(config, data, trainer)


def _augmentation(config: Config) -> str | Strength:
    return strength(config.data.augmentation, config.data.augmentation_args) or "none"
