"""Are the batch-normalisation statistics those of the images that they are computed on?"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from conftest import make_images

from trainer.data.pipeline import EvaluationRows
from trainer.kernels.batch_statistics import BatchStatistics, measured_layers


def net(keras: ModuleType, **arguments: object):
    """Return a network whose second normalisation depends on the first, and which drops units in training."""
    keras.utils.set_random_seed(0)
    images = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(3, 3)(images)
    x = keras.layers.BatchNormalization(name="first", **arguments)(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    x = keras.layers.Dense(5)(x)
    return keras.Model(images, keras.layers.Dense(4)(keras.layers.BatchNormalization(name="second")(x)))


def test_the_statistics_are_those_of_all_the_images(keras: ModuleType) -> None:
    model, data = net(keras), make_images(90)
    BatchStatistics(model, EvaluationRows(data, batch_size=90)).measure()
    first = model.get_layer("first")
    given = np.asarray(model.layers[1](data.images / np.float32(255)))
    np.testing.assert_allclose(first.moving_mean, given.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(first.moving_variance, given.var((0, 1, 2)), rtol=1e-4)

    second = keras.Model(model.input, model.get_layer("second").input)
    given = np.asarray(second(data.images / np.float32(255), training=False))  # without dropout
    np.testing.assert_allclose(model.get_layer("second").moving_mean, given.mean(0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(model.get_layer("second").moving_variance, given.var(0), rtol=1e-3)

    whole = np.asarray(first.moving_variance)
    BatchStatistics(model, EvaluationRows(data, batch_size=40)).measure()  # 40, 40 and 10 images
    np.testing.assert_allclose(first.moving_variance, whole, rtol=1e-4)


@pytest.mark.parametrize("arguments", [{"scale": False}, {"center": False}, {"axis": 1}, {"epsilon": 0.1}])
def test_a_batch_that_is_normalised_by_itself_is_so_afterwards(keras: ModuleType, arguments: dict) -> None:
    model, data = net(keras, **arguments), make_images(60)
    for weight in model.get_layer("first").trainable_weights:
        weight.assign(np.random.default_rng(0).uniform(0.5, 2, weight.shape))
    statistics = BatchStatistics(model, EvaluationRows(data, batch_size=60))
    statistics.measure()
    second = keras.Model(model.input, model.get_layer("second").input)
    given = np.asarray(second(data.images / np.float32(255), training=False))
    np.testing.assert_allclose(model.get_layer("second").moving_mean, given.mean(0), rtol=1e-3, atol=1e-4)


def test_a_layer_that_is_used_twice_has_the_statistics_of_both_uses(keras: ModuleType) -> None:
    images, shared = keras.Input((12, 12, 1)), keras.layers.BatchNormalization()
    flat = keras.layers.Flatten()
    both = keras.layers.Concatenate()([flat(shared(images)), flat(shared(keras.layers.Rescaling(3.0)(images)))])
    data = make_images(50)
    BatchStatistics(keras.Model(images, keras.layers.Dense(4)(both)), EvaluationRows(data)).measure()
    given = np.concatenate([data.images / 255, 3 * (data.images / 255)])
    np.testing.assert_allclose(shared.moving_mean, [given.mean()], rtol=1e-4)
    np.testing.assert_allclose(shared.moving_variance, [given.var()], rtol=1e-4)


def test_a_model_without_batch_normalisation_has_nothing_to_measure(keras: ModuleType) -> None:
    images = keras.Input((12, 12, 1))
    plain = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)))
    frozen = net(keras)
    frozen.get_layer("first").trainable = False
    assert measured_layers(plain) == []
    assert [layer.name for layer in measured_layers(frozen)] == ["second"]
