"""Does a loss by name train what `Model.fit` trains, for models of any structure?"""

from __future__ import annotations

import numpy as np
import pytest

from trainer import Supervised, Trainer
from trainer.errors import UsageError

ROWS = 70  # two batches of 32, and a short one


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Return inputs and labels of every kind that belong together."""
    random = np.random.default_rng(seed)
    left, right = random.random((2, ROWS, 6), np.float32)
    digit = (3 * left.mean(1)).astype(np.int32)
    return {
        **{"left": left, "right": right, "digit": digit, "amount": right.sum(1, keepdims=True)},
        **{"several": (left[:, :3] > 0.5).astype(np.float32), "one_hot": np.eye(3, dtype=np.float32)[digit]},
        **{"odd": (digit % 2).astype(np.float32), "weight": random.random(ROWS).astype(np.float32)},
    }


DATA = arrays()


def towers(keras, outputs, named: bool = False):
    """Return a model with two inputs and the given outputs: (name, units, activation) each."""
    keras.utils.set_random_seed(0)
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    x = keras.layers.Concatenate()([keras.layers.Dense(8, activation="relu")(each) for each in (left, right)])
    x = keras.layers.Dropout(0.2)(x)
    heads = [keras.layers.Dense(units, activation, name=name)(x) for name, units, activation in outputs]
    if named:
        return keras.Model({"left": left, "right": right}, {head[0]: y for head, y in zip(outputs, heads, strict=True)})
    return keras.Model([left, right], heads if len(heads) > 1 else heads[0])


def batches(*parts):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(parts).batch(32)


INPUTS = {"left": DATA["left"], "right": DATA["right"]}
CASES = {
    "class weights": (
        [("digit", 3, "softmax")],
        {"loss": "sparse_categorical_crossentropy", "class_weight": {0: 0.5, 2: 3.0}, "metrics": ["accuracy"]},
        (DATA["digit"],),
    ),
    "one-hot labels with class weights": (
        [("digit", 3, "softmax")],
        {"loss": "categorical_crossentropy", "class_weight": {0: 0.5, 2: 3.0}, "metrics": ["accuracy"]},
        (DATA["one_hot"],),
    ),
    "sample weights": (
        [("amount", 1, None)],
        {"loss": "huber", "metrics": ["mae", "root_mean_squared_error"]},
        (DATA["amount"], DATA["weight"]),
    ),
    "one loss for two outputs": (
        [("a", 1, None), ("b", 1, None)],
        {"loss": "mse"},
        ({"a": DATA["amount"], "b": DATA["amount"] ** 2},),
    ),
}


def same_in_both(keras, outputs, arguments, parts, **changed) -> None:
    """Train a model by Inkwell and by `Model.fit`, and compare the bits of the weights, and all that both log."""
    weights = arguments.get("class_weight")
    ours, theirs = (towers(keras, outputs) for _ in range(2))
    adam = keras.optimizers.Adam(0.01)
    task = Supervised(**arguments)
    run = Trainer(ours, task=task, optimizer=adam, kernels="keras", plugins=[]).fit(
        batches(INPUTS, *parts), validation_data=batches(INPUTS, *parts), epochs=2
    )
    compiled = {key: value for key, value in {**arguments, **changed}.items() if key != "class_weight"}
    theirs.compile(keras.optimizers.Adam(0.01), **compiled)
    data = batches(tuple(INPUTS.values()), *(_in_order(part, outputs) for part in parts))
    history = theirs.fit(data, validation_data=data, epochs=2, shuffle=False, verbose=0, class_weight=weights).history
    for mine, other in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_array_equal(mine, other)
    mine = {name: [line[name] for line in run.history] for name in history}
    for name, values in history.items():
        if name.removeprefix("val_") == "loss" or not name.endswith("_loss"):  # Keras weighs a short batch like others
            assert mine[name] == pytest.approx(values, rel=1e-5), name


def _in_order(part, outputs):
    """Return labels or weights as Keras wants them for a list of outputs."""
    return tuple(part[name] for name, *_ in outputs) if isinstance(part, dict) else part


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=pytest.mark.slow if number else ()) for number, name in enumerate(CASES)]
)
def test_weights_and_numbers_are_those_of_model_fit(keras, case):
    same_in_both(keras, *CASES[case])


def test_every_output_has_a_loss_metrics_and_weights_of_its_own_as_in_model_fit(keras):
    outputs = [("digit", 3, None), ("amount", 1, None), ("several", 3, "sigmoid"), ("odd", 1, "sigmoid")]
    arguments = {
        "loss": {"digit": "sparse_categorical_crossentropy", "amount": "mse", "several": "bce", "odd": "bce"},
        "loss_weights": {"digit": 0.3, "amount": 2.0, "several": 1.0, "odd": 0.5},
        "metrics": {"digit": ["accuracy"], "amount": ["mae"], "several": ["precision"], "odd": ["accuracy", "auc"]},
    }
    losses = {**arguments["loss"], "digit": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    labels = {name: DATA[name] for name, *_ in outputs}
    weights = {name: DATA["weight"] ** power for power, name in enumerate(labels)}
    same_in_both(keras, outputs, arguments, (labels, weights), loss=losses)


# What cannot be compared with Model.fit


def pixels(keras):
    """Return a model of two classes per pixel, with inputs and labels."""
    keras.utils.set_random_seed(0)
    images = keras.Input((4, 4, 1))
    model = keras.Model(images, keras.layers.Conv2D(2, 1)(images))
    x = np.random.default_rng(0).random((6, 4, 4, 1), np.float32)
    return model, x, (x[..., 0] > 0.8).astype(np.int32)


def prepared(task, model, *parts):
    import tensorflow as tf

    spec = tuple(tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in parts)
    task.prepare(model, spec)
    task.balance(parts[1], [])
    return task


def test_rows_and_classes_weigh_the_pixels_of_a_segmentation(keras):
    model, x, y = pixels(keras)
    task = prepared(Supervised("crossentropy", class_weight="balanced"), model, x, y)
    rows = np.arange(6, dtype=np.float32)
    loss, outputs = task.forward(model, (x, y, rows), True, (0, 0))
    z = np.asarray(outputs, np.float64)
    of_pixels = np.log(np.exp(z).sum(-1)) - np.take_along_axis(z, y[..., None], -1)[..., 0]
    classes = y.size / (2 * np.bincount(y.ravel()))
    assert float(loss) == pytest.approx((of_pixels * classes[y] * rows[:, None, None]).mean(), rel=1e-5)
    unweighted, _ = task.forward(model, (x, y[..., None]), False, (0, 0))
    assert float(unweighted) == pytest.approx(of_pixels.mean(), rel=1e-5)


def test_metrics_by_name_are_given_what_they_understand(keras):
    model, x, y = pixels(keras)
    task = prepared(Supervised("crossentropy", ["accuracy", "mean_iou", "auc"]), model, x, y)
    assert list(task.names) == ["loss", "accuracy", "mean_iou", "auc"]
    assert task.classes is None  # a majority of pixels is no majority of rows
    metrics, outputs = task.metrics(), model(x)
    task.update(metrics, (x, y), outputs)
    decided = np.asarray(outputs).argmax(-1)
    overlap = [((decided == k) & (y == k)).sum() / ((decided == k) | (y == k)).sum() for k in (0, 1)]
    assert float(metrics["accuracy"].result()) == pytest.approx((decided == y).mean())
    assert float(metrics["mean_iou"].result()) == pytest.approx(np.mean(overlap))
    assert 0 <= float(metrics["auc"].result()) <= 1


def heads(keras, as_dict: bool):
    x = keras.Input((5,))
    outputs = {name: keras.layers.Dense(units, name=name)(x) for name, units in (("digit", 3), ("amount", 1))}
    return keras.Model(x, outputs if as_dict else list(outputs.values()))


def arranged(task, model, y):
    import tensorflow as tf

    x = np.zeros((4, 5), np.float32)
    batch = (x, y)
    spec = tf.nest.map_structure(lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), batch)
    return task.arrange(model, spec)(batch)[1]


@pytest.mark.parametrize("as_dict", [True, False])
def test_labels_find_their_output_by_name(keras, as_dict):
    labels = {"amount": np.zeros(4, np.float32), "digit": np.zeros(4, np.int32)}
    found = arranged(Supervised("mse"), heads(keras, as_dict), labels)
    assert {name: part.dtype.name for name, part in found.items()} == {"digit": "int32", "amount": "float32"}
    for given in (labels, {"digit": labels["digit"]}):
        assert list(arranged(Supervised({"digit": "ce"}), heads(keras, as_dict), given)) == ["digit"]
    with pytest.raises(
        UsageError, match=r"^cannot match y with the model: the data are \{digt: int32 \[N\], amount: .*"
    ):
        arranged(Supervised("mse"), heads(keras, as_dict), {"digt": labels["digit"], "amount": labels["amount"]})


@pytest.mark.parametrize(
    ("arguments", "as_dict", "said"),
    [
        (
            {"loss": ["ce", "mse"]},
            True,
            r"^cannot use loss=\['ce', 'mse'\]: name the output of each: loss=\{'digit': …, ",
        ),
        ({"loss": "mse", "metrics": ["mae"]}, False, r"^cannot use metrics=\['mae'\] for 2 outputs: name the output"),
        (
            {"loss": {"digt": "ce"}},
            False,
            r"^cannot use loss of 'digt': .* did you mean 'digit'\? \(outputs: digit, amount\)$",
        ),
        ({"loss": "mse", "class_weight": "balanced"}, False, r"^cannot use class_weight='balanced' for 2 outputs: "),
    ],
)
def test_what_belongs_to_several_outputs_is_never_guessed_by_order(keras, arguments, as_dict, said):
    import tensorflow as tf

    labels = {name: tf.TensorSpec([None, units]) for name, units in (("digit", 3), ("amount", 1))}
    task, model = Supervised(**arguments), heads(keras, as_dict)

    def ready() -> None:
        task.prepare(model, (tf.TensorSpec([None, 5]), labels))
        task.balance(None, [])

    with pytest.raises(UsageError, match=said):
        ready()
