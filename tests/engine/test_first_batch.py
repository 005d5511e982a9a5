"""Are data that cannot be learned from refused with the cure, and innocent data left alone?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import make_images

from trainer.data.balance import imbalance
from trainer.data.pipeline import TrainingRows
from trainer.data.rows import ArrayRows
from trainer.engine.first_batch.labels import look_at_balance
from trainer.engine.first_batch.looks import first_batch, look
from trainer.engine.first_batch.reach import reached
from trainer.engine.first_batch.shape import check_shapes
from trainer.errors import DataError, UsageError
from trainer.tasks.classification import Classification
from trainer.tasks.supervised import Supervised
from trainer.tasks.task import Task

N, SIDE = 40, 12
PIXELS = make_images(N, side=SIDE).images
"""uint8 from 0 to 209."""
FLOATS = PIXELS / np.float32(255)
LEARNED = Supervised("mean_squared_error")
LABELS = np.arange(N, dtype=np.int32) % 4


def model(keras, *layers: Any, shape: tuple[int, ...] = (SIDE, SIDE, 1)):
    inputs = keras.Input(shape)
    x = inputs
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(x)))


def looked_at(net: Any, x: Any, y: Any = LABELS, weight: Any = None) -> list[str]:
    return looked_at_rows(net, ArrayRows(x, y, weight))


def looked_at_rows(net: Any, rows: ArrayRows, batch_size: int = 128, task: Task = LEARNED) -> list[str]:
    pipeline = TrainingRows(rows, batch_size, augmentation="none")
    batch = first_batch(pipeline)
    assert batch is not None
    return look("training", pipeline, batch, net, task)


def with_value(array: np.ndarray, row: int, value: float) -> np.ndarray:
    changed = array.astype(np.float32)
    changed[row].flat[-1] = value
    return changed


# Numbers


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_row_that_is_not_finite_is_named(keras, value):
    net = model(keras)
    with pytest.raises(DataError, match=r"x has NaN or infinite values in row 33 of the training data \(0-based\)"):
        looked_at(net, with_value(with_value(FLOATS, 38, value), 33, value))
    with pytest.raises(DataError, match="y has NaN or infinite values in row 7 "):
        looked_at(net, FLOATS, with_value(LABELS[:, None], 7, value))
    with pytest.raises(DataError, match="sample_weight has NaN or infinite values in row 7 "):
        looked_at(net, FLOATS, LABELS, with_value(np.ones((N, 1)), 7, value)[:, 0])


def test_of_several_inputs_the_broken_one_is_named(keras):
    with pytest.raises(DataError, match=r"x\.right has NaN or infinite values in row 3 "):
        looked_at(None, {"left": FLOATS, "right": with_value(FLOATS, 3, np.nan)})


def test_a_row_beyond_the_first_block_and_the_first_batch_is_found(keras, monkeypatch):
    monkeypatch.setattr("trainer.engine.first_batch.finite.BLOCK_BYTES", 4 * SIDE * SIDE * 7)
    rows = ArrayRows(with_value(FLOATS, 39, np.nan), LABELS)
    with pytest.raises(DataError, match="row 39 "):
        looked_at_rows(model(keras), rows, 8)


def test_of_data_too_large_to_read_before_training_the_first_batch_is_looked_at(keras, monkeypatch):
    monkeypatch.setattr("trainer.engine.first_batch.looks.WHOLE_BYTES", 0)
    with pytest.raises(DataError, match=r"row \d+ of the first training batch"):
        looked_at(model(keras), with_value(FLOATS, 39, np.nan))


def test_labels_that_are_missing_and_weights_are_left_to_a_custom_task(keras):
    rows = ArrayRows(FLOATS, with_value(LABELS[:, None], 7, np.nan), -np.ones(N))
    assert looked_at_rows(model(keras), rows, task=Task()) == []


def test_large_finite_values_are_not_taken_for_infinite(keras):
    assert (
        looked_at(model(keras, shape=(3,)), np.random.default_rng(0).random((N, 3), np.float32) * np.float32(3e38))
        == []
    )


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (np.where(np.arange(N) == 5, -1.0, 1.0), "sample_weight is negative in row 5 of the training data"),
        (np.zeros(N), "sample_weight is 0 in all rows of the training data; omit it"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused(keras, weight, said):
    with pytest.raises(DataError, match=said):
        looked_at(model(keras), FLOATS, LABELS, weight)
    assert looked_at(model(keras), FLOATS, LABELS, np.arange(N)) == []


# Scale


@pytest.mark.parametrize("white", [1, 4, 15, 16])
def test_uint8_that_does_not_go_up_to_255_is_refused(keras, white):
    small = (PIXELS.astype(int) * white // PIXELS.max()).astype(np.uint8)
    for x, shape in ((small, (SIDE, SIDE, 1)), (small.reshape(N, -1), (SIDE * SIDE,))):
        with pytest.raises(DataError, match=rf"the values of x go up to {white}, not 255, .*: pass x\.astype"):
            looked_at(model(keras, shape=shape), x)


def test_images_that_were_divided_twice_are_refused(keras):
    with pytest.raises(DataError, match=r"the values of x go up to 0\.0032, .*; they were divided by 255 twice"):
        looked_at(model(keras), FLOATS / 255)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (
            PIXELS.astype(np.float32),
            "go up to 209, and no layer scales them before 'first'; divide by 255, or pass u",
        ),
        (PIXELS.astype(np.int64), "go up to 209, .*; divide by 255, or pass uint8$"),
        (PIXELS * np.float32(1.219), r"go up to 254\.771, .*; divide by 255, or pass uint8$"),
        (PIXELS.astype(np.float32) * 4, "go up to 836, .*; divide by 1,023$"),
        (PIXELS.astype(np.float32) * 256, "go up to 53504, .*; divide by 65,535$"),
    ],
    ids=["floats", "integers", "resized", "10 bits", "16 bits"],
)
def test_images_that_were_not_divided_are_refused(keras, x, said):
    first = keras.layers.Conv2D(2, 3, name="first")
    with pytest.raises(DataError, match=said):
        looked_at(model(keras, first), x)


def scaling(keras) -> dict[str, Any]:
    layers = keras.layers
    pixel = keras.Input((SIDE, SIDE, 1))
    return {
        "rescaling": layers.Rescaling(1 / 255),
        "to -1 and 1": layers.Rescaling(1 / 127.5, offset=-1),
        "normalization": layers.Normalization(mean=[33.3], variance=[78.6**2]),
        "division": lambda x: x / 255.0,
        "nested": keras.Sequential([layers.RandomTranslation(0.1, 0.1), layers.Rescaling(1 / 255)]),
        "functional": keras.Model(pixel, layers.Rescaling(1 / 255)(pixel)),
        "after padding": keras.Sequential([layers.ZeroPadding2D(2), layers.Rescaling(1 / 255)]),
    }


@pytest.mark.parametrize("name", ["rescaling", "to -1 and 1", "normalization", "division", "nested", "functional"])
def test_a_model_that_scales_gets_0_to_255_and_not_0_to_1(keras, name):
    net = model(keras, scaling(keras)[name], keras.layers.Conv2D(2, 3))
    with pytest.raises(UsageError, match=r"^cannot train: x is scaled already, .* once more \(.+\); remove the Re"):
        looked_at(net, FLOATS)
    with pytest.raises(UsageError, match="x is scaled already"):
        looked_at(net, PIXELS)  # uint8 means 0 to 255 and arrives as 0 to 1
    assert looked_at(net, PIXELS.astype(np.float32)) == []


def test_scaling_inside_a_nested_model_with_weights_and_in_a_sequential_one_is_found(keras):
    layers = keras.layers
    inner = model(keras, layers.Rescaling(1 / 255, name="inner"), layers.Conv2D(2, 3))
    for net in (model(keras, inner), keras.Sequential([keras.Input((SIDE, SIDE, 1)), inner])):
        with pytest.raises(UsageError, match=r"\(inner\)"):
            looked_at(net, FLOATS)
        assert looked_at(net, PIXELS.astype(np.float32)) == []


def test_the_input_that_is_scaled_twice_is_named(keras):
    layers = keras.layers
    left, right = keras.Input((SIDE, SIDE, 1), name="left"), keras.Input((SIDE, SIDE, 1), name="right")
    both = [layers.Flatten()(left), layers.Flatten()(layers.Rescaling(1 / 255)(right))]
    net = keras.Model(
        {"left": left, "right": right}, layers.Dense(4)(layers.Concatenate()([layers.Dense(2)(x) for x in both]))
    )
    assert [(each.number, each.path[-1][:7]) for each in reached(net, [FLOATS, FLOATS])] == [
        (0, "flatten"),
        (1, "flatten"),
    ]
    with pytest.raises(UsageError, match=r"x\.right is scaled already"):
        looked_at(net, {"left": FLOATS, "right": FLOATS})


def innocent(keras) -> dict[str, tuple[Any, np.ndarray]]:
    layers, random = keras.layers, np.random.default_rng(0)
    few = FLOATS.copy()
    few[5:] = 0
    images = {
        "images": PIXELS,
        "floats": FLOATS,
        "dark photographs": (PIXELS * 0.15).astype(np.uint8),
        "mostly blank": few,
        "from -1 to 1": FLOATS * 2 - 1,
        "standardised": (FLOATS - 0.1307) / 0.3081,
        "centred pixels": PIXELS.astype(np.float32) - 103.9,
        "0 to 16 as floats": (PIXELS // 16).astype(np.float32),
        "spectrograms": random.exponential(30, PIXELS.shape).astype(np.float32),
        "bits": (PIXELS > 100).astype(np.float32),
    }
    vectors = {
        "embeddings": random.normal(0, 0.02, (N, 64)),
        "one-hot": np.eye(50)[np.arange(N)],
        "shares": random.dirichlet(np.ones(100), N),
        "table": random.integers(0, 200, (N, 8)),
    }
    convolution, pixels = model(keras, layers.Conv2D(2, 3)), PIXELS.astype(np.float32)
    return {
        **{name: (convolution, x.astype(x.dtype if x.dtype == np.uint8 else np.float32)) for name, x in images.items()},
        **{name: (model(keras, shape=x.shape[1:]), x.astype(np.float32)) for name, x in vectors.items()},
        "tokens": (model(keras, layers.Embedding(300, 4), shape=(9,)), random.integers(0, 255, (N, 9), np.int32)),
        "normalised first": (model(keras, layers.BatchNormalization()), pixels),
        "pooled first": (
            model(keras, layers.GlobalAveragePooling2D(), shape=(64, 64, 1)),
            random.random((N, 64, 64, 1), np.float32),
        ),
        "a tenth": (model(keras, layers.Rescaling(0.1)), FLOATS),
        "rescaled to -1": (model(keras, layers.Rescaling(2, offset=-1)), FLOATS),
        "standardised by the model": (model(keras, layers.Normalization(mean=[0.13], variance=[0.1])), FLOATS),
    }


def test_innocent_inputs_are_left_alone(keras):
    found = {}
    for name, (net, x) in innocent(keras).items():
        try:
            found[name] = looked_at(net, x)
        except (DataError, UsageError) as error:
            found[name] = [str(error)]
    assert {name: said for name, said in found.items() if said} == {}


def test_a_few_rows_say_nothing_about_the_scale(keras):
    assert looked_at(model(keras), (PIXELS[:3] > 100).astype(np.uint8), LABELS[:3]) == []


def test_inputs_that_never_change_are_reported(keras):
    (notice,) = looked_at(model(keras), np.broadcast_to(FLOATS[:1], FLOATS.shape))
    assert notice == "x is the same in all rows of the first training batch: nothing can be learned from it"


def test_a_model_without_a_graph_is_not_judged(keras):
    class Own(keras.Model):
        def call(self, x):
            return x

    assert looked_at(Own(), PIXELS.astype(np.float32)) == []


def test_a_look_leaves_no_trace_in_the_names_of_layers(keras):
    net = model(keras, keras.layers.Flatten(), keras.layers.Rescaling(2))
    before = keras.Model(net.inputs, net.outputs).name
    looked_at(net, FLOATS)
    after = keras.Model(net.inputs, net.outputs).name
    number = int(before.rpartition("_")[2])
    assert after == f"functional_{number + 1}"


# Shapes


@pytest.mark.parametrize(
    ("want", "have", "said"),
    [
        ((28, 28, 1), (28, 28, 1), r"x is a single row \(28, 28, 1\), not a batch of them; call \.batch\(128\)"),
        ((28, 28, 1), (None, 28, 28), r"the data have \(28, 28\); add the channel: x\[\.\.\., None\]$"),
        ((28, 28, 3), (None, 3, 28, 28), r"; move the channels to the end: x\.transpose\(0, 2, 3, 1\)$"),
        ((28, 28, 1), (None, 784), r"; x\.reshape\(-1, 28, 28, 1\)$"),
        ((784,), (None, 28, 28), r"the model takes x of shape \(784,\), .*; x\.reshape\(-1, 784\)$"),
        (
            (28, 28, 1),
            (None, 32, 32, 1),
            r"takes images of shape \(28, 28, 1\), the data have \(32, 32, 1\)$",
        ),
        ((28, 28, 1), (None, None, None), r"the data have \(None, None\)$"),
    ],
)
def test_inputs_of_other_shapes_are_refused_with_the_cure(keras, want, have, said):
    import tensorflow as tf

    with pytest.raises(UsageError, match=said):
        check_shapes(model(keras, shape=want), (tf.TensorSpec(have, tf.float32), tf.TensorSpec([None], tf.int32)))


def test_shapes_that_a_model_takes_are_not_refused(keras):
    import tensorflow as tf

    fully_convolutional = keras.Input((None, None, 3))
    net = keras.Model(fully_convolutional, keras.layers.GlobalAveragePooling2D()(fully_convolutional))
    check_shapes(net, (tf.TensorSpec([None, 7, 9, 3], tf.float32),))
    check_shapes(model(keras), (tf.TensorSpec(None, tf.float32),))
    check_shapes({"generator": net}, (tf.TensorSpec([None, 2], tf.float32),))


# Balance


def labels_of(*counts: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (labels_of(150, *[6] * 9), "class 0 has 74 % of the 204 labels"),
        (labels_of(30, 3, 90, 1, 30), "class 2 has 58 % of the 154 labels and class 3 has 1"),
        (labels_of(80, 20), "class 0 has 80 % of the 100 labels"),
        (labels_of(300, 300, 4, 300), "class 2 has 4 of the 904 labels"),
        (labels_of(30, 0, 30, 30), ""),
        (labels_of(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949), ""),  # MNIST
        (labels_of(4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659), ""),  # SVHN
        (labels_of(38374, *[11000] * 60, 1896), ""),  # the extremes of EMNIST's 62 classes
        (labels_of(70, 30), ""),
        (labels_of(), ""),
    ],
)
def test_shares_of_classes_are_reported_where_they_differ_much(labels, said):
    assert imbalance(labels.astype(np.int32)) == said


@pytest.fixture(scope="module")
def prepared(keras):
    """The task of a model of four classes."""
    import tensorflow as tf

    task, net = Classification(), model(keras)
    task.prepare(net, (tf.TensorSpec(net.input_shape), tf.TensorSpec([None], tf.int32)))
    return task


def classifier(keras, task: Supervised) -> Supervised:
    """Return a task that is prepared for a model of four classes."""
    import tensorflow as tf

    net = model(keras)
    task.prepare(net, (tf.TensorSpec([None, *net.input_shape[1:]], tf.float32), tf.TensorSpec([None], tf.int32)))
    return task


def test_unbalanced_classes_come_with_what_to_do(keras):
    labels, task = labels_of(90, 4, 3, 3), classifier(keras, Classification())
    (notice,) = look_at_balance(task, labels, None)
    assert notice.startswith("classes are unbalanced: class 0 has 90 % of the 100 labels, ")
    assert "class_weight='balanced'" in notice
    for others in (np.eye(4)[labels], labels[:, None], labels.astype(np.float32)):
        assert look_at_balance(task, others, None) == [notice]
    supervised = Supervised("sparse_categorical_crossentropy", from_logits=True)
    assert look_at_balance(classifier(keras, supervised), labels, None) == [notice]
    assert look_at_balance(task, LABELS, None) == []
    assert look_at_balance(classifier(keras, Classification(class_weight="balanced")), labels, None) == []
    assert look_at_balance(Task(), labels, None) == []  # numbers, as far as is known


def test_a_stream_that_seems_sorted_by_class_is_reported(keras):
    task = classifier(keras, Classification())
    (notice,) = look_at_balance(task, None, np.full(128, 2))
    assert notice == "all 128 labels of the first training batch are 2; if the data are sorted by class, shuffle them"
    assert look_at_balance(task, None, np.full(20, 2)) == []
    assert look_at_balance(task, None, labels_of(127, 1)) == []
