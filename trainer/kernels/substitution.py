"""Which layers of a model compute what while its training step is traced; the model itself stays as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from trainer.errors import UsageError
from trainer.kernels.convolution import conv_block

EACH_IMAGE = {
    *(layers.InputLayer, layers.Conv2D, layers.Dense, layers.MaxPooling2D, layers.AveragePooling2D, layers.Flatten),
    *(layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.Activation, layers.ReLU, layers.LeakyReLU),
    *(layers.Reshape, layers.Add, layers.ZeroPadding2D, layers.Rescaling),
}
"""Layers that treat each image by itself and draw nothing at random: a batch may be computed in parts."""

WHOLE_BATCH = {
    *(layers.BatchNormalization, layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise),
    *(layers.LayerNormalization, layers.Concatenate),
}
"""Layers in which images may meet, or that draw at random: a batch is computed as a whole."""

WIDEST = 128
"""Channels times filters up to which a convolution gains: 96 gained, 2,048 lost, between them nothing was measured."""


@dataclass(frozen=True)
class Substitution:
    """What takes the place of layers' own calls.

    Attributes:
        calls: What a layer computes instead of its own call.
        separable: Whether a batch may be computed in parts.
        wide: Names of convolutions that are faster as they are.
    """

    calls: Mapping[keras.layers.Layer, Callable[[tf.Tensor], tf.Tensor]]
    separable: bool
    wide: Sequence[str]


def substitution(model: keras.Model) -> Substitution:
    """Return what computes the same as the model's convolutions, together with the pooling behind them.

    All of them must be eligible, since XLA's own convolutions are slow on a CPU.

    Raises:
        UsageError: If a layer is in the way; the message names it.
    """
    _check(model)
    convolutions = [layer for layer in model.layers if type(layer) is layers.Conv2D]
    pools = {id(layer.input): layer for layer in model.layers if _is_plain_pool(layer)}
    read = Counter(id(tensor) for layer in model.layers for tensor in keras.tree.flatten(layer.input))
    read.update(id(tensor) for tensor in keras.tree.flatten(model.outputs))
    calls: dict[keras.layers.Layer, Callable[[tf.Tensor], tf.Tensor]] = {}
    for conv in convolutions:
        pool = pools.get(id(conv.output))
        if pool is not None and read[id(conv.output)] == 1 and _can_join(conv, pool):
            calls[conv] = tf.identity
            calls[pool] = _block(conv, pool=True)
        else:
            calls[conv] = _block(conv, pool=False)
    wide = [conv.name for conv in convolutions if conv.input.shape[-1] * conv.filters > WIDEST]
    return Substitution(calls, all(map(_is_separable, model.layers)), wide)


def _check(model: keras.Model) -> None:
    """Refuse a model that has anything in it that is not known to compute the same.

    Raises:
        UsageError: With the first obstacle.
    """
    if not hasattr(model, "operations"):
        raise _refusal("it is not a functional one")
    for operation in model.operations:
        obstacle = _obstacle(operation)
        if obstacle:
            raise _refusal(f"layer {operation.name!r} ({type(operation).__name__}) {obstacle}")
    if not any(type(layer) is layers.Conv2D for layer in model.layers):
        raise _refusal("it has no convolution")


def _refusal(reason: str) -> UsageError:
    return UsageError(f"kernels 'blocks' is not made for this model: {reason}; kernels 'keras' trains it")


def _obstacle(layer: Any) -> str:
    """Return what is in the way of a layer or operation of a functional model, if anything."""
    if isinstance(layer, keras.Model):
        return "is a model in the model"
    if type(layer) not in EACH_IMAGE | WHOLE_BATCH:
        return "is of a kind that it does not know"
    if len(layer._inbound_nodes) > 1:  # `layer.input` and `layer.output` tell of the first call only
        return "is called more than once"
    return _convolution_obstacle(layer) if type(layer) is layers.Conv2D else ""


def _convolution_obstacle(conv: layers.Conv2D) -> str:
    """Return why `conv_block` does not compute the same as a convolution, if it does not."""
    checks = [
        (conv.data_format == "channels_last", "has its channels first"),
        (set(conv.strides) == {1}, f"has strides of {tuple(conv.strides)}"),
        (set(conv.dilation_rate) == {1}, f"has a dilation rate of {tuple(conv.dilation_rate)}"),
        (conv.groups == 1, f"has {conv.groups} groups"),
        (len(set(conv.kernel_size)) == 1, f"has a kernel of {tuple(conv.kernel_size)}, not a square one"),
        (_is_relu(conv) or _is_linear(conv), "has an activation that is neither relu nor linear"),
        (conv.compute_dtype == conv.variable_dtype == "float32", f"computes in {conv.compute_dtype}, not in float32"),
        (conv.activity_regularizer is None, "has a regulariser of its activity"),
        (not getattr(conv, "lora_enabled", False), "is adapted by LoRA"),
        (getattr(conv, "quantization_mode", None) is None, "is quantised"),
        (None not in conv.input.shape[1:], "takes images of any size"),
    ]
    return next((obstacle for fine, obstacle in checks if not fine), "")


def _is_relu(layer: keras.layers.Layer) -> bool:
    return layer.activation is keras.activations.relu


def _is_linear(layer: keras.layers.Layer) -> bool:
    return layer.activation is keras.activations.linear


def _is_plain_pool(layer: keras.layers.Layer) -> bool:
    """Return whether a layer takes the maximum of squares of 2 x 2 and does nothing else."""
    return (
        type(layer) is layers.MaxPooling2D
        and tuple(layer.pool_size) == tuple(layer.strides) == (2, 2)
        and layer.data_format == "channels_last"
        and layer.compute_dtype == "float32"
        and layer.activity_regularizer is None
    )


def _can_join(conv: layers.Conv2D, pool: layers.MaxPooling2D) -> bool:
    """Return whether the pooling can be computed together with the convolution before it."""
    even = all(side % 2 == 0 for side in conv.output.shape[1:3])
    return conv.kernel_size[0] % 2 == 1 and (pool.padding == "valid" or even)


def _is_separable(layer: keras.layers.Layer) -> bool:
    """Return whether a layer gives the same images whichever others are in the batch, and no sum over the batch."""
    activation = getattr(layer, "activation", None)
    known = activation is None or getattr(activation, "__module__", "").startswith("keras.")
    return type(layer) in EACH_IMAGE and known and layer.activity_regularizer is None


def _block(conv: layers.Conv2D, pool: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the call that takes the place of the pool's, or of the convolution's own."""

    def call(inputs: tf.Tensor) -> tf.Tensor:
        kernel, bias = (None if v is None else tf.convert_to_tensor(v) for v in (conv.kernel, conv.bias))
        return conv_block(inputs, kernel, bias, padding=conv.padding, pool=pool, relu=_is_relu(conv))

    return call


@contextmanager
def substituted(calls: Mapping[keras.layers.Layer, Callable[..., tf.Tensor]]) -> Iterator[None]:
    """Have layers compute what `calls` says wherever they are called, and traced, meanwhile."""
    for layer, call in calls.items():
        object.__setattr__(layer, "call", call)  # past Keras, which would track what is set
    try:
        yield
    finally:
        for layer in calls:
            object.__delattr__(layer, "call")
