"""Direct calls of the compiled functions that the trainer calls, on the same pipeline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from trainer.config.schema import Config
from trainer.data.imageset import ImageSet
from trainer.engine.ledger import Ledger
from trainer.session import start

from ..nets import CHECKED, EPSILON, LEARNING_RATE, registered
from ..worker import Job, Turns
from .inkwell import configuration, in_order

if TYPE_CHECKING:
    import keras


class BareLoop:
    """Epochs, each in a single call, followed by a validation if there are validation images."""

    def __init__(self, config: Config, model: keras.Model, train: ImageSet, validation: ImageSet | None = None) -> None:
        from trainer.config.optimizers import build_optimizer
        from trainer.data.pipeline import EvaluationRows, TrainingRows
        from trainer.engine.evaluation_step import EvaluationStep
        from trainer.engine.learners import Learners
        from trainer.engine.step import TrainStep
        from trainer.kernels.select import Kernels
        from trainer.kernels.strategy import Strategy
        from trainer.tasks.classification import Classification

        self.train = TrainingRows(train, config.data.batch_size, config.training.seed, config.data.augmentation)
        optimizer = build_optimizer(config.optimizer, config.training.epochs * self.train.steps_per_epoch)
        learners = Learners(model, optimizer, Classification())
        self.step = TrainStep(learners, self.train.spec, Kernels(), Strategy())
        self.evaluation = EvaluationStep(model, Classification(), Strategy())
        self.step.span()
        self.validation = EvaluationRows(validation) if validation is not None else None
        self.batches: Any = None

    def epoch(self) -> float:
        """Train for an epoch in one call, validate, and return the seconds taken."""
        import tensorflow as tf

        started = time.perf_counter()
        if self.batches is None:
            self.batches = iter(self.train.batches())
        self.step.span()(self.batches, tf.constant(0, tf.int64), tf.constant(self.train.steps_per_epoch))
        if self.validation is not None:
            held_out = iter(self.validation.batches())
            for _ in range(self.validation.steps):
                self.evaluation.next(held_out)
            self.evaluation.meter.read()
        return time.perf_counter() - started


def run(job: Job, turns: Turns) -> None:
    """Train on the job's images."""
    config = configuration(job)
    start(config, Ledger())
    losses, model = first_losses(job), registered(job)
    loop = BareLoop(config, model, ImageSet(*job.train()))
    turns.ready(params=model.count_params(), losses=losses)
    while True:
        turns.wait()
        loop.epoch()


def first_losses(job: Job) -> list[float]:
    """Return the losses of the first steps, on unshuffled images."""
    import keras
    import tensorflow as tf

    from trainer.engine.learners import Learners
    from trainer.engine.step import TrainStep
    from trainer.kernels.select import Kernels
    from trainer.kernels.strategy import Strategy
    from trainer.tasks.classification import Classification

    optimizer, data = keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON), in_order(job)
    learners = Learners(registered(job, dropout=0.0), optimizer, Classification())
    step, batches = TrainStep(learners, data.element_spec, Kernels(), Strategy()), iter(data)
    spans = [step.span()(batches, tf.constant(k, tf.int64), tf.constant(1)) for k in range(CHECKED)]
    return [float(span.losses[0]) for span in spans]
