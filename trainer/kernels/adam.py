"""Adam's update of a variable by TensorFlow's own operation, where Keras computes it step by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from trainer.kernels.keras_private import adam_moments


@contextmanager
def fused_adam(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Have Adam and AdamW update a variable by one operation (`ResourceApplyAdam`) wherever they are traced meanwhile.

    The formula is the same (Kingma and Ba 2014, arXiv 1412.6980, the end of section 2), so the result is, to rounding.
    Keras computes it by many small operations, which narrow networks wait for. Weight decay, averages of weights and
    all else stay with Keras, and so do optimizers that the operation cannot stand for, and sparse gradients.

    Args:
        optimizer: Built, its variables float32; it is as it was afterwards.
    """
    if not _can_be_fused(optimizer):
        yield
        return
    stepwise, step = optimizer.update_step, tf.cast(optimizer.iterations + 1, tf.float32)
    powers = [tf.pow(tf.constant(beta, tf.float32), step) for beta in (optimizer.beta_1, optimizer.beta_2)]

    def update_step(gradient: Any, variable: Any, learning_rate: tf.Tensor) -> None:
        if isinstance(gradient, tf.IndexedSlices) or variable.dtype != tf.float32:
            return stepwise(gradient, variable, learning_rate)
        first, second = adam_moments(optimizer, variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.value.handle,
            v=second.value.handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=tf.cast(learning_rate, tf.float32),
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            grad=gradient,
        )

    object.__setattr__(optimizer, "update_step", update_step)  # past Keras, which would track what is set
    try:
        yield
    finally:
        object.__delattr__(optimizer, "update_step")


def _can_be_fused(optimizer: keras.optimizers.Optimizer) -> bool:
    return (
        type(optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW)
        and not optimizer.amsgrad
        and not optimizer.gradient_accumulation_steps  # the update is traced in a branch of its own
    )
