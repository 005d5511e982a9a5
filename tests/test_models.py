"""Does every registered model keep its word?"""

from __future__ import annotations

import numpy as np
import pytest

import models  # noqa: F401  (fills the table)
from trainer.errors import UsageError
from trainer.registry import models as registry

PARAMETERS = {"lenet": 61_706, "lenet5": 60_000, "mlp": 669_706, "simple_cnn": 34_826}


@pytest.fixture(params=[entry.name for entry in registry.entries() if not entry.distribution])
def model(request, keras):
    keras.utils.set_random_seed(0)
    return registry.build(request.param, (28, 28, 1), 10)


def test_the_number_of_parameters_is_the_published_one(model):
    assert model.count_params() == PARAMETERS[model.name]


def test_images_become_finite_logits(model, keras):
    logits = np.asarray(model(np.random.default_rng(0).random((2, 28, 28, 1), np.float32)))
    assert logits.shape == (2, 10)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert isinstance(model, keras.Model)
    assert "softmax" not in {getattr(getattr(layer, "activation", None), "__name__", "") for layer in model.layers}


def test_a_saved_model_comes_back_the_same(model, keras, tmp_path):
    images = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_one_step_of_training_reaches_every_weight(model, keras):
    import tensorflow as tf

    images = np.random.default_rng(0).random((16, 28, 28, 1), np.float32)
    with tf.GradientTape() as tape:
        logits = model(images, training=False)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(np.arange(16) % 10, logits)
    for weight, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True):
        assert np.abs(gradient).max() > 0, weight.path


def test_colour_and_other_sizes_are_taken(keras):
    for name in ("lenet", "mlp", "simple_cnn"):
        model = registry.build(name, (32, 40, 3), 7)
        assert model.output_shape == (None, 7)


def test_the_1998_network_sees_only_what_its_table_connects(keras):
    from models.lenet5 import CONNECTIONS, _bitmaps

    assert [len(maps) for maps in CONNECTIONS] == [3] * 6 + [4] * 9 + [6]
    layer = registry.build("lenet5", (28, 28, 1), 10).get_layer("c3")
    assert layer.count_params() == 1516
    one_map = np.zeros((1, 5, 5, 6), np.float32)
    one_map[..., 0] = 1
    reached = np.abs(np.asarray(layer(one_map)))[0, 0, 0] > 0
    assert list(np.flatnonzero(reached)) == [k for k, maps in enumerate(CONNECTIONS) if 0 in maps]
    bitmaps = _bitmaps()
    assert bitmaps.shape == (10, 84)
    assert len({row.tobytes() for row in bitmaps}) == 10


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("lenet5", {"num_classes": 11}, "the 1998 network knows 10 bitmaps, not 11 classes; use lenet"),
        ("lenet", {"dropout": 2.0}, "model 'lenet': "),
        (
            "lenet",
            {"dropuot": 0.1},
            r"no argument 'dropuot'; did you mean 'dropout'\? it takes \(dropout: float = 0.0\)",
        ),
        ("mlp", {"units": "wide"}, "units='wide'"),
    ],
)
def test_wrong_arguments_of_a_builder_are_told(keras, name, arguments, message):
    with pytest.raises(UsageError, match=message):
        registry.build(name, (28, 28, 1), arguments.pop("num_classes", 10), **arguments)
