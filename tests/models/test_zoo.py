"""Does every registered architecture match its documentation? Counts are pinned here; a new model needs a line."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from conftest import ROOT

from models.macs import multiply_accumulates
from trainer.errors import UsageError
from trainer.registry import models as registry


class Pin(NamedTuple):
    """The counts of a model for images of 28 x 28 x 1 and 10 classes."""

    parameters: int
    """Trainable numbers."""
    statistics: int
    """Numbers that are saved but not trained: batch-normalisation statistics."""
    macs: int
    """Multiply-accumulates of a forward pass for one image."""


PINS = {
    "lenet": Pin(61_706, 0, 416_520),
    "lenet5": Pin(60_000, 0, 415_680),
    "inknet": Pin(71_226, 416, 4_212_992),
    "mlp": Pin(669_706, 0, 668_672),
    "simple_cnn": Pin(34_826, 0, 2_440_960),
    "speed24": Pin(215_194, 0, 1_244_160),
    "simple7": Pin(326_410, 832, 15_162_752),
    "vgg_mini": Pin(598_250, 3_328, 10_235_008),
    "beautiful": Pin(87_850, 192, 13_213_312),
    "resnet20": Pin(271_994, 1_376, 31_021_952),
    "se_net": Pin(169_308, 288, 93_818_688),
    "m3": Pin(1_124_180, 2_100, 173_383_808),
    "m5": Pin(1_128_180, 980, 137_369_600),
    "m7": Pin(2_291_972, 980, 148_385_472),
    "dscnn": Pin(54_346, 1_920, 3_748_800),
    "convnext_mini": Pin(321_658, 0, 24_692_256),
    "vit_tiny": Pin(205_834, 0, 11_528_576),
    "mixer_tiny": Pin(148_110, 0, 7_276_160),
    "efficient_capsnet": Pin(161_824, 576, 30_130_304),
    "tiny9k": Pin(9_722, 144, 1_019_472),
    "tiny10k": Pin(9_980, 116, 2_427_948),
    "micro2k": Pin(1_936, 0, 413_458),
    "nano700": Pin(697, 0, 80_576),
}

COMPOSED = ["ensemble"]  # consists of other models: tests/models/test_ensemble.py
NAMES = [entry.name for entry in registry.entries() if not entry.distribution and entry.name not in COMPOSED]
DIGITS = ["lenet5"]  # has the shapes of the ten digits built in, so it cannot have other classes


@cache
def built(name):
    """Return the model for digits, built only once, since no test changes it."""
    import keras

    keras.utils.set_random_seed(0)
    return registry.build(name, (28, 28, 1), 10)


@pytest.fixture(params=NAMES)
def model(request, keras):
    return built(request.param)


def numbers(weights) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def random_images(count: int, side: int = 28) -> np.ndarray:
    return np.random.default_rng(0).random((count, side, side, 1), np.float32)


def test_parameters_and_macs_are_those_that_are_published(model):
    found = Pin(numbers(model.trainable_weights), numbers(model.non_trainable_weights), multiply_accumulates(model))
    if model.name not in PINS:
        pytest.fail(f'a new model needs its numbers in PINS of {__file__}: "{model.name}": {found},')
    assert found == PINS[model.name]


def test_every_pin_is_of_a_model():
    assert PINS.keys() == set(NAMES)


@pytest.mark.parametrize("name", PINS)
def test_the_documentation_says_the_numbers(name):
    parameters, _, macs = PINS[name]
    assert f" {parameters:,} parameters" in registry.find(name).help
    said = (registry.resolve(name).__doc__ or "").replace("exactly ", "")
    assert f"{parameters:,} " in said
    (mmac,) = re.findall(r"([\d.]+) MMAC for", said) or [""]
    assert mmac, "the docstring's first paragraph says what an image costs: `1.24 MMAC for images of …`"
    assert float(mmac) == pytest.approx(macs / 1e6, rel=0.005, abs=0.005)


def test_images_become_finite_logits(model):
    logits = np.asarray(model(random_images(2)))
    assert logits.shape == (2, 10)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert "softmax" not in {getattr(getattr(layer, "activation", None), "__name__", "") for layer in model.layers}


def test_a_saved_model_comes_back_the_same(model, keras, tmp_path):
    images = random_images(2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_one_step_of_training_reaches_every_weight(model, keras):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        logits = model(random_images(16), training=False)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(np.arange(16) % 10, logits)
    for weight, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True):
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(DIGITS)))
def test_colour_and_other_sizes_and_classes_are_taken(name, keras):
    model = registry.build(name, (32, 40, 3), 7)
    logits = np.asarray(model(np.random.default_rng(0).random((2, 32, 40, 3), np.float32)))
    assert logits.shape == (2, 7)
    assert np.isfinite(logits).all()


def least_side(name: str) -> int:
    """Return the smallest side that the documentation promises: a number, a patch of 4 x 4, or nothing."""
    documentation = registry.resolve(name).__doc__ or ""
    said = re.search(r"at least (\d+) x \d+", documentation)
    return int(said[1]) if said else 4 if "at least one patch" in documentation else 1


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_images_promised_are_taken_and_smaller_ones_refused(name, keras):
    side = least_side(name)
    logits = np.asarray(registry.build(name, (side, side, 1), 10)(random_images(1, side)))
    assert np.isfinite(logits).all()
    if side > 1:
        message = f"model '{name}': images of {side - 1} x {side} pixels are too small; use at least {side} x {side}"
        with pytest.raises(UsageError, match=message):
            registry.build(name, (side - 1, side, 1), 10)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_still_gives_logits_in_full(name, keras):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        logits = registry.build(name, (28, 28, 1), 10)(random_images(2))
    finally:
        keras.config.set_dtype_policy("float32")
    assert logits.dtype == "float32"
    assert np.isfinite(np.asarray(logits)).all()


def test_every_model_has_a_file_that_says_where_it_is_from():
    for name in NAMES:
        source = (ROOT / registry.find(name).target.partition(":")[0].replace(".", "/")).with_suffix(".py").read_text()
        assert re.search(r"arXiv|github\.com|keras\.io|Keras example|LeCun|own (design|network)", source), name
