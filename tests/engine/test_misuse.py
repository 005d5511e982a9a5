"""Is each common mistake refused in one line with the cure before step 0, and all else trained correctly?"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import make_images

from trainer.errors import InkwellError

N, SIDE, CLASSES = 120, 12, 4
PIXELS, LABELS = make_images(N).images, make_images(N).labels
FLOATS = PIXELS / np.float32(255)
BYTES = PIXELS.astype(np.float32)
ONE_HOT = np.eye(CLASSES, dtype=np.float32)[LABELS]
BINARY = (LABELS > 1).astype(np.int32)


def net(keras, *head: Any, before: tuple[Any, ...] = (), units: int = CLASSES, built: bool = True):
    """Return a classifier of images, with layers before and after it."""
    layers = keras.layers
    chain = [*before, layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dense(units), *head]
    return keras.Sequential([keras.Input((SIDE, SIDE, 1)), *chain] if built else chain)


def dataset(*arrays: Any, batch: int | None = 40):
    import tensorflow as tf

    whole = tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0])
    return whole.batch(batch) if batch else whole


def two_towers(keras, outputs: bool = False):
    layers = keras.layers
    left, right = keras.Input((SIDE, SIDE, 1), name="left"), keras.Input((3,), name="right")
    both = layers.Concatenate()([layers.Dense(16, activation="relu")(layers.Flatten()(left)), right])
    digit = layers.Dense(CLASSES, name="digit")(both)
    return keras.Model(
        [left, right], {"digit": digit, "size": layers.Dense(1, name="size")(both)} if outputs else digit
    )


RIGHT = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
SIZES = FLOATS.mean(axis=(1, 2, 3))[:, None]


def generator(x: np.ndarray = FLOATS, y: np.ndarray = LABELS):
    for start in range(0, len(x), 40):
        yield x[start : start + 40], y[start : start + 40]


def torch_loader():
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(torch.from_numpy(FLOATS), torch.from_numpy(LABELS))
    return torch.utils.data.DataLoader(tensors, batch_size=40)


def directory(keras, folder: Any):
    from PIL import Image

    for i, (image, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / str(label) / f"{i}.png")
    where = {"color_mode": "grayscale", "image_size": (SIDE, SIDE), "batch_size": 40, "verbose": False}
    return keras.utils.image_dataset_from_directory(folder, **where)


def with_nan(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed[77, 3, 3] = np.nan
    return changed


def without_graph(keras, head: Callable[[Any], Any] = lambda x: x):
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net(keras)

        def call(self, x, training=False):
            return head(self.inner(x, training=training))

    model = Own()
    model.build((None, SIDE, SIDE, 1))
    return model


def compiled(keras, loss: str | None = "sparse_categorical_crossentropy"):
    model = net(keras, keras.layers.Softmax())
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"] if loss else None)
    return model


def shares(x: Any) -> Any:
    """Return a softmax that Keras does not recognise as one."""
    import keras

    return keras.ops.exp(x) / keras.ops.sum(keras.ops.exp(x), -1, keepdims=True)


def rescaling(keras):
    return net(keras, before=(keras.layers.Rescaling(1 / 255),))


REFUSED: dict[str, tuple[Callable[[Any], tuple[Any, ...]], str]] = {
    "a head of ReLU": (lambda k: (net(k, k.layers.ReLU()), PIXELS, LABELS), r"relu.*remove the activation"),
    "a softmax without a graph": (
        lambda k: (without_graph(k, shares), PIXELS, LABELS),
        r"sum to 1 in each row, .*; remove its softmax, or use .*from_logits=False",
    ),
    "Rescaling of uint8": (lambda k: (rescaling(k), PIXELS, LABELS), r"scaled already.*; remove the Rescaling layer"),
    "Rescaling of 0 to 1": (lambda k: (rescaling(k), dataset(FLOATS, LABELS)), r"remove the Rescaling layer"),
    "floats from 0 to 255": (lambda k: (net(k), BYTES, LABELS), r"go up to 209, .*; divide by 255, or pass uint8"),
    "floats from 0 to 255 in a stream": (lambda k: (net(k), dataset(BYTES, LABELS)), r"divide by 255, or pass uint8"),
    "integers from 0 to 255": (lambda k: (net(k), PIXELS.astype(int), LABELS), r"convert them: x\.astype\('uint8'\)"),
    "integers in a stream": (lambda k: (net(k), dataset(PIXELS.astype(int), LABELS)), r"divide by 255, or pass uint8"),
    "divided twice": (lambda k: (net(k), FLOATS / 255, LABELS), r"divided by 255 twice: divide once"),
    "0 and 1 in uint8": (
        lambda k: (net(k), PIXELS // 150, LABELS),
        r"go up to 1, not 255.*: pass x\.astype\('float32'\)",
    ),
    "0 to 13 in uint8": (lambda k: (net(k), dataset(PIXELS // 16, LABELS)), r"go up to 13, not 255.*'float32'\) / 13"),
    "NaN pixels": (lambda k: (net(k), with_nan(FLOATS), LABELS), r"NaN or infinite values in row 77 of the training"),
    "NaN in a stream": (lambda k: (net(k), dataset(with_nan(FLOATS), LABELS, batch=100)), r"row 77 of the first train"),
    "numbers for one unit": (
        lambda k: (net(k, units=1), PIXELS, LABELS / 5),
        r"between 0 and 1, .*mean_squared_error for numbers",
    ),
    "labels of texts": (lambda k: (net(k), PIXELS, LABELS.astype(str)), r"labels are texts; number them"),
    "labels from 1": (lambda k: (net(k), PIXELS, LABELS + 1), r"from 1 to 4.*: subtract 1"),
    "labels from 1 in a stream": (lambda k: (net(k), dataset(FLOATS, LABELS + 1)), r"from 1 to 4.*: subtract 1"),
    "labels out of range": (lambda k: (net(k), PIXELS, LABELS * 2), r"labels range from 0 to 6, .* outputs for 0 to 3"),
    "labels out of range in a stream": (
        lambda k: (net(k), dataset(FLOATS, LABELS * 2)),
        r"range from 0 to 6, .* 0 to 3",
    ),
    "labels below 0": (lambda k: (net(k), PIXELS, LABELS - 1), r"labels range from -1 to 2, .* outputs for 0 to 3"),
    "labels that are not whole": (lambda k: (net(k), FLOATS, LABELS + 0.5), r"whole|integers"),
    "an unbatched set": (lambda k: (net(k), dataset(FLOATS, LABELS, batch=None)), r"batch\("),
    "an endless set": (lambda k: (net(k), dataset(FLOATS, LABELS).repeat()), r"endless; give .*steps"),
    "an empty set": (lambda k: (net(k), FLOATS[:0], LABELS[:0]), r"at least (one|1)"),
    "an empty stream": (lambda k: (net(k), dataset(FLOATS, LABELS).take(0)), r"stream without batches"),
    "a generator of unknown length": (lambda k: (net(k), generator()), r"give .*"),
    "no labels": (lambda k: (net(k), FLOATS), r"cannot (learn|classify|train).*"),
    "fewer labels": (lambda k: (net(k), PIXELS, LABELS[:-1]), r"120 .*119"),
    "another size": (lambda k: (net(k), FLOATS[:, 1:], LABELS), r"\(12, 12, 1\), the data have \(11, 12, 1\)"),
    "channels first": (lambda k: (net(k), np.moveaxis(np.repeat(FLOATS, 3, 3), 3, 1), LABELS), r"\(12, 12, 1\)"),
    "flat pixels": (lambda k: (net(k), FLOATS.reshape(N, -1), LABELS), r"x\.reshape\(-1, 12, 12, 1\)"),
    "weights below 0": (lambda k: (net(k), FLOATS, LABELS, -np.ones(N)), r"sample_weight is negative in row 0"),
    "weights of 0": (lambda k: (net(k), FLOATS, LABELS, np.zeros(N)), r"sample_weight is 0 in all rows"),
    "one of two inputs": (lambda k: (two_towers(k), FLOATS, LABELS), r"the model has \{left: .*, right: .*\}"),
    "labels of one of two outputs": (
        lambda k: (two_towers(k, outputs=True), {"left": FLOATS, "right": RIGHT}, LABELS),
        r"cannot match y with the model: the data are int32 \[N\], the model has \{digit: .*, size: .*\}",
    ),
    "two outputs and no task": (
        lambda k: (two_towers(k, outputs=True), {"left": FLOATS, "right": RIGHT}, {"digit": LABELS, "size": SIZES}),
        r"cannot classify: the model must return logits \[N, K\], not .*; use task supervised",
    ),
    "compiled without a loss": (
        lambda k: (compiled(k, None), PIXELS, LABELS),
        r"compiled without a loss; compile it wi",
    ),
    "other names": (
        lambda k: (two_towers(k), {"left": FLOATS, "wrong": RIGHT}, LABELS),
        r"the data are \{left: .*, wrong: .*\}, the model has \{left: .*, right: .*\}",
    ),
}
"""Mistakes by name: what makes a model and the arguments of `fit`, and what the error says."""


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_refused_in_one_line_before_anything_is_trained(keras, name):
    from trainer import Durations, Trainer

    make, said = REFUSED[name]
    model, x, *rest = make(keras)
    arguments = dict(zip(("y", "sample_weight"), rest, strict=False))
    before = [np.asarray(weight) for weight in model.weights]
    with pytest.raises(InkwellError, match=said) as caught:
        Trainer(model, plugins=[]).fit(x, **arguments, durations=Durations(epochs=1))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status in (1, 2)
    for one, other in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def _trained(keras, folder: Any) -> dict[str, Callable[[], tuple[Any, ...]]]:
    layers = keras.layers
    return {
        "logits": lambda: (net(keras), PIXELS, LABELS),
        "logits without a graph": lambda: (without_graph(keras), PIXELS, LABELS),
        "a softmax head": lambda: (net(keras, layers.Softmax()), PIXELS, LABELS),
        "an activation softmax": lambda: (net(keras, layers.Activation("softmax")), PIXELS, LABELS),
        "a sigmoid head": lambda: (net(keras, layers.Activation("sigmoid")), PIXELS, LABELS),
        "a single sigmoid unit": lambda: (net(keras, layers.Activation("sigmoid"), units=1), PIXELS, BINARY),
        "Rescaling of floats from 0 to 255": lambda: (rescaling(keras), BYTES, LABELS),
        "a folder of images with Rescaling": lambda: (rescaling(keras), directory(keras, folder)),
        "a model that is not built": lambda: (net(keras, built=False), PIXELS, LABELS),
        "a compiled model": lambda: (compiled(keras), PIXELS, LABELS),
        "a pair": lambda: (net(keras), (PIXELS, LABELS)),
        "a dataset of uint8": lambda: (net(keras), dataset(PIXELS, LABELS)),
        "a function that makes a generator": lambda: (net(keras), generator),
        "a torch loader": lambda: (net(keras), torch_loader()),
        "one-hot labels": lambda: (net(keras), FLOATS, ONE_HOT),
        "one-hot labels in a stream": lambda: (net(keras), dataset(FLOATS, ONE_HOT)),
        "float labels": lambda: (net(keras), FLOATS, LABELS.astype(np.float32)),
        "labels [N, 1]": lambda: (net(keras), dataset(FLOATS, LABELS[:, None])),
        "sample weights": lambda: (net(keras), FLOATS, LABELS, np.ones(N, np.float32)),
        "images from -1 to 1": lambda: (net(keras), FLOATS * 2 - 1, LABELS),
        "images without channel": lambda: (net(keras), FLOATS[..., 0], LABELS),
        "two inputs by name": lambda: (two_towers(keras), {"left": FLOATS, "right": RIGHT}, LABELS),
        "two inputs in order": lambda: (two_towers(keras), [FLOATS, RIGHT], LABELS),
    }


TRAINED = (
    *(
        "logits",
        "logits without a graph",
        "a softmax head",
        "an activation softmax",
        "a sigmoid head",
        "a single sigmoid unit",
    ),
    *("Rescaling of floats from 0 to 255", "a folder of images with Rescaling", "a pair", "a dataset of uint8"),
    *("a model that is not built", "a compiled model"),
    *("a function that makes a generator", "a torch loader", "one-hot labels", "one-hot labels in a stream"),
    *("float labels", "labels [N, 1]", "sample weights", "images from -1 to 1", "images without channel"),
    *("two inputs by name", "two inputs in order"),
)


def trainer_and_data(keras, name: str, folder: Any):
    from trainer import Trainer

    model, x, *rest = _trained(keras, folder)[name]()
    trainer = Trainer(model, optimizer=None if model.compiled else keras.optimizers.Adam(1e-2), plugins=[])
    return trainer, x, dict(zip(("y", "sample_weight"), rest, strict=False))


@pytest.mark.parametrize("name", TRAINED)
def test_what_is_not_a_mistake_is_accepted_without_a_word(keras, name, tmp_path, caplog):
    trainer, x, arguments = trainer_and_data(keras, name, tmp_path)
    with caplog.at_level(logging.WARNING, "trainer"):
        assert trainer.plan(x, **arguments, epochs=1)
    slow = "counting 3 batches of the stream took"  # on a slow machine
    assert [said for said in caplog.messages if not said.startswith(slow)] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_what_is_not_a_mistake_is_trained_correctly(keras, name, tmp_path):
    keras.utils.set_random_seed(0)
    trainer, x, arguments = trainer_and_data(keras, name, tmp_path)
    run = trainer.fit(x, **arguments, epochs=30)
    assert run.history[-1]["accuracy"] > 0.95


def test_uint8_is_scaled_in_a_dataset_as_in_an_array(keras):
    from trainer.evaluator import Evaluator

    evaluator = Evaluator(net(keras))
    expected = evaluator.evaluate(PIXELS, LABELS).loss
    assert evaluator.evaluate(dataset(PIXELS, LABELS)).loss == pytest.approx(expected, rel=1e-5)
    assert evaluator.evaluate(dataset(FLOATS, LABELS)).loss == pytest.approx(expected, rel=1e-5)


def test_unbalanced_classes_are_trained_with_a_notice(keras, caplog):
    from trainer import Trainer

    few = np.flatnonzero((LABELS == 0) | (np.arange(N) < 12))
    with caplog.at_level(logging.WARNING, "trainer"):
        Trainer(net(keras), plugins=[]).plan(PIXELS[few], LABELS[few], epochs=1)
    assert [
        said for said in caplog.messages if said.startswith("classes are unbalanced: class 0 has 77 % of the 39 labels")
    ]
