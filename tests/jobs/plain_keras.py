"""Training in plain Keras, as the jobs do it for comparison."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def fitted(model: keras.Model, sets: dict, **arguments: Any) -> keras.Model:
    """Train a compiled model on images in bytes, and keep the weights with the best validation loss."""
    (x, y), (x_val, y_val) = sets["train"], sets["validation"]
    best = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    model.fit(scaled(x), y, validation_data=(scaled(x_val), y_val), callbacks=[best], verbose=0, **arguments)
    return model


def scaled(x: Any) -> Any:
    """Return inputs with bytes as floats from 0 to 1."""
    return keras.tree.map_structure(lambda leaf: leaf / np.float32(255) if leaf.dtype == np.uint8 else leaf, x)
