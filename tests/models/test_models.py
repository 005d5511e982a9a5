"""Do the architectures match their sources? What holds for all of them is tested in tests/models/test_zoo.py."""

from __future__ import annotations

import numpy as np
import pytest

from models.macs import multiply_accumulates
from trainer.errors import UsageError
from trainer.registry import models as registry


def build(name, **hyper):
    return registry.build(name, (28, 28, 1), 10, **hyper)


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
    ("name", "hyper", "parameters", "mmacs"),
    [
        ("se_net", {"width": 128}, 1_188_748, 666),  # the width in the source: "~1.19 M, 666 MMAC"
        ("resnet20", {"depth": 56}, 855_290, 96),  # He et al. 2015, table 6: 0.85 M
        ("m5", {"width": 0.25}, 90_060, 8.7),
        ("lenet", {"dropout": 0.5}, 61_706, 0.42),
    ],
)
def test_arguments_of_a_builder_give_the_other_sizes_of_its_source(keras, name, hyper, parameters, mmacs):
    model = build(name, **hyper)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters
    assert multiply_accumulates(model) / 1e6 == pytest.approx(mmacs, rel=0.01)


def test_the_tiny_net_stays_under_10000_numbers_of_any_kind(keras):
    assert build("tiny9k").count_params() < 10_000


def test_a_layer_is_counted_as_often_as_it_is_used_and_products_by_their_inner_axis(keras):
    layers = keras.layers
    images = keras.Input((6, 6, 2))
    shared = layers.Conv2D(2, 3, padding="same")
    x = shared(shared(images))  # 2 x (36 positions x 9 x 2 inputs x 2 outputs)
    x = layers.DepthwiseConv2D(3, padding="same")(x)  # 36 x 9 x 2
    x = layers.Reshape((36, 2))(x)
    x = layers.Dot(axes=2)([x, x])  # 36 x 36 x 2
    x = layers.EinsumDense("abc,cd->abd", (36, 5))(x)  # 36 x 36 x 5
    x = layers.Dense(7)(layers.Flatten()(x))  # 180 x 7
    assert multiply_accumulates(keras.Model(images, x)) == 2 * 1296 + 648 + 2592 + 6480 + 1260


def test_a_capsule_is_shorter_than_one_and_keeps_its_direction(keras):
    from models.efficient_capsnet import CapsuleSquash

    capsules = np.array([[[3.0, 4.0], [0.0, 0.0], [30.0, 40.0]]], np.float32)
    squashed = np.asarray(CapsuleSquash()(capsules))[0]
    np.testing.assert_allclose(squashed[0], (1 - np.exp(-5)) * np.array([0.6, 0.8]), rtol=1e-5)
    assert (squashed[1] == 0).all()
    assert np.linalg.norm(squashed[2]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("lenet5", {"num_classes": 11}, "lenet5 has bitmaps for 10 classes, not 11; use lenet"),
        ("lenet", {"dropout": 2.0}, "model 'lenet': "),
        (
            "lenet",
            {"dropuot": 0.1},
            r"no argument 'dropuot'; did you mean 'dropout'\? it takes \(dropout: float = 0.0\)",
        ),
        ("mlp", {"units": "wide"}, "units='wide'"),
        ("resnet20", {"depth": 18}, r"has 6n \+ 2 layers \(8, 14, 20, 32 …\), not depth=18"),
        ("vit_tiny", {"width": 30}, "width=30 is not a multiple of heads=4"),
        ("m3", {"width": 0}, "width=0"),
    ],
)
def test_wrong_arguments_of_a_builder_are_reported(keras, name, arguments, message):
    with pytest.raises(UsageError, match=message):
        registry.build(name, (28, 28, 1), arguments.pop("num_classes", 10), **arguments)
