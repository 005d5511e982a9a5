"""Does a loss by name train what `Model.fit` trains, for models of any structure?"""

from __future__ import annotations

import numpy as np
import pytest

from trainer import Trainer
from trainer.tasks.supervised import Supervised

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
