"""Does fused batch normalisation give the same result as Keras?"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import Losses, make_images


def normalised(keras, **arguments):
    """Return a model with batch normalisation at the top level and in a nested model."""
    keras.utils.set_random_seed(0)
    layers, images, inner = keras.layers, keras.Input((12, 12, 1)), keras.Input((12, 12, 3))
    nested = keras.Model(inner, layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layers.Conv2D(4, 3)(inner))))
    x = layers.BatchNormalization(**arguments)(layers.Conv2D(3, 3, padding="same")(images))
    return keras.Model(images, layers.Dense(4)(layers.Flatten()(nested(x))))


def trained(keras, kernels, **arguments):
    from trainer.data.pipeline import TrainingRows
    from trainer.trainer import Trainer

    watch, model = Losses(), normalised(keras, **arguments)
    optimizer = keras.optimizers.SGD(0.05)
    trainer = Trainer(model, optimizer=optimizer, kernels=kernels, plugins=[watch])
    trainer.fit(TrainingRows(make_images(150), 32, 0, "strong"), epochs=2)
    return watch.losses, model


def test_losses_weights_and_moving_averages_are_those_of_keras(keras):
    from trainer.kernels.select import Fused, Kernels

    ours, theirs = (trained(keras, kernels) for kernels in (Fused(), Kernels()))
    assert ours[0] != theirs[0]  # a different operation
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4)
    for a, b in zip(ours[1].variables, theirs[1].variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(
    "arguments", [{"axis": 1}, {"scale": False}, {"center": False}, {"epsilon": 1e-6}, {"trainable": False}], ids=str
)
def test_what_the_operation_cannot_do_is_left_to_keras(keras, arguments):
    from trainer.kernels.normalisation import fused_normalisations
    from trainer.kernels.select import Fused, Kernels

    assert len(fused_normalisations([normalised(keras)])) == 2
    ours, theirs = (trained(keras, kernels, **arguments) for kernels in (Fused(), Kernels()))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4)


def test_the_layers_are_as_they_were_after_training(keras):
    from trainer.kernels.select import Fused

    before = [sorted(vars(layer)) for layer in normalised(keras)._flatten_layers()]
    _, model = trained(keras, Fused())
    assert [sorted(vars(layer)) for layer in model._flatten_layers()] == before
