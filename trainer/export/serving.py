"""The function exported to TensorFlow's formats, from raw images to calibrated probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from trainer.tasks.classification import logits_of

if TYPE_CHECKING:
    import keras


def serving(model: keras.Model, input_shape: tuple[int, int, int], temperature: float) -> Any:
    """Return a `tf.function` from `images`, uint8 `[N, H, W, C]`, to a mapping of `probabilities`, float32 `[N, K]`.

    Args:
        model: A classifier of images, float32 `[N, H, W, C]` in [0, 1]; see `trainer.tasks.classification.logits_of`.
        input_shape: Height, width and channels.
        temperature: Divisor of the logits.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, *input_shape], tf.uint8, name="images")], autograph=False)
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = logits_of(model, model(tf.cast(images, tf.float32) / 255.0, training=False))
        return {"probabilities": tf.nn.softmax(tf.cast(logits, tf.float32) / temperature)}

    return serve
