"""Models in a few words, whether or not they are built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trainer.text import count, in_line

if TYPE_CHECKING:
    import keras


def model_line(model: keras.Model | Mapping[str, keras.Model]) -> str:
    """Return the name and the number of parameters: `lenet, 44,426 parameters`; of several models, of each."""
    if isinstance(model, Mapping):
        return "; ".join(f"{in_line(name)}: {model_line(each)}" for name, each in model.items())
    return f"{in_line(model.name)}, {count(model.count_params(), 'parameter') if model.built else 'not built yet'}"


def parameters(model: keras.Model | Mapping[str, keras.Model] | None) -> int:
    """Return the number of parameters of a model, or of several together; 0 without a model."""
    if isinstance(model, Mapping):
        return sum(map(parameters, model.values()))
    return model.count_params() if model is not None else 0
