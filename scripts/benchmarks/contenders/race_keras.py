"""The race with `Model.fit`, tuned: `tf.data`, oneDNN, several steps per execution, augmentation of whole batches."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="2", TF_ENABLE_ONEDNN_OPTS="1")

import keras
import numpy as np
import tensorflow as tf

from ..nets import _keras_lenet
from ..recipe import PEAK, WARM_UP, Recipe

EXECUTION = 32


def main() -> None:
    """Train by the recipe in the first argument; write the results to the file in the second."""
    recipe, out = Recipe(**json.loads(sys.argv[1])), Path(sys.argv[2])
    keras.utils.set_random_seed(recipe.seed)
    with np.load(recipe.images) as file:
        arrays = {name: file[name] for name in file.files}
    steps = len(arrays["y_train"]) // recipe.batch_size
    total, warm_up = steps * recipe.epochs, round(WARM_UP * steps * recipe.epochs)
    schedule = keras.optimizers.schedules.CosineDecay(
        PEAK / 100, total - warm_up, warmup_target=PEAK, warmup_steps=warm_up
    )
    model = _keras_lenet(arrays["x_train"].shape[1:], int(arrays["y_train"].max()) + 1, 0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(schedule)
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=EXECUTION)
    until = Until(recipe.target)
    train, validation, test = (_batches(arrays, part, recipe) for part in ("train", "val", "test"))
    model.fit(train, validation_data=validation, epochs=recipe.epochs, verbose=2, callbacks=[until])
    accuracy = float(model.evaluate(test, verbose=0)[1])
    out.write_text(json.dumps({**until.found, "test": accuracy}))


class Until(keras.callbacks.Callback):  # type: ignore[misc,unused-ignore]
    """Stops at a target accuracy and records the time."""

    def __init__(self, target: float) -> None:
        super().__init__()
        self.target = target
        self.found: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Check the validation accuracy."""
        self.found = {"reached": time.time(), "epochs": epoch + 1, "validation": logs["val_accuracy"]}
        self.model.stop_training = logs["val_accuracy"] >= self.target


def _batches(arrays: dict[str, Any], part: str, recipe: Recipe) -> Any:
    from trainer.data.augmentation.augment import augment
    from trainer.data.augmentation.strength import LIGHT

    data = tf.data.Dataset.from_tensor_slices((arrays[f"x_{part}"], arrays[f"y_{part}"])).cache()
    if part != "train":
        return data.batch(500).map(lambda x, y: (tf.cast(x, tf.float32) / 255.0, y)).cache().prefetch(tf.data.AUTOTUNE)
    seeds = tf.data.Dataset.random(seed=recipe.seed)
    shuffled = data.shuffle(len(arrays[f"y_{part}"]), seed=recipe.seed)
    batches = tf.data.Dataset.zip(shuffled.batch(recipe.batch_size, True), seeds.batch(2))
    changed = batches.map(lambda xy, seed: (augment(xy[0], seed, LIGHT), xy[1]), tf.data.AUTOTUNE)
    return changed.prefetch(tf.data.AUTOTUNE)


if __name__ == "__main__":
    main()
