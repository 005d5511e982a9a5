"""Does Adam's fused update give the same result as Keras?"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import Losses, make_images, small_net


def trained(keras, kernels, optimizer):
    from trainer.data.pipeline import TrainingRows
    from trainer.trainer import Trainer

    keras.utils.set_random_seed(0)
    watch, model = Losses(), small_net(keras)
    trainer = Trainer(model, optimizer=optimizer, kernels=kernels, plugins=[watch], clip_norm=1.0)
    trainer.fit(TrainingRows(make_images(150), 32, 0, "light"), epochs=3)
    return watch.losses, [np.asarray(variable) for variable in (*model.variables, *optimizer.variables)]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Adam", {}),
        ("Adam", {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}),
        ("Adam", {"use_ema": True, "ema_momentum": 0.9}),
        ("AdamW", {"weight_decay": 0.1}),
    ],
    ids=["plain", "betas", "ema", "decay"],
)
def test_losses_weights_and_moments_are_those_of_keras(keras, name, arguments):
    from trainer.kernels.select import Fused, Kernels

    def optimizer():
        rate = keras.optimizers.schedules.CosineDecay(1e-2, 20)
        return getattr(keras.optimizers, name)(rate, **arguments)

    ours, theirs = (trained(keras, kernels, optimizer()) for kernels in (Fused(), Kernels()))
    assert any((a != b).any() for a, b in zip(ours[1], theirs[1], strict=True))  # a different operation
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4)
    for a, b in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Adam", {"amsgrad": True}),
        ("Adam", {"gradient_accumulation_steps": 2}),
        ("Nadam", {}),
        ("SGD", {"momentum": 0.9}),
    ],
    ids=["amsgrad", "accumulation", "nadam", "sgd"],
)
def test_what_the_operation_cannot_do_is_left_to_keras(keras, name, arguments):
    from trainer.kernels.adam import fused_adam

    optimizer = getattr(keras.optimizers, name)(1e-2, **arguments)
    with fused_adam(optimizer):
        assert "update_step" not in vars(optimizer)
    with fused_adam(adam := keras.optimizers.Adam(1e-2)):
        assert "update_step" in vars(adam)


def test_sparse_gradients_are_left_to_keras(keras):
    import tensorflow as tf

    from trainer.kernels.adam import fused_adam

    def updated(fused):
        optimizer, variable = keras.optimizers.Adam(0.1), keras.Variable(np.ones((4, 2), np.float32))
        optimizer.build([variable])
        gradient = tf.IndexedSlices(tf.ones((1, 2)), tf.constant([2]), tf.constant([4, 2]))
        if fused:
            with fused_adam(optimizer):
                optimizer.apply([gradient], [variable])
        else:
            optimizer.apply([gradient], [variable])
        return np.asarray(variable)

    np.testing.assert_array_equal(updated(True), updated(False))


def test_the_optimizer_is_as_it_was_after_training(keras):
    from trainer.kernels.select import Fused

    optimizer = keras.optimizers.Adam(1e-2)
    trained(keras, Fused(), optimizer)
    assert "update_step" not in vars(optimizer)
