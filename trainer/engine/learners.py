"""The learners of a run: its models and the optimizers that train them, under equal names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import keras
import tensorflow as tf

from trainer import checkpoint
from trainer.errors import UsageError
from trainer.run import named
from trainer.tasks.task import Task
from trainer.text import in_line

T = TypeVar("T")


@dataclass(frozen=True)
class Learners:
    """The models that a run trains, and their optimizers.

    Attributes:
        model: A model, or several by name; what `Task.forward` is given.
        optimizer: Its optimizer, or one for each model, by the same names.
        task: The task, whose own variables the first optimizer trains.

    Raises:
        UsageError: If the names differ, or an optimizer has two names.
    """

    model: keras.Model | Mapping[str, keras.Model]
    optimizer: keras.optimizers.Optimizer | Mapping[str, keras.optimizers.Optimizer]
    task: Task

    def __post_init__(self) -> None:
        models, optimizers = self.models, self.optimizers
        if set(models) != set(optimizers):
            raise UsageError(
                f"cannot train the models {_listed(models)} with the optimizers {_listed(optimizers)}: the names must "
                "be equal"
            )
        if len({id(optimizer) for optimizer in optimizers.values()}) < len(optimizers):
            raise UsageError(
                f"cannot train the models {_listed(models)} with one optimizer: it keeps the state of each variable; "
                "make one for each model"
            )

    @property
    def models(self) -> Mapping[str, keras.Model]:
        """The models by name; a single one is called `model`."""
        return named(self.model)

    @property
    def optimizers(self) -> Mapping[str, keras.optimizers.Optimizer]:
        """The optimizers by name, in the order of the models."""
        given = named(self.optimizer)
        return {name: given[name] for name in self.models} if set(given) == set(self.models) else given

    def build(self) -> None:
        """Create the variables of the optimizers."""
        for name, optimizer in self.optimizers.items():
            optimizer.build(self.trained(name))

    def trained(self, name: str) -> list[keras.Variable]:
        """Return the variables that an optimizer trains: its model's, followed, for the first, by the task's own."""
        own = self.models[name].trainable_variables
        first = name == next(iter(self.models))
        return [*own, *(v for v in self.of_task if v.trainable)] if first else list(own)

    @property
    def of_task(self) -> list[keras.Variable]:
        """The task's own variables, without those of the models."""
        of_models = {id(variable) for model in self.models.values() for variable in model.variables}
        return [variable for variable in self.task.variables if id(variable) not in of_models]

    @property
    def only(self) -> tuple[keras.Model, list[keras.Variable], keras.optimizers.Optimizer]:
        """The only model, the variables that are trained with it, and its optimizer."""
        ((name, model),) = self.models.items()
        return model, self.trained(name), self.optimizers[name]

    @property
    def variables(self) -> list[Any]:
        """The variables of the models and then of the optimizers, in checkpoint order.

        The names of those of several models begin with the model's.
        """
        groups = (self.models, self.optimizers)
        owned = [(name, each) for group in groups for name, owner in group.items() for each in owner.variables]
        if not isinstance(self.model, Mapping):
            return [each for _, each in owned]
        return [checkpoint.Named(name, each) for name, each in owned]

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the averaged weights inside the context, for optimizers that keep averages (`use_ema`)."""
        with ExitStack() as stack:
            for name, optimizer in self.optimizers.items():
                if optimizer.use_ema:
                    stack.enter_context(_restored(self.trained(name)))
            self.average()
            yield

    def average(self) -> None:
        """Replace the weights by their averages, for optimizers that keep averages (`use_ema`)."""
        for name, optimizer in self.optimizers.items():
            if optimizer.use_ema:
                optimizer.finalize_variable_values(self.trained(name))


@contextmanager
def _restored(variables: list[keras.Variable]) -> Iterator[None]:
    """Give variables their present values back at the end."""
    kept = [tf.identity(variable) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)


def given_models(
    model: keras.Model | None,
    models: Mapping[str, keras.Model] | None,
    optimizer: keras.optimizers.Optimizer | None,
    optimizers: Mapping[str, keras.optimizers.Optimizer] | None,
) -> keras.Model | Mapping[str, keras.Model]:
    """Return the model, or the models by name, that a `Trainer` was given.

    Raises:
        UsageError: If it was given none or both, or with the optimizers of the other.
    """
    if isinstance(model, Mapping) or (model is None) == (models is None):
        raise UsageError("cannot train: give one model, or several by name as models={'generator': …}")
    if model is not None:
        if optimizers is not None:
            raise UsageError("cannot train one model with optimizers by name; give optimizer instead of optimizers")
        return model
    assert models is not None
    if optimizers is None or optimizer is not None:
        raise UsageError("cannot train models without their optimizers; give optimizers, by the names of the models")
    if not models or not all(isinstance(name, str) and name and "/" not in name for name in models):
        raise UsageError("cannot train models without names; give models={'generator': …, 'discriminator': …}")
    if len({id(each) for each in models.values()}) < len(models):
        raise UsageError(f"cannot train the models {_listed(models)}: two of the names are of one model; give it one")
    if compiled := [name for name, each in models.items() if each.compiled]:
        raise UsageError(
            f"cannot train: the model {in_line(compiled[0])} is compiled, but the task trains it; do not compile it"
        )
    return dict(models)


def check_task(given: keras.Model | Mapping[str, keras.Model], task: Task) -> None:
    """Check that a task says how to train several models.

    Raises:
        UsageError: If it has no `step`.
    """
    if isinstance(given, Mapping) and not task.has_step:
        raise UsageError(
            f"cannot train the models {_listed(given)}: the task {type(task).__name__} does not say how; give it a "
            "method step(models, optimizers, batch, seed), which applies the gradients"
        )


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(in_line(name) for name in names)
