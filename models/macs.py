"""What a forward pass costs, in multiply-accumulates (MACs), read off the graph that TensorFlow runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def multiply_accumulates(model: keras.Model) -> int:
    """Return the multiply-accumulates of a forward pass for one image: convolutions and products of matrices.

    Counted in the traced graph, so that a layer used three times, attention and layers of one's own count for what they
    do. Element-wise work (activations, normalisation, pooling, biases) is left out, as is the custom.

    Args:
        model: A built model with one input, whose size is known.
    """
    import tensorflow as tf

    image = tf.TensorSpec((1, *model.input_shape[1:]), model.inputs[0].dtype)
    forward = tf.function(lambda images: model(images, training=False), autograph=False)
    operations = forward.get_concrete_function(image).graph.get_operations()
    return sum(PRODUCTS[operation.type](operation) for operation in operations if operation.type in PRODUCTS)


def _convolution(operation: Any) -> int:
    """Every output takes the kernel of its channel once: height, width and input channels."""
    *window, _ = operation.inputs[1].shape
    return operation.outputs[0].shape.num_elements() * math.prod(window)


def _depthwise(operation: Any) -> int:
    """Every output takes a kernel of one input channel."""
    height, width, *_ = operation.inputs[1].shape
    return operation.outputs[0].shape.num_elements() * height * width


def _product(transposed: str) -> Callable[[Any], int]:
    """Every output is a sum over the inner axis: the last of the left matrix, or the last but one if transposed."""

    def count(operation: Any) -> int:
        inner = operation.inputs[0].shape[-2 if operation.get_attr(transposed) else -1]
        return operation.outputs[0].shape.num_elements() * inner

    return count


def _einsum(operation: Any) -> int:
    """Every combination of the axes named on the left of the arrow is multiplied once."""
    terms = operation.get_attr("equation").decode().split("->")[0].split(",")
    axes = {
        axis: size
        for term, tensor in zip(terms, operation.inputs, strict=True)
        for axis, size in zip(term, tensor.shape, strict=True)
    }
    return math.prod(axes.values())


PRODUCTS: dict[str, Callable[[Any], int]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _product("transpose_a"),
    "BatchMatMulV2": _product("adj_x"),
    "Einsum": _einsum,
}
"""Operations that are counted, by TensorFlow's names, and how."""
