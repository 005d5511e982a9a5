"""Does training on several inputs, several outputs and weighted rows give the weights of `Model.fit`, bit for bit?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import make_images

EPOCHS, BATCH = 2, 32  # 100 rows: an epoch ends with a short batch


class Case(NamedTuple):
    """The data of `Model.fit` and `Trainer.fit`, and the losses by name of output."""

    x: Any
    y: Any
    sample_weight: Any
    losses: Any


def cases() -> dict[str, Case]:
    """Return what can differ from one image and one label per row, first by itself and then all together."""
    images, random = make_images(100), np.random.default_rng(0)
    left = images.images / np.float32(255)
    sides = {"left": left, "right": random.random((100, 5), np.float32)}
    both = {"digit": images.labels, "ink": left.mean(axis=(1, 2, 3))}
    digit = "sparse_categorical_crossentropy"
    losses = {"digit": digit, "ink": "huber"}
    weights = random.uniform(0, 2, 100).astype(np.float32)
    uneven = {"digit": weights, "ink": weights[::-1].copy()}
    return {
        "two inputs": Case(sides, images.labels, None, digit),
        "two outputs": Case(left, both, None, losses),
        "sample weights": Case(left, images.labels, weights, digit),
        "a weight per output": Case(left, both, uneven, losses),
        "all of it": Case(sides, both, weights, losses),
    }


def build(keras, case: Case):
    """Return a model for a case, with dropout, batch normalisation and a regulariser."""
    keras.utils.set_random_seed(0)
    layers, decay = keras.layers, keras.regularizers.L2(1e-3)
    left, right = keras.Input((12, 12, 1), name="left"), keras.Input((5,), name="right")
    several = isinstance(case.x, dict)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu", kernel_regularizer=decay)(left))
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    if several:
        x = layers.Concatenate()([x, layers.Dense(8, activation="relu")(right)])
    x = layers.Dropout(0.3)(x)
    outputs = {"digit": layers.Dense(4, name="digit")(x), "ink": layers.Dense(1, name="ink")(x)}
    inputs = {"left": left, "right": right} if several else left
    return keras.Model(inputs, outputs if isinstance(case.y, dict) else outputs["digit"])


def losses_of(keras, case: Case) -> Any:
    """Return the losses of a case for `Model.compile`, where names alone would mean probabilities."""
    digit = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return {"digit": digit, "ink": "huber"} if isinstance(case.y, dict) else digit


QUICK = ("two inputs", "all of it")
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in cases()]


@pytest.mark.parametrize("name", NAMES)
def test_weights_equal_those_of_model_fit_bit_for_bit(keras, name):
    from trainer.data.pipeline import TrainingRows
    from trainer.data.rows import ArrayRows
    from trainer.tasks.supervised import Supervised
    from trainer.trainer import Trainer

    case = cases()[name]
    ours, theirs = build(keras, case), build(keras, case)
    trainer = Trainer(
        ours, task=Supervised(case.losses), optimizer=keras.optimizers.Adam(1e-2), plugins=[], kernels="keras"
    )
    run = trainer.fit(case.x, case.y, sample_weight=case.sample_weight, epochs=EPOCHS, batch_size=BATCH)

    batches = TrainingRows(ArrayRows(case.x, case.y, case.sample_weight), BATCH, seed=0, augmentation=None)
    theirs.compile(keras.optimizers.Adam(1e-2), loss=losses_of(keras, case))
    arguments = {"steps_per_epoch": batches.steps_per_epoch, "epochs": EPOCHS, "verbose": 0, "shuffle": False}
    history = theirs.fit(batches.batches(), **arguments).history

    for mine, other in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_array_equal(mine, other)
    for mine, other in zip(trainer.run.optimizer.variables, theirs.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert [line["loss"] for line in run.history] == pytest.approx(history["loss"], rel=1e-6)


def test_validation_equals_model_evaluate(keras):
    from trainer.tasks.supervised import Supervised
    from trainer.trainer import Trainer

    case = cases()["all of it"]
    model = build(keras, case)
    scores = Trainer(model, task=Supervised(case.losses), plugins=[]).evaluate((case.x, case.y, case.sample_weight))
    model.compile(loss=losses_of(keras, case))
    expected = model.evaluate(case.x, case.y, sample_weight=case.sample_weight, verbose=0, return_dict=True)
    assert scores["loss"] == pytest.approx(expected["loss"], rel=1e-5)
