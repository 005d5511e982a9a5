"""Does batch normalisation evaluate by the statistics of images as they are, and does training take no notice?"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import SILENT, Script, make_images

from plugins.norm_statistics import Population
from trainer.data.pipeline import InOrder
from trainer.errors import UsageError
from trainer.plugin import Plugin
from trainer.registry import models as registry
from trainer.run import Run
from trainer.trainer import Trainer


def net(keras: ModuleType, **arguments: object):
    """Return a network whose second normalisation sees what the first one makes, and which drops units in training."""
    keras.utils.set_random_seed(0)
    images = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(3, 3)(images)
    x = keras.layers.BatchNormalization(name="first", **arguments)(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    x = keras.layers.Dense(5)(x)
    return keras.Model(images, keras.layers.Dense(4)(keras.layers.BatchNormalization(name="second")(x)))


def test_the_statistics_are_those_of_all_the_images(keras: ModuleType) -> None:
    model, data = net(keras), make_images(90)
    Population(model, InOrder(data, batch_size=90)).measure()
    first = model.get_layer("first")
    given = np.asarray(model.layers[1](data.images / np.float32(255)))
    np.testing.assert_allclose(first.moving_mean, given.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(first.moving_variance, given.var((0, 1, 2)), rtol=1e-4)

    second = keras.Model(model.input, model.get_layer("second").input)
    given = np.asarray(second(data.images / np.float32(255), training=False))  # nothing is dropped
    np.testing.assert_allclose(model.get_layer("second").moving_mean, given.mean(0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(model.get_layer("second").moving_variance, given.var(0), rtol=1e-3)

    whole = np.asarray(first.moving_variance)
    Population(model, InOrder(data, batch_size=40)).measure()  # 40, 40 and 10 images
    np.testing.assert_allclose(first.moving_variance, whole, rtol=1e-4)


@pytest.mark.parametrize("arguments", [{"scale": False}, {"center": False}, {"axis": 1}, {"epsilon": 0.1}])
def test_a_batch_that_is_normalised_by_itself_is_so_afterwards(keras: ModuleType, arguments: dict) -> None:
    model, data = net(keras, **arguments), make_images(60)
    for weight in model.get_layer("first").trainable_weights:
        weight.assign(np.random.default_rng(0).uniform(0.5, 2, weight.shape))
    population = Population(model, InOrder(data, batch_size=60))
    population.measure()
    second = keras.Model(model.input, model.get_layer("second").input)
    given = np.asarray(second(data.images / np.float32(255), training=False))
    np.testing.assert_allclose(model.get_layer("second").moving_mean, given.mean(0), rtol=1e-3, atol=1e-4)


def test_a_layer_that_is_used_twice_has_the_statistics_of_both_uses(keras: ModuleType) -> None:
    images, shared = keras.Input((12, 12, 1)), keras.layers.BatchNormalization()
    flat = keras.layers.Flatten()
    both = keras.layers.Concatenate()([flat(shared(images)), flat(shared(keras.layers.Rescaling(3.0)(images)))])
    data = make_images(50)
    Population(keras.Model(images, keras.layers.Dense(4)(both)), InOrder(data)).measure()
    given = np.concatenate([data.images / 255, 3 * (data.images / 255)])
    np.testing.assert_allclose(shared.moving_mean, [given.mean()], rtol=1e-4)
    np.testing.assert_allclose(shared.moving_variance, [given.var()], rtol=1e-4)


class Watch(Plugin):
    """Keeps what every epoch ended with."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.validated: list[float] = []

    def on_epoch_end(self, run: Run) -> None:
        self.losses.append(run.logs["loss"])
        self.validated.append(run.logs["val_loss"])


def test_training_goes_on_as_it_would_have(keras: ModuleType) -> None:
    train, validation = make_images(200), make_images(60, seed=1)
    seen = {}
    for population in (None, train.evenly(80)):
        keras.utils.set_random_seed(0)
        watch, model = Watch(), registry.build("inknet", (12, 12, 1), 4, width=4)
        Trainer(model, plugins=[watch]).fit(train, validation, epochs=3, population=population)
        weights = [np.asarray(weight) for weight in model.trainable_weights]
        seen[population is None] = watch, weights
    assert seen[True][0].losses == seen[False][0].losses
    assert seen[True][0].validated != seen[False][0].validated
    for one, other in zip(seen[True][1], seen[False][1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_averages_of_weights_have_statistics_of_their_own(keras: ModuleType) -> None:
    """What is tested is the averages, and so are the images normalised by what the averages make of them."""
    train, validation = make_images(200), make_images(60, seed=1)
    model = net(keras)
    optimizer = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9)
    Trainer(model, optimizer=optimizer).fit(train, validation, epochs=2, population=train)
    kept = [np.asarray(model.get_layer("first").moving_mean), np.asarray(model.get_layer("second").moving_mean)]
    Population(model, InOrder(train)).measure()
    np.testing.assert_array_equal(model.get_layer("first").moving_mean, kept[0])
    np.testing.assert_array_equal(model.get_layer("second").moving_mean, kept[1])


def test_what_cannot_be_measured_is_told(keras: ModuleType, script: Script, tiny: Path) -> None:
    data = make_images(40)
    with pytest.raises(UsageError, match="measured before validations; there are none"):
        Trainer(net(keras)).fit(data, population=data)
    done = script("fit.py", "--data", tiny, "--set", "training.norm_images=50", "--run-dir", "x", *SILENT)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "fit.py: error: 'lenet' has no batch normalisation whose statistics could be measured; leave norm_images out\n"
    )
