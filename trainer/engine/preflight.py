"""Checks before step 0 that a run can succeed."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from trainer.engine.first_batch.labels import look_at_balance
from trainer.engine.first_batch.looks import first_batch, look
from trainer.engine.first_batch.outputs import check_outputs
from trainer.engine.first_batch.shape import check_shapes
from trainer.engine.forward import EVALUATION_SEED
from trainer.errors import DataError, InkwellError, UsageError
from trainer.plugin import Plugin
from trainer.runs.directory import check_ended, check_free
from trainer.text import in_bytes, in_line

if TYPE_CHECKING:
    import keras

    from trainer.engine.course import Course
    from trainer.engine.learning_rate import LearningRate
    from trainer.run import Run
    from trainer.tasks.task import Task

IDLE = 0.9
"""Fraction of a run after which its learning-rate schedule may reach zero."""


def settle(task: Task, model: Any, course: Course) -> None:
    """Prepare the task for the model and the data, and check that shapes and labels match the model.

    Args:
        task: The task; afterwards the names that it logs are settled.
        model: The model, or several by name.
        course: The data.

    Raises:
        UsageError: If they do not, or the task cannot be evaluated.
    """
    if course.validation is not None or course.test is not None:
        check_evaluation(task)
    train, others = course.train, (course.validation, course.test)
    check_shapes(model, train.spec)
    task.prepare(model, train.spec)
    task.check(model, train.spec, train.labels)
    task.balance(train.labels, course.known.get("class_names", ()))
    for pipeline in filter(None, others):
        check_shapes(model, pipeline.spec)
        task.check(model, pipeline.spec, pipeline.labels)


def check_evaluation(task: Task) -> None:
    """Refuse to evaluate with a task that cannot.

    Raises:
        UsageError: If the task has a step, but no method `forward`.
    """
    if not task.has_forward:
        raise UsageError(
            f"cannot validate or test with the task {type(task).__name__}: it has no method forward; add it, or give "
            "training data alone"
        )


def check_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an optimizer that does not update once per step.

    Raises:
        UsageError: If it accumulates gradients: checkpoints, clipping and recovery would fall between two updates.
    """
    if optimizer.gradient_accumulation_steps:
        raise UsageError(
            f"cannot train with gradient_accumulation_steps={optimizer.gradient_accumulation_steps}: checkpoints, "
            "clip_norm and the plugin `recovery` need one update per step; remove it and use a larger batch size"
        )


def check_directory(path: Path | None, resumed: bool) -> None:
    """Check that the run directory can be created, or its run resumed.

    Raises:
        UsageError: If it already exists, or the run to resume is still running.
        InkwellError: If it is not writable.
    """
    if path is None:
        return
    if resumed:
        check_ended(path)
    else:
        check_free(path)


def check_values(run: Run, task: Task, model: Any, course: Course) -> None:
    """Look at the values of training, validation and test data, and warn of those that may be a mistake.

    Raises:
        DataError: If values are not finite or out of range, or weights are negative or all 0.
        UsageError: If the model scales inputs that are scaled already, or labels do not match the model.
    """
    pipelines = {"training": course.train, "validation": course.validation, "test": course.test}
    for part, pipeline in pipelines.items():
        batch = first_batch(pipeline) if pipeline is not None else None
        if pipeline is None or batch is None:
            continue
        notices = look(part, pipeline, batch, model, task)
        labels = batch[1] if pipeline.labels is None and len(batch) > 1 else None
        if labels is not None:  # those of a stream were not known until now
            task.check(model, pipeline.spec, labels)
        if pipeline is course.train:
            notices += look_at_balance(task, pipeline.labels, labels)
        for notice in notices:
            run.warn(notice)


def check_first_loss(task: Task, model: Any, course: Course) -> None:
    """Check that outputs and loss of the first batch are right, if the data can be inspected without consuming them.

    Raises:
        UsageError: If the outputs are not of the kind that the task expects.
        DataError: If it is not finite: training could only make it worse.
    """
    batch = course.train.peek() if task.has_forward else None
    if batch is None:
        return
    first, outputs = task.forward(model, batch, False, EVALUATION_SEED)
    task.scalars.clear()
    check_outputs(task, model, outputs)
    loss = float(first)
    if not math.isfinite(loss):
        images = np.concatenate([np.ravel(leaf) for leaf in tf.nest.flatten(batch[0])])
        raise DataError(
            f"cannot train: the loss of the first batch is {loss} before the first step; check the images (values from "
            f"{images.min():g} to {images.max():g}), the initial weights and the loss"
        )


def check_space(path: Path | None, variables: Iterable[Any], plugins: Iterable[Plugin]) -> str:
    """Check that the disk has room for the checkpoints that plugins keep; return a summary of the space needed.

    Raises:
        InkwellError: If there is not enough space.
    """
    kept = sum(plugin.checkpoints for plugin in plugins)
    if path is None or not kept:
        return "none"
    size = sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)
    room = kept + 2  # the previous one, and the one being written
    folder = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    free = shutil.disk_usage(folder).free
    needs = f"{in_bytes(size)} each, at most {room} at a time"
    if size * room > free:
        raise InkwellError(
            f"cannot train: checkpoints need {in_bytes(size * room)} ({needs}), but {folder} has only {in_bytes(free)} "
            "free; free some space or choose another folder"
        )
    return f"{needs}; {in_bytes(free)} free"


def check_schedule(run: Run, rates: Mapping[str, LearningRate]) -> None:
    """Warn if a learning-rate schedule is shorter than the run: the remaining steps would learn nothing.

    It is counted in steps, at each of which an optimizer updates once, or more often for a task that says so.
    """
    late = round(IDLE * run.steps)
    for name, rate in rates.items():
        if 0 < late < run.steps and rate.at(late) < 1e-9:
            whose = f" of {in_line(name)}" if len(rates) > 1 else ""
            is_zero = f"the learning rate{whose} is already 0 at step {late} of {run.steps}"
            run.warn(f"{is_zero}: its schedule is shorter than the run")
