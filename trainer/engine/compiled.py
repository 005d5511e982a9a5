"""Models compiled with `Model.compile`: their loss, metrics and optimizer are used or refused, never ignored."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from trainer.errors import UsageError
from trainer.kernels.keras_private import compile_arguments
from trainer.tasks.classification import Classification
from trainer.tasks.supervised import Supervised
from trainer.text import in_line

if TYPE_CHECKING:
    import keras

    from trainer.tasks.task import Task

logger = logging.getLogger("trainer")

STEPS = ("train_step", "test_step", "compute_loss", "compute_metrics")
"""Methods of `keras.Model` by which a class changes what `Model.fit` learns; the Trainer calls none of them."""


class Settings(NamedTuple):
    """The task and the optimizer of a run; without an optimizer, the trainer's default is used."""

    task: Task
    optimizer: keras.optimizers.Optimizer | None


def settings_of(model: keras.Model | None, task: Task | None, optimizer: keras.optimizers.Optimizer | None) -> Settings:
    """Return the task and the optimizer for a model: those given, or those that it is compiled with.

    Args:
        model: The model; None if several are given by name, which the task trains.
        task: The task given; default: the loss and the metrics of a compiled model, otherwise classification.
        optimizer: The optimizer given; default: that of a compiled model, otherwise None.

    Raises:
        UsageError: If a compiled model meets a task or an optimizer, is compiled with something that the Trainer does
            not do, or has its own step and no task.
    """
    if model is None:
        return Settings(task or Classification(), optimizer)
    if task is None:
        _refuse_own_step(model)
    if not model.compiled:
        return Settings(task or Classification(), optimizer)
    arguments = compile_arguments(model)
    learned = arguments["loss"] if arguments["loss"] is not None else arguments["metrics"]
    for given, what, own in ((task, "task", learned), (optimizer, "optimizer", model.optimizer)):
        if given is not None and own is not None:
            raise UsageError(
                f"cannot train: the model is compiled with {what_of(own)}, and {what}={type(given).__name__} is given "
                f"too; omit {what}=, or pass a model that is not compiled"
            )
    _refuse(arguments, task)
    used = {"optimizer": model.optimizer, **{key: arguments[key] for key in ("loss", "loss_weights", "metrics")}}
    said = [f"{key.replace('_', ' ')} {what_of(value)}" for key, value in used.items() if value]
    logger.info("the model is compiled: it is trained with its %s%s", ", its ".join(said), _not_needed(arguments))
    task = task or Supervised(arguments["loss"], arguments["metrics"] or (), arguments["loss_weights"])
    return Settings(task, optimizer or model.optimizer)


def _refuse_own_step(model: keras.Model) -> None:
    """Refuse a class that computes its own step.

    Raises:
        UsageError: If it does.
    """
    import keras

    own = [name for name in STEPS if getattr(type(model), name) is not getattr(keras.Model, name)]
    if own:
        raise UsageError(
            f"cannot train: {in_line(type(model).__name__)} overrides {own[0]}, which the Trainer does not call; write "
            "a Task whose forward returns the loss, and pass it as task="
        )


def _refuse(arguments: Mapping[str, Any], task: Task | None) -> None:
    """Refuse arguments of `Model.compile` that would change what is trained.

    Raises:
        UsageError: If there is such an argument.
    """
    if arguments["loss"] is None and task is None:
        raise UsageError("cannot train: the model is compiled without a loss; compile it with loss=, or pass a task=")
    if arguments["run_eagerly"]:
        raise UsageError(
            "cannot train: the model is compiled with run_eagerly=True, but steps run in a compiled graph; compile it "
            "without"
        )
    if arguments["weighted_metrics"]:
        raise UsageError(
            f"cannot train: the model is compiled with weighted_metrics={what_of(arguments['weighted_metrics'])}; "
            "compile it with metrics= instead, or pass a task="
        )


def _not_needed(arguments: Mapping[str, Any]) -> str:
    """Return what is not used of the arguments, since it changes the speed only."""
    ignored = []
    if arguments["steps_per_execution"] not in (None, 1):
        ignored.append(f"steps_per_execution={arguments['steps_per_execution']}: steps are fused anyway")
    if arguments["jit_compile"]:
        ignored.append("jit_compile=True: kernels= decides how a step is computed")
    return f"; not used: {', '.join(ignored)}" if ignored else ""


def what_of(value: Any) -> str:
    """Return losses, metrics or an optimizer as one line of names."""
    return in_line(_names(value))


def _names(value: Any) -> Any:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_names(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(str, map(_names, value))) + "]"
    if isinstance(value, str | int | float) or value is None:
        return str(value)
    return getattr(value, "__name__", type(value).__name__)
