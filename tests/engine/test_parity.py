"""Does Inkwell compute what Keras computes, and the same result twice?"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from conftest import make_images

from trainer import Every, Plugin, Run


def build(keras, seed: int = 0):
    """Return a model with everything that a hand-written step forgets: dropout, batch normalisation, a regulariser."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    images = keras.Input((12, 12, 1))
    x = layers.Conv2D(6, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3))(images)
    x = layers.BatchNormalization()(x)
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    x = layers.Dropout(0.3)(layers.Dense(24, activation="relu")(x))
    return keras.Model(images, layers.Dense(4, kernel_regularizer=keras.regularizers.L2(1e-3))(x))


def pipeline(seed: int = 0):
    from trainer.data.pipeline import TrainingRows

    return TrainingRows(make_images(200), batch_size=32, seed=seed, augmentation="strong")


def state(model, optimizer) -> list[np.ndarray]:
    return [np.asarray(v) for v in (*model.variables, *optimizer.variables)]


def digest(arrays: list[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


class Looker(Plugin):
    """Looks every n steps, so that spans are n steps long."""

    every = Every(steps=1)

    def __init__(self, steps: int) -> None:
        self.every = Every(steps=steps)

    def on_step_end(self, run: Run) -> None:
        pass


def fit(keras, seed: int = 0, look: int = 1, **arguments):
    from trainer.trainer import Trainer

    model, optimizer = build(keras, seed), keras.optimizers.Adam(1e-2)
    trainer = Trainer(model, optimizer=optimizer, plugins=[Looker(look)], kernels="keras", **arguments)
    run = trainer.fit(pipeline(seed), validation_data=make_images(50, seed=1), epochs=2)
    return trainer, run


@pytest.fixture(scope="module")
def single(keras):
    """A trainer and its run of single steps, not to be modified."""
    return fit(keras)


def test_weights_equal_those_of_model_fit_bit_for_bit(keras, single):
    trainer, run = single
    model, optimizer = build(keras), keras.optimizers.Adam(1e-2)
    batches = pipeline()
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    per_epoch = batches.steps_per_epoch
    history = model.fit(batches.batches(), steps_per_epoch=per_epoch, epochs=2, verbose=0, shuffle=False).history
    for ours, theirs in zip(state(trainer.model, trainer.optimizer), state(model, optimizer), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name in ("loss", "accuracy"):
        assert [line[name] for line in run.history] == pytest.approx(history[name], abs=1e-6)


@pytest.mark.parametrize("arguments", [{"use_ema": True, "ema_momentum": 0.9}, {"loss_scale_factor": 1024.0}], ids=str)
def test_averages_of_weights_and_scaled_losses_come_out_as_in_model_fit(keras, arguments):
    from trainer.trainer import Trainer

    batches = pipeline()
    ours, optimizer = build(keras), keras.optimizers.Adam(1e-2, **arguments)
    trainer = Trainer(ours, optimizer=optimizer, kernels="keras", plugins=[])
    trainer.fit(batches, validation_data=make_images(50, seed=1), epochs=2)
    theirs, optimizer = build(keras), keras.optimizers.Adam(1e-2, **arguments)
    theirs.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    per_epoch = batches.steps_per_epoch
    theirs.fit(batches.batches(), steps_per_epoch=per_epoch, epochs=2, verbose=0, shuffle=False)
    for mine, other in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-7)


def test_validation_equals_model_evaluate(keras):
    trainer, run = fit(keras)
    trainer.model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    data = make_images(50, seed=1)
    loss, accuracy = trainer.model.evaluate(data.images / np.float32(255), data.labels, verbose=0)
    assert run.history[-1]["val_loss"] == pytest.approx(loss, abs=1e-6)
    assert run.history[-1]["val_accuracy"] == pytest.approx(accuracy)


@pytest.mark.parametrize("look", [2, 3, 7, 1000])
def test_fused_spans_give_the_same_bits_as_single_steps(keras, single, look):
    fused, _ = fit(keras, look=look)
    assert digest(state(fused.model, fused.optimizer)) == digest(state(single[0].model, single[0].optimizer))


def test_one_seed_gives_the_same_bits_twice_and_another_seed_does_not(keras, single):
    digests = [digest(state(t.model, t.optimizer)) for t, _ in (single, fit(keras, seed=0), fit(keras, seed=1))]
    assert digests[0] == digests[1] != digests[2]


def test_training_and_evaluation_are_traced_once_with_a_short_last_batch(keras):
    trainer, _ = fit(keras, look=3)
    trainer.evaluate(make_images(70, seed=2))
    assert trainer.loop.training.span().experimental_get_tracing_count() == 1
    assert trainer.evaluator.step.next.experimental_get_tracing_count() == 1


def test_a_global_norm_is_clipped_after_the_gradients_are_put_together(keras, single):
    clipped, _ = fit(keras, clip_norm=1e-3)
    assert digest(state(clipped.model, clipped.optimizer)) != digest(state(single[0].model, single[0].optimizer))


def test_starting_in_the_middle_gives_the_batches_of_an_uninterrupted_run():
    batches = iter(pipeline().batches(0))
    for _ in range(10):
        next(batches)
    resumed = iter(pipeline().batches(10))
    for _ in range(8):  # past the end of the epoch of 7 steps
        for ours, theirs in zip(next(batches), next(resumed), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own():
    batches = pipeline()
    orders = [np.asarray(batches.order(epoch)) for epoch in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(200))
    assert not np.array_equal(*orders)
