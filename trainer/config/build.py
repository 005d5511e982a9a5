"""Building models: by the name in a configuration, and from the data if a model has not seen any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.config.schema import Config
from trainer.errors import UsageError
from trainer.registry import models
from trainer.text import first_line, in_line

if TYPE_CHECKING:
    import keras


def build_model(config: Config, input_shape: Any, num_classes: int) -> keras.Model:
    """Build the model that a configuration names; TensorFlow must be running.

    Args:
        config: The configuration.
        input_shape: Height, width and channels of an image, or the tree of the shapes of other inputs.
        num_classes: Number of classes; 0 if there are none.

    Raises:
        UsageError: If the model's name is unknown, its builder refuses the arguments, or it cannot be built.
    """
    model = _built(config, input_shape, num_classes)
    build_on(model, _symbols(input_shape))
    return model


def _built(config: Config, input_shape: Any, num_classes: int) -> keras.Model:
    try:
        model: keras.Model = models.build(config.model.name, input_shape, num_classes, **config.model.args)
    except Exception as error:  # a builder for images may raise anything for other shapes
        if isinstance(input_shape, tuple) and [type(side) for side in input_shape] == [int] * 3:
            raise
        raise UsageError(
            f"cannot build the model {config.model.name!r} for inputs of shape {input_shape}: {first_line(error)}; "
            "choose a model for such data with --model"
        ) from error
    return model


def _symbols(shapes: Any) -> Any:
    """Return a symbolic tensor for each shape of a tree."""
    import keras

    if isinstance(shapes, dict):
        return {name: _symbols(shape) for name, shape in shapes.items()}
    if all(isinstance(side, int) for side in shapes):
        return keras.KerasTensor((None, *shapes), "float32")
    return tuple(map(_symbols, shapes))


def build_on(model: keras.Model, inputs: Any) -> None:
    """Create the variables of a model that has none yet, by calling it on symbolic inputs; a built model is kept as is.

    That is how `Model.fit` does it, so that the initial weights are the same.

    Args:
        model: A model, such as a subclassed one or a Sequential without `keras.Input`.
        inputs: A tree of objects with `shape` and `dtype`, the first argument of the model.

    Raises:
        UsageError: If the model cannot be called on them.
    """
    import keras

    if is_built(model):
        return
    symbols = keras.tree.map_structure(lambda spec: keras.KerasTensor(tuple(spec.shape), _name(spec.dtype)), inputs)
    try:
        model(symbols, training=False)
    except Exception as error:  # the call of a user's class may raise anything
        raise UsageError(
            f"cannot build the model {in_line(model.name)} from the data: {first_line(error)}; give it keras.Input "
            "layers, or call it on a batch before training"
        ) from error


def is_built(model: keras.Model) -> bool:
    """Return True if all variables of a model exist, whether or not it was built by a call."""
    return model.built and all(layer.built for layer in model.layers)


def _name(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype))
