"""Before step 0: can this run go through? Everything is looked at, nothing is changed."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from trainer.errors import DataError, InkwellError, UsageError
from trainer.plugin import Plugin
from trainer.runs.directory import check_ended, check_free
from trainer.text import in_bytes

if TYPE_CHECKING:
    import keras

    from trainer.engine.course import Course
    from trainer.engine.learning_rate import LearningRate
    from trainer.run import Run
    from trainer.tasks.task import Task

IDLE = 0.9
"""The share of a run after which its schedule may have come down to zero."""


def check_data(task: Task, model: keras.Model, course: Course) -> None:
    """Compare shapes and labels with the model.

    Raises:
        UsageError: If they do not fit.
    """
    for pipeline in (course.train, course.validation):
        if pipeline is not None:
            labels = np.asarray(pipeline.labels) if pipeline.labels is not None else None
            task.check(model, pipeline.spec, labels)


def check_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an optimizer whose updates are not one per step.

    Raises:
        UsageError: If it accumulates gradients: what is saved, clipped or recovered from would lie between two updates.
    """
    if optimizer.gradient_accumulation_steps:
        raise UsageError(
            f"cannot train with gradient_accumulation_steps={optimizer.gradient_accumulation_steps}: checkpoints, "
            "clip_norm and the plugin recovery need one update per step; leave it out and use a larger batch size"
        )


def check_directory(path: Path | None, resumed: bool) -> None:
    """Look whether the run directory can be made, or its run resumed.

    Raises:
        UsageError: If it exists, or its run is still running.
        InkwellError: If it may not be written to.
    """
    if path is None:
        return
    if resumed:
        check_ended(path)
    else:
        check_free(path)


def check_first_loss(task: Task, model: keras.Model, course: Course) -> None:
    """Look whether the loss of the first batch is finite, if the data can be looked at without using them up.

    Raises:
        DataError: If it is not: training would only spread it.
    """
    batch = course.train.peek()
    if batch is None:
        return
    loss = float(task.forward(model, batch, training=False)[0])
    if not math.isfinite(loss):
        images = np.asarray(batch[0])
        raise DataError(
            f"the loss of the first batch is {loss} before any training; its images have values from "
            f"{images.min():g} to {images.max():g}, initial weights or the loss may be to blame as well"
        )


def check_space(path: Path | None, variables: Iterable[Any], plugins: Iterable[Plugin]) -> str:
    """Look whether the disk has room for the checkpoints that plugins ask for; return what they need, in words.

    Raises:
        InkwellError: If it has not.
    """
    kept = sum(plugin.checkpoints for plugin in plugins)
    if path is None or not kept:
        return "none"
    size = sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)
    room = kept + 2  # the one before the last, and the one that is being written
    folder = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    needs = f"{in_bytes(size)} each, at most {room} at a time"
    if size * room > free:
        raise InkwellError(f"checkpoints need {in_bytes(size * room)} ({needs}), {folder} has {in_bytes(free)} free")
    return f"{needs}; {in_bytes(free)} are free"


def check_schedule(run: Run, rate: LearningRate) -> None:
    """Warn of a schedule that is shorter than the run: nothing would be learnt in the rest."""
    late = round(IDLE * run.steps)
    if 0 < late < run.steps and rate.at(late) < 1e-9:
        run.warn(f"the learning rate of step {late} of {run.steps} is 0; is its schedule as long as the run?")
