"""Do the kernels compute the same for several inputs and outputs, nested models, weights and variables of a task?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import Losses, make_images

from trainer import Task
from trainer.errors import UsageError

ROWS = 80


def tower(keras, images: Any) -> Any:
    """Return the features of a small convolution stack of its own."""
    layers = keras.layers
    x = layers.MaxPooling2D()(layers.Conv2D(4, 3, padding="same", activation="relu")(images))
    return layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(x))


def two_towers(keras, **changed: Any):
    """Return a model of two images and some numbers, with two outputs."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    left, right = (keras.Input((12, 12, 1), name=name) for name in ("left", "right"))
    extra = keras.Input((3,), name="extra")
    joined = layers.Concatenate(**changed)([tower(keras, left), tower(keras, right), extra])
    outputs = {"kind": layers.Dense(4, name="kind")(joined), "size": layers.Dense(1, name="size")(joined)}
    return keras.Model({"left": left, "right": right, "extra": extra}, outputs)


def data() -> Any:
    left, right = make_images(ROWS), make_images(ROWS, seed=1)
    random = np.random.default_rng(0)
    x = {"left": left.images, "right": right.images, "extra": random.random((ROWS, 3), np.float32)}
    y = {"kind": left.labels, "size": random.random((ROWS, 1), np.float32)}
    return x, y, random.random(ROWS, np.float32)


class TwoHeads(Task):
    """A class and a size, with weights of the samples."""

    separable = True

    def forward(self, model, batch, training, seed):
        import keras

        x, y, weights = batch
        outputs = model(x, training=training)
        kind = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y["kind"], outputs["kind"], weights)
        return kind + keras.losses.MeanSquaredError()(y["size"], outputs["size"], weights), outputs


class WithTemperature(TwoHeads):
    """The same with its own variable."""

    def __init__(self) -> None:
        import keras

        self.scale = keras.Variable(1.0, name="scale")

    def forward(self, model, batch, training, seed):
        loss, outputs = super().forward(model, batch, training, seed)
        return loss * self.scale + self.scale**2, outputs


def fit(keras, kernels: Any, model: Any = None, task: Task | None = None):
    """Train in batches of 32, the last of an epoch being short; return losses, weights and the run."""
    from trainer.trainer import Trainer

    watch, model = Losses(), model or two_towers(keras)
    trainer = Trainer(
        model, task=task or TwoHeads(), optimizer=keras.optimizers.Adam(1e-2), plugins=[watch], kernels=kernels
    )
    x, y, weights = data()
    run = trainer.fit(x, y, sample_weight=weights, validation_data=data(), batch_size=32, epochs=2)
    return watch.losses, model.get_weights(), run


@pytest.fixture(scope="module")
def plain(keras):
    """Losses and weights of Keras's own operations."""
    return fit(keras, "keras")


def assert_equal(one, other) -> None:
    np.testing.assert_allclose(one[0], other[0], rtol=1e-4)
    for ours, theirs in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-5)


def test_blocks_compute_two_towers_two_outputs_and_weights_as_keras_does(keras, plain):
    from trainer.kernels.select import Blocks
    from trainer.kernels.substitution import substitution

    assert substitution(two_towers(keras)).separable
    assert_equal(fit(keras, Blocks(32)), plain)


def test_auto_chooses_blocks_for_two_towers_and_fused_for_what_blocks_cannot_do(keras, plain):
    from trainer.kernels.select import Auto

    chosen = fit(keras, Auto(32, head_start=2))
    assert chosen[2].result["backend"]["kernels"] == "blocks after step 2"
    assert_equal(chosen, plain)

    images = keras.Input((12, 12, 1))
    inner = keras.Model(images, tower(keras, images), name="inner")
    inputs = {name: keras.Input(shape, name=name) for name, shape in SHAPES.items()}
    features = [inner(inputs["left"]), inner(inputs["right"]), inputs["extra"]]
    siamese = keras.Model(inputs, heads(keras, features))
    assert fit(keras, Auto(32, head_start=2), siamese)[2].result["backend"]["kernels"] == "fused"


SHAPES = {"left": (12, 12, 1), "right": (12, 12, 1), "extra": (3,)}


def heads(keras, features: list[Any]) -> dict[str, Any]:
    joined = keras.layers.Concatenate()(features)
    return {"kind": keras.layers.Dense(4, name="kind")(joined), "size": keras.layers.Dense(1, name="size")(joined)}


def test_a_batch_is_not_split_where_samples_are_put_one_after_another(keras):
    from trainer.kernels.substitution import substitution

    images = keras.Input((12, 12, 1))
    both = keras.layers.Concatenate(axis=0)([images, images])
    twice = keras.Model(images, keras.layers.Dense(4)(tower(keras, both)))
    assert not substitution(twice).separable


def test_a_task_with_a_variable_of_its_own_is_fused_as_keras_computes_it(keras):
    tasks = WithTemperature(), WithTemperature(), WithTemperature()
    assert_equal(fit(keras, "fused", task=tasks[0]), fit(keras, "keras", task=tasks[1]))
    assert float(tasks[0].scale) == pytest.approx(float(tasks[1].scale), rel=1e-5)
    assert float(tasks[0].scale) != 1
    with pytest.raises(UsageError, match=r"^cannot use kernels 'blocks': .* not the task WithTemperature; kernels"):
        fit(keras, "blocks", task=tasks[2])


def test_a_batch_is_split_only_for_losses_that_are_means_over_rows():
    from trainer.kernels.select import is_separable
    from trainer.tasks.classification import Classification
    from trainer.tasks.supervised import Supervised

    tasks = [Classification(), Supervised("huber"), Supervised({"a": "mse", "b": None})]
    assert all(map(is_separable, tasks))
    other = [Supervised("dice"), Supervised({"a": "mse", "b": "Tversky"}), Supervised(lambda y, p: p - y), Task()]
    assert not any(map(is_separable, other))
