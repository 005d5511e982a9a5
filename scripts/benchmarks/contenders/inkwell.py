"""Inkwell's trainer with its default plugins, as `fit.py` assembles it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.config.schema import Config, DataConfig, ModelConfig, OptimizerConfig, TrainingConfig
from trainer.data.imageset import ImageSet
from trainer.engine.durations import Durations
from trainer.engine.ledger import Ledger
from trainer.kernels.select import Kernels, select
from trainer.plugin import Every, Plugin
from trainer.run import Run
from trainer.session import assemble, check, start

from ..nets import CHECKED, EPSILON, LEARNING_RATE, registered
from ..worker import Job, Turns

if TYPE_CHECKING:
    from trainer.session import Session

ENDLESS = 1_000_000
"""Epochs of a run that the benchmark ends itself."""


class Gate(Plugin):
    """Ends a turn at the start of an epoch, so that it includes all hooks of the previous epoch and its save."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def on_epoch_start(self, run: Run) -> None:
        """Wait for the next turn."""
        self.turns.wait()


class Losses(Plugin):
    """Records the loss of every step."""

    every = Every(steps=1)

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_step_end(self, run: Run) -> None:
        """Record the step's loss."""
        self.losses.append(float(run.loss))


def configuration(job: Job, augmentation: str = "none", epochs: int = ENDLESS, **data: str) -> Config:
    """Return the default configuration with the contenders' common learning rate and without early stopping.

    The job's `extra` may specify kernels.
    """
    config = Config(
        model=ModelConfig(name=job.model, args=job.args),
        data=DataConfig(batch_size=job.batch_size, augmentation=augmentation, **(data or {"name": job.images})),  # type: ignore[arg-type]
        optimizer=OptimizerConfig(learning_rate=LEARNING_RATE, schedule="constant"),
        training=TrainingConfig(epochs=epochs, min_steps=None, kernels=job.extra.get("kernels", "auto")),
        imports=tuple(job.imports),
    )
    config.plugins["early_stopping"]["patience"] = ENDLESS
    return config


def session(job: Job, config: Config, more: Sequence[Plugin] = (), ledger: Ledger | None = None) -> Session:
    """Return the session that `fit.py` makes of a configuration, with `more` plugins first and the initial weights."""
    parts = check(config, config, Path(job.folder))
    parts.plugins[:0] = more
    made = assemble(config, parts, Path(job.folder) / "run", ledger or Ledger())
    if job.weights:
        made.trainer.model.set_weights(job.initial())
    return made


def run(job: Job, turns: Turns) -> None:
    """Train on the job's images, with the augmentation in `extra`."""
    config = configuration(job, job.extra.get("augmentation", "none"))
    start(config, Ledger())
    from trainer.data.pipeline import EvaluationRows, TrainingRows

    losses = first_losses(job) if job.weights else []
    made = session(job, config, [Gate(turns)])
    made.trainer.kernels = kernels(job)
    train = TrainingRows(ImageSet(*job.train()), job.batch_size, 0, config.data.augmentation)
    turns.ready(params=made.trainer.model.count_params(), losses=losses)
    made.trainer.data, made.trainer.augmentation = made.data.describe(), None
    made.trainer.fit(train, validation_data=EvaluationRows(ImageSet(*job.test())), epochs=ENDLESS)


def kernels(job: Job) -> Kernels:
    """Return the job's kernels, with those of a long run from the first step."""
    chosen = select(job.extra.get("kernels", "auto"), job.batch_size)
    chosen.head_start = 0
    return chosen


def first_losses(job: Job) -> list[float]:
    """Return the losses of the first steps on unshuffled images, using a separate trainer."""
    import keras

    from trainer.trainer import Trainer

    watch, optimizer = Losses(), keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON)
    trainer = Trainer(registered(job, dropout=0.0), optimizer=optimizer, kernels=kernels(job), plugins=[watch])
    trainer.fit(in_order(job), durations=Durations(steps=CHECKED))
    return watch.losses


def in_order(job: Job) -> Any:
    """Return the first batches of unshuffled images as a `tf.data.Dataset`."""
    import tensorflow as tf

    images, labels = (array[: CHECKED * job.batch_size] for array in job.train())
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(job.batch_size)
    return batches.map(lambda x, y: (tf.cast(x, tf.float32) / 255.0, y))
