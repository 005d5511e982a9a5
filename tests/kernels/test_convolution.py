"""Do the kernels `blocks` compute the same as Keras, and leave the model unchanged?"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SILENT, Losses, Script, StopAt, make_images

from trainer import Plugin
from trainer.errors import UsageError

SHAPES = [(12, 12, 1), (13, 12, 3), (11, 15, 2)]
SOME = list(itertools.product(SHAPES, (1, 3, 5), ("same", "valid"), (True, False), ("relu", "linear"), (True, False)))


def one_block(keras, shape, size=3, padding="same", pool=True, activation="relu", bias=True, dtype="float32"):
    """Return a convolution with the pooling after it, as Keras computes it."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    x = images = keras.Input(shape, dtype=dtype)
    x = layers.Conv2D(
        *(4, size), padding=padding, activation=activation, use_bias=bias, bias_initializer="random_normal", dtype=dtype
    )(x)
    return keras.Model(images, layers.MaxPooling2D(dtype=dtype)(x) if pool else x)


def with_gradients(model, call, images, compiled: bool) -> list[np.ndarray]:
    """Return the outputs of `call(images)`, and the gradients of a sum over them by images and weights."""
    import tensorflow as tf

    def run(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = call(images)
            weight = tf.cast(tf.reshape(tf.range(tf.size(outputs)) % 7 - 3, tf.shape(outputs)), outputs.dtype)
            loss = tf.reduce_sum(weight * outputs)  # integers stay integers
        return [outputs, *tape.gradient(loss, [images, *model.trainable_variables])]

    return [tensor.numpy() for tensor in tf.function(run, jit_compile=compiled, autograph=False)(tf.constant(images))]


def both(model, images, **arguments) -> zip:
    """Return Keras's outputs and gradients of a model of one block, each paired with those of `conv_block`."""
    from trainer.kernels.convolution import conv_block

    conv = model.layers[1]

    def block(x):
        bias = conv.bias.value if conv.use_bias else None
        relu, pool = conv.activation.__name__ == "relu", len(model.layers) == 3
        return conv_block(x, conv.kernel.value, bias, padding=conv.padding, pool=pool, relu=relu)

    theirs = with_gradients(model, lambda x: model(x, training=True), images, compiled=False)
    return zip(with_gradients(model, block, images, **{"compiled": True, **arguments}), theirs, strict=True)


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize(("shape", "size", "padding", "pool", "activation", "bias"), SOME[::11])
def test_a_block_compiled_by_xla_computes_what_the_layers_do(keras, shape, size, padding, pool, activation, bias):
    model = one_block(keras, shape, size, padding, pool, activation, bias)
    for ours, theirs in both(model, normal((6, *shape)).astype("float32")):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(("shape", "size", "padding", "pool", "activation", "bias"), SOME[::5])
def test_a_block_computes_what_the_layers_do_in_double_precision(keras, shape, size, padding, pool, activation, bias):
    model = one_block(keras, shape, size, padding, pool, activation, bias, dtype="float64")
    for ours, theirs in both(model, normal((3, *shape)), compiled=False):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12 * np.abs(theirs).max())


def test_an_even_kernel_is_a_block_without_pooling(keras):
    model = one_block(keras, (9, 8, 2), size=2, pool=False)
    for ours, theirs in both(model, normal((3, 9, 8, 2)).astype("float32")):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("activation", ["relu", "linear"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_of_equal_inputs_goes_to_the_first_bit_for_bit(keras, shape, activation):
    model = one_block(keras, shape, activation=activation)
    random = np.random.default_rng(0)
    for weight in model.trainable_variables:
        weight.assign(random.integers(-2, 3, weight.shape))
    images = random.integers(-1, 2, (8, *shape)).astype("float32")
    images[:2] = 1  # ties everywhere in blank images
    for ours, theirs in both(model, images):
        np.testing.assert_array_equal(ours, theirs)


def test_of_equals_that_only_rounding_tells_apart_one_gets_the_whole_gradient(keras):
    model = one_block(keras, (20, 20, 64), size=1, activation="linear", bias=False)
    model.layers[1].kernel.assign(np.ones((1, 1, 64, 4)))
    same = np.repeat(np.repeat(normal((4, 10, 10, 64)), 2, 1), 2, 2)
    images = np.random.default_rng(0).permuted(same, axis=-1).astype("float32")  # four equal sums, up to rounding
    ours, theirs = list(both(model, images))[1]
    np.testing.assert_allclose(window_sums(ours), window_sums(theirs), rtol=1e-6)


def window_sums(images: np.ndarray) -> np.ndarray:
    """Return the sums over squares of 2 x 2 pixels."""
    number, height, width, channels = images.shape
    return images.reshape(number, height // 2, 2, width // 2, 2, channels).sum((2, 4))


def small(keras, *, dropout: float = 0.0, normalised: bool = False, penalty: float = 0.0):
    """Return a convolutional model for `make_images`."""
    keras.utils.set_random_seed(0)
    layers, regulariser = keras.layers, keras.regularizers.L2(penalty) if penalty else None
    images = keras.Input((12, 12, 1))
    x = layers.Conv2D(4, 3, activation="relu", kernel_regularizer=regulariser, name="conv")(images)
    x = layers.BatchNormalization()(x) if normalised else x
    x = layers.Flatten()(layers.MaxPooling2D(name="pool")(x))
    x = layers.Dropout(dropout)(x) if dropout else x
    return keras.Model(images, layers.Dense(4, kernel_regularizer=regulariser)(x), name="small")


def blocks(batch_size: int | None = 32):
    from trainer.kernels.select import Blocks

    return Blocks(batch_size)


def fit(keras, model, kernels, *plugins: Plugin, images: int = 200, epochs: int = 4, optimizer=None, **arguments):
    """Train on batches of 32, the last of an epoch possibly shorter; return the trainer and the run."""
    from trainer.data.pipeline import TrainingRows
    from trainer.trainer import Trainer

    resumed = arguments.pop("resumed", False)
    optimizer = optimizer or keras.optimizers.Adam(1e-2)
    trainer = Trainer(model, optimizer=optimizer, kernels=kernels or "keras", plugins=plugins, **arguments)
    train = TrainingRows(make_images(images), 32, 0, "strong")
    return trainer, (trainer.resume if resumed else trainer.fit)(train, epochs=epochs)


def state(trainer) -> bytes:
    return b"".join(np.asarray(variable).tobytes() for variable in trainer.loop.variables)


def assert_trained_alike(keras, build, optimizer=lambda keras: None, **arguments: Any) -> None:
    """Train with both kernels and compare; some steps have short batches."""
    watched, trainers = (Losses(), Losses()), []
    for kernels, losses in zip((None, blocks()), watched, strict=True):
        trainers.append(fit(keras, build(), kernels, losses, optimizer=optimizer(keras), **arguments)[0])
    np.testing.assert_allclose(watched[1].losses, watched[0].losses, rtol=1e-4)
    for ours, theirs in zip(trainers[1].model.variables, trainers[0].model.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_lenet_learns_the_same_with_both_kernels(keras):
    from models.lenet import lenet

    def build():
        keras.utils.set_random_seed(0)
        return lenet((12, 12, 1), 4)

    assert_trained_alike(keras, build, lambda keras: keras.optimizers.Adam(1e-3), epochs=5)


@pytest.mark.parametrize("arguments", [{"use_ema": True}, {"loss_scale_factor": 1024.0}], ids=str)
def test_an_optimizer_gets_what_it_gets_otherwise(keras, arguments):
    assert_trained_alike(keras, lambda: small(keras), lambda keras: keras.optimizers.Adam(1e-3, **arguments))


def test_penalties_count_once_and_the_norm_is_clipped_over_the_whole_batch(keras):
    assert_trained_alike(
        keras, lambda: small(keras, penalty=1e-2), lambda keras: keras.optimizers.SGD(0.1), clip_norm=0.05
    )


def test_labels_are_smoothed_as_with_other_kernels(keras):
    from trainer.tasks.classification import Classification

    assert_trained_alike(keras, lambda: small(keras), lambda keras: keras.optimizers.SGD(0.1), task=Classification(0.1))


def test_batch_normalisation_sees_the_whole_batch(keras):
    assert_trained_alike(keras, lambda: small(keras, normalised=True), lambda keras: keras.optimizers.SGD(0.05))


@pytest.mark.parametrize("size", [32, 30, 7, None])
def test_any_size_of_batch_is_computed_right(keras, size):
    import tensorflow as tf

    from trainer.engine.learners import Learners
    from trainer.engine.step import TrainStep
    from trainer.kernels.select import Kernels
    from trainer.kernels.strategy import Strategy
    from trainer.tasks.classification import Classification

    data = make_images(size or 20)
    pair = data.images.astype(np.float32) / 255, data.labels
    batches = tf.data.Dataset.from_tensor_slices(pair).batch(32)
    told = []
    for kernels in (Kernels(), blocks(size)):
        optimizer, spec = keras.optimizers.SGD(0.1), batches.element_spec
        learners = Learners(small(keras), optimizer, Classification())
        step = TrainStep(learners, spec, kernels, Strategy(), norms=True)
        span = step.span()(iter(batches), tf.constant(0, tf.int64), tf.constant(1))
        told.append([float(span.losses[0]), float(span.norms[0]), *step.meter.read().values(), step.meter.images])
    np.testing.assert_allclose(told[1], told[0], rtol=1e-5)


def test_a_short_last_batch_is_not_compiled_by_xla(keras):
    import tensorflow as tf

    from trainer.kernels.select import Gradients

    tried = []

    def look(batch, seed):
        tried.append("compiled" if tf.compat.v1.get_default_graph().name.startswith("look") else "plain")
        return Gradients(tf.reduce_mean(batch[0]), batch[0], [tf.reduce_sum(batch[0])], {})

    from trainer.tasks.classification import Classification

    model, task = small(keras), Classification()

    @tf.function(input_signature=[tf.TensorSpec([None, 12, 12, 1])], autograph=False)
    def step(images):
        return blocks(8).wrap(look, [model], task)((images, tf.range(tf.shape(images)[0])), (0, 0))

    for size in (8, 5):
        loss, outputs, (gradient,), _ = step(tf.ones([size, 12, 12, 1]))
        assert (float(loss), outputs.shape[0]) == (1, size)
        assert float(gradient) == 144 * (2 if size == 8 else size)  # the mean of four parts of two images, or the sum
    assert sorted(tried) == ["compiled", "plain"]


def test_the_model_is_as_it_was_after_training(keras):
    model = small(keras)
    before = [sorted(vars(layer)) for layer in model.layers]
    trainer, _ = fit(keras, model, blocks(), epochs=1)
    assert [sorted(vars(layer)) for layer in model.layers] == before
    assert [type(layer).__name__ for layer in model.layers] == [
        *("InputLayer", "Conv2D", "MaxPooling2D", "Flatten", "Dense")
    ]
    images = make_images(20).images / np.float32(255)
    np.testing.assert_array_equal(trainer.predict(images), np.asarray(model(images, training=False)))


def test_the_model_is_as_it_was_after_a_failed_trace(keras):
    from trainer.kernels.substitution import substituted, substitution

    model = small(keras)
    before = [sorted(vars(layer)) for layer in model.layers]
    instead = substitution(model)
    assert {layer.name for layer in instead.calls} == {"conv", "pool"}
    with pytest.raises(ValueError, match="expected axis -1"), substituted(instead.calls):
        model.get_layer("conv")(np.zeros((1, 12, 12, 3), "float32"))
    assert [sorted(vars(layer)) for layer in model.layers] == before


@pytest.mark.slow
def test_dropout_draws_once_a_step_and_the_same_in_every_run(keras):
    trainers = [fit(keras, small(keras, dropout=0.3), blocks(), epochs=2)[0] for _ in range(2)]
    assert state(trainers[0]) == state(trainers[1])
    single, _ = fit(keras, small(keras, dropout=0.3), None, epochs=2)
    for trainer in (*trainers, single):
        seeds = [np.asarray(v).tolist() for v in trainer.model.non_trainable_variables]
        assert seeds == [np.asarray(v).tolist() for v in single.model.non_trainable_variables]


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_resumed_run_gives_the_same_bits(keras, tmp_path, dropout):
    from plugins.checkpoint import Checkpoint

    def run(folder: Path, *plugins: Plugin, resumed: bool = False):
        model = small(keras, dropout=dropout)
        return fit(keras, model, blocks(), Checkpoint(monitor="loss"), *plugins, run_dir=folder, resumed=resumed)

    whole, _ = run(tmp_path / "whole")
    _, stopped = run(tmp_path / "run", StopAt(10))
    assert (stopped.status, stopped.step) == ("interrupted", 10)
    resumed, _ = run(tmp_path / "run", resumed=True)
    assert state(resumed) == state(whole)


# Refusals


def model_of(keras, layer, shape=(12, 12, 2)):
    """Return a model with a plain convolution, another layer and a head."""
    layers = keras.layers
    images = keras.Input(shape)
    x = layer(layers.Conv2D(2, 3, activation="relu", name="first")(images))
    return keras.Model(images, layers.Dense(4)(layers.Flatten()(x)))


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (("Conv2D", 4, 3, {"strides": 2}), "layer 'it' (Conv2D) has strides of (2, 2)"),
        (("Conv2D", 4, 3, {"dilation_rate": 2}), "layer 'it' (Conv2D) has a dilation rate of (2, 2)"),
        (("Conv2D", 4, (3, 5), {}), "layer 'it' (Conv2D) has a non-square kernel of (3, 5)"),
        (("Conv2D", 4, 3, {"activation": "gelu"}), "layer 'it' (Conv2D) has an activation that is neither relu nor"),
        (("Conv2D", 4, 3, {"groups": 2}), "layer 'it' (Conv2D) has 2 groups"),
        (("Conv2D", 4, 3, {"dtype": "mixed_bfloat16"}), "layer 'it' (Conv2D) computes in bfloat16, not in float32"),
        (("Conv2D", 4, 3, {"activity_regularizer": "l2"}), "layer 'it' (Conv2D) has an activity regulariser"),
        (("DepthwiseConv2D", 3, {}), "layer 'it' (DepthwiseConv2D) is of an unsupported type"),
    ],
    ids=lambda value: f"{value[0]}-{value[-1]}" if isinstance(value, tuple) else "",
)
def test_a_layer_in_the_way_is_named(keras, layer, said):
    from trainer.kernels.substitution import substitution

    name, *arguments, more = layer
    with pytest.raises(UsageError) as caught:
        substitution(model_of(keras, getattr(keras.layers, name)(*arguments, **more, name="it")))
    assert str(caught.value).startswith(f"cannot use kernels 'blocks' for this model: {said}")
    assert str(caught.value).endswith("; kernels 'keras' can train it")
    assert "\n" not in str(caught.value)


def test_models_of_other_forms_are_refused(keras):
    from trainer.kernels.substitution import substitution

    layers, images, outer = keras.layers, keras.Input((12, 12, 1)), keras.Input((12, 12, 1))
    conv = layers.Conv2D(1, 3, padding="same", name="conv")
    inner = keras.Model(images, layers.Conv2D(1, 3)(images), name="inner")
    cases = [
        (keras.Model(images, conv(conv(images))), "layer 'conv' (Conv2D) is called more than once"),
        (keras.Model(outer, inner(outer)), "layer 'inner' (Functional) is a nested model"),
        (keras.Model(images, images + 1.0), "(Add) is of an unsupported type"),
        (keras.Model(images, layers.Flatten()(images)), "it has no convolution"),
        (keras.Sequential([outer, layers.Conv2D(1, 3)]), "it is not a functional model"),
    ]
    for model, said in cases:
        with pytest.raises(UsageError) as caught:
            substitution(model)
        assert said in str(caught.value)


def test_a_user_defined_task_is_refused_before_anything_is_written(keras, tmp_path):
    from trainer.tasks.classification import Classification

    class Own(Classification):
        def forward(self, *args, **kwargs):
            return super().forward(*args, **kwargs)

    with pytest.raises(
        UsageError,
        match=r"^cannot use kernels 'blocks': they support tasks whose loss is the mean .*, not the task Own",
    ):
        fit(keras, small(keras), blocks(), task=Own(), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_convolution_that_two_layers_read_keeps_its_output(keras):
    from trainer.kernels.substitution import substituted, substitution

    layers, images = keras.layers, keras.Input((12, 12, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(images)
    model = keras.Model(images, layers.Concatenate()([layers.Flatten()(layers.MaxPooling2D()(x)), layers.Flatten()(x)]))
    instead, given = substitution(model), normal((5, 12, 12, 2)).astype("float32")
    assert instead.separable
    plain = np.asarray(model(given))
    with substituted(instead.calls):
        np.testing.assert_allclose(model(given), plain, rtol=1e-5, atol=1e-6)


def test_wide_layers_are_computed_with_a_warning(keras, caplog):
    model = model_of(keras, keras.layers.Conv2D(80, 3, name="wide"))
    from trainer.kernels.substitution import substitution

    assert list(substitution(model).wide) == ["wide"]
    narrow = small(keras)
    assert not substitution(narrow).wide


# From the command line


FLAGS = ("--epochs", "2", "--batch-size", "64", *SILENT)


@pytest.mark.slow
def test_fit_trains_and_a_resume_with_other_kernels_is_refused(script: Script, tiny: Path):
    run = ("--data", tiny, *FLAGS, "--model", "lenet")
    done = script("fit.py", *run, "--kernels", "blocks", "--run-dir", "run")
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower()
    other = script("fit.py", "--resume", "run", "--epochs", "4", "--kernels", "keras")
    assert (other.returncode, other.stderr.count("\n")) == (2, 1)
    assert "training.kernels: blocks → keras" in other.stderr


def test_fit_refuses_a_misspelt_name_of_kernels_and_a_model_without_convolutions(
    script: Script, tmp_path: Path, tiny: Path
):
    misspelt = script("fit.py", "--data", tiny, "--kernels", "blokcs")
    assert misspelt.returncode == 2
    assert "training.kernels = 'blokcs': no such choice; did you mean 'blocks'?" in misspelt.stderr
    dense = script("fit.py", "--data", tiny, *FLAGS, "--model", "mlp", "--kernels", "blocks", "--run-dir", "run")
    assert dense.returncode == 2
    said = "cannot use kernels 'blocks' for this model: it has no convolution; kernels 'keras' can train it"
    assert dense.stderr.splitlines()[-1] == f"fit.py: error: {said}"
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_fit_warns_of_a_model_that_gets_slower(script: Script, tiny: Path):
    done = script("fit.py", "--data", tiny, *FLAGS, "--model", "simple_cnn", "--kernels", "blocks", "--run-dir", "run")
    assert done.returncode == 0, done.stderr
    assert "layer 'conv2' is so wide that kernels 'blocks' slow training down" in done.stderr


@pytest.mark.slow
def test_at_first_auto_gives_the_bits_of_fused(keras):
    from trainer.kernels.select import Auto, Fused

    watched = [Losses() for _ in range(3)]
    for kernels, losses in zip((Fused(), Auto(32, head_start=10), blocks()), watched, strict=True):
        fit(keras, small(keras), kernels, losses, images=160, epochs=4)
    fused, automatic, compiled = (losses.losses for losses in watched)
    assert automatic[:10] == fused[:10] != compiled[:10]
    assert automatic[10:] != fused[10:]
    np.testing.assert_allclose(automatic, fused, rtol=1e-3)


@pytest.mark.slow
def test_a_run_resumed_on_either_side_of_the_change_gives_the_same_bits(keras, tmp_path):
    from plugins.checkpoint import Checkpoint
    from trainer.kernels.select import Auto

    def run(folder: Path, *plugins: Plugin, resumed: bool = False):
        checkpoint, kernels = Checkpoint(monitor="loss"), Auto(32, head_start=10)
        return fit(keras, small(keras), kernels, checkpoint, *plugins, run_dir=folder, resumed=resumed)[0]

    whole = state(run(tmp_path / "whole"))
    for step in (6, 17):
        folder = tmp_path / str(step)
        run(folder, StopAt(step))
        assert state(run(folder, resumed=True)) == whole


def test_blocks_are_chosen_by_themselves_only_where_the_gain_was_measured(keras):
    from trainer.kernels.select import Auto
    from trainer.tasks.classification import Classification

    class Twice(Classification):
        def forward(self, model, batch, training, seed):
            loss, outputs = super().forward(model, batch, training, seed)
            return 2 * loss, outputs

    def chosen(model, **arguments) -> str:
        _, run = fit(keras, model, Auto(32, head_start=3), images=160, epochs=1, **arguments)
        return run.result["backend"]["kernels"]

    layers, images = keras.layers, keras.Input((12, 12, 1))
    wide = layers.Conv2D(8, 3)(layers.Conv2D(32, 3)(images))
    assert chosen(small(keras)) == "blocks after step 3"
    assert chosen(small(keras, dropout=0.1)) == "fused"
    assert chosen(small(keras, normalised=True)) == "fused"
    assert chosen(keras.Model(images, layers.Dense(4)(layers.Flatten()(wide)))) == "fused"
    assert chosen(keras.Model(images, layers.Dense(4)(layers.Flatten()(images)))) == "fused"
    assert chosen(small(keras), task=Twice()) == "fused"
