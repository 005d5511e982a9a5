"""The function that TensorFlow's formats hold: from raw images to calibrated probabilities."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from trainer.export.format import Served


def serving(served: Served) -> Any:
    """Return a `tf.function` from `images`, uint8 `[N, H, W, C]`, to a mapping of `probabilities`, float32 `[N, K]`."""

    @tf.function(input_signature=[tf.TensorSpec([None, *served.input_shape], tf.uint8, name="images")], autograph=False)
    def serve(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = served.model(tf.cast(images, tf.float32) / 255.0, training=False)
        return {"probabilities": tf.nn.softmax(tf.cast(logits, tf.float32) / served.temperature)}

    return serve
