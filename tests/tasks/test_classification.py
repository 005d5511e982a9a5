"""Is a classifier trained correctly, whatever its labels and its last layer are, or refused with the cure?"""

from __future__ import annotations

import numpy as np
import pytest

from trainer.errors import UsageError
from trainer.tasks.class_weights import class_weights
from trainer.tasks.classification import Classification, logits_of
from trainer.tasks.losses import build_loss
from trainer.tasks.supervised import Supervised

X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32) + (X[:, 1] > 0)
ONE_HOT = np.eye(3, dtype=np.float32)[Y]
SEED = (0, 0)


def net(keras, units: int = 3, activation: str | None = None, *more):
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(8, activation="relu")
    return keras.Sequential([keras.Input((5,)), hidden, keras.layers.Dense(units, activation, name="head"), *more])


def specs(*parts):
    import tensorflow as tf

    return tuple(tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in parts)


def ready(task, model, *parts):
    """Prepare and check a task as a trainer does before step 0."""
    task.prepare(model, specs(*parts))
    task.check(model, specs(*parts), parts[1])
    task.balance(parts[1], [])
    return task


@pytest.mark.parametrize(
    ("activation", "labels"),
    [
        *((None, labels) for labels in (Y[:, None], Y.astype(np.float32), Y.astype(np.uint8), ONE_HOT, ONE_HOT > 0)),
        *((end, labels) for end in ("softmax", "log_softmax", "layer") for labels in (Y, ONE_HOT)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_forms_of_labels_and_heads_are_the_same_to_the_loss_and_to_reports(keras, activation, labels, training):
    plain = net(keras)
    more = [keras.layers.Softmax()] if activation == "layer" else []
    model = net(keras, 3, None if activation == "layer" else activation, *more)
    for smoothing in (0.0, 0.1):
        expected, logits = Classification(smoothing).forward(plain, (X, Y), training, SEED)
        loss, outputs = ready(Classification(smoothing), model, X, labels).forward(model, (X, labels), training, SEED)
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)
        np.testing.assert_allclose(keras.ops.softmax(outputs), keras.ops.softmax(logits), rtol=1e-4)
    np.testing.assert_array_equal(Classification().truth(labels), Y)


@pytest.mark.parametrize("labels", [Y > 0, (Y > 0).astype(np.int32)[:, None], (Y > 0).astype(np.float32)], ids=str)
@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_a_single_unit_tells_two_classes_apart(keras, activation, labels):
    model = net(keras, 1, activation)
    task = ready(Classification(), model, X, labels)
    loss, outputs = task.forward(model, (X, labels), True, SEED)
    z = np.asarray(net(keras, 1)(X), np.float64)[:, 0]
    p, truth = 1 / (1 + np.exp(-z)), np.ravel(labels).astype(int)
    assert float(loss) == pytest.approx(-np.log(np.where(truth, p, 1 - p)).mean(), rel=1e-5)
    np.testing.assert_allclose(keras.ops.softmax(outputs)[:, 1], p, rtol=1e-4)
    metrics = task.metrics()
    task.update(metrics, (X, labels), outputs)
    assert float(metrics["accuracy"].result()) == pytest.approx(np.mean((p > 0.5) == truth))


def test_the_logits_of_a_model_without_a_graph_are_its_outputs(keras):
    class Own(keras.Model):
        def call(self, x):
            return x

    assert logits_of(Own(), X) is X


@pytest.mark.parametrize(
    ("head", "labels", "task", "said"),
    [
        ((3, "relu"), Y, Classification, r"it ends in relu, but .* remove the activation$"),
        ((3,), Y + 1, Classification, r"labels range from 1 to 3, .*; labels go from 1 to 3: subtract 1$"),
        ((3,), Y - 1, Classification, r"labels range from -1 to 1, .*; number the classes from 0$"),
        ((3,), Y * 3, Classification, r"labels range from 0 to 6, .*; give the last layer 7 units, or correct"),
        ((3,), Y + 0.5, Classification, r"labels must be whole numbers, one is 1.5; "),
        ((3,), np.ones((40, 3)), Classification, r"the labels of a row must sum to 1, .* loss=binary_crossentropy$"),
        ((3,), np.eye(4)[Y], Classification, r"labels float64 \[N, 4\] do not suit the output float32 \[N, 3\]"),
        (
            (1,),
            Y,
            Classification,
            r"labels range from 0 to 2, but the loss 'binary_crossentropy' takes labels from 0 to 1",
        ),
        ((3,), Y, lambda: Supervised("hubr"), r"^unknown loss 'hubr'; did you mean 'huber'\?"),
        (
            (3,),
            Y,
            lambda: Supervised("mse"),
            r"labels int32 \[N\] do not suit the output float32 \[N, 3\] .* same shape$",
        ),
        ((3,), ONE_HOT, lambda: Supervised("sparse_categorical_crossentropy"), r"need categorical_crossentropy$"),
        (
            (3,),
            Y,
            lambda: Supervised("categorical_crossentropy"),
            r"class numbers need sparse_categorical_crossentropy$",
        ),
        (
            (1,),
            Y,
            lambda: Supervised("sparse_categorical_crossentropy"),
            r"a single unit is no choice between classes; ",
        ),
        (
            (3, "softmax"),
            Y,
            lambda: Supervised("ce", from_logits=True),
            r"ends in softmax, but .* leave from_logits out",
        ),
        ((1,), X[:, 0], lambda: Supervised("mse", from_logits=True), r"'mse', which knows no logits; remove it$"),
        (
            (1,),
            X[:, 0],
            lambda: Supervised("mse", class_weight="balanced"),
            r"cannot weigh the classes .* sample_weight$",
        ),
        ((3,), Y, lambda: Classification(class_weight={7: 2}), r"cannot weigh class 7: classes are 0 to 2$"),
        ((3,), Y, lambda: Classification(class_weight={1: -2}), r"cannot weigh class 1 by -2; "),
        ((1,), X[:, 0], lambda: Supervised("mse", ["maee"]), r"^unknown metric 'maee'; did you mean 'mae'\?"),
        ((1,), X[:, 0], lambda: Supervised("mse", {"heat": "mae"}), r"no such output; did you mean 'head'\?"),
        ((1,), X[:, 0], lambda: Supervised({"heat": "mse"}), r"no such output; did you mean 'head'\?"),
        ((1,), X[:, 0], lambda: Supervised("mse", ["mean_iou"]), r"^cannot make the metric 'mean_iou' by its name: "),
    ],
)
def test_what_cannot_be_learned_is_refused_in_one_line_with_the_cure(keras, head, labels, task, said):
    with pytest.raises(UsageError, match=said) as caught:
        ready(task(), net(keras, *head), X, labels)
    assert "\n" not in str(caught.value)


def test_a_loss_from_python_says_if_it_takes_logits(keras):
    loss = keras.losses.SparseCategoricalCrossentropy
    assert build_loss(loss(from_logits=True), "head", "linear", None).from_logits
    assert not build_loss(loss(), "head", "softmax", None).from_logits
    for activation, logits, cure in (("softmax", True, "remove the activation"), ("linear", False, "from_logits=True")):
        with pytest.raises(UsageError, match=cure):
            build_loss(loss(from_logits=logits), "head", activation, None)
    with pytest.raises(UsageError, match="cannot tell if output 'head' is logits or probabilities"):
        build_loss("bce", "head", "", None)
    assert build_loss("bce", "head", "", True).from_logits


def test_balanced_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    numbers = np.repeat([0, 1, 3], [70, 20, 10])
    weights = class_weights("balanced", 4, numbers, [])
    np.testing.assert_allclose(
        weights[[0, 1, 3]], compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=numbers), rtol=1e-6
    )
    names = ["cat", "dog", "1"]
    np.testing.assert_array_equal(class_weights({"dog": 2, "1": 3, 0: 0.5}, 3, None, names), np.float32([0.5, 2, 3]))
    with pytest.raises(UsageError, match=r"cannot weigh class 'dig': classes are 0 to 2 \(cat, dog, 1\); did you mean"):
        class_weights({"dig": 2}, 3, None, names)
    with pytest.raises(UsageError, match="labels of a stream are not known before training; give a weight for each"):
        class_weights("balanced", 3, None, [])


def test_the_best_weights_of_unbalanced_classes_are_not_those_of_the_majority(keras):
    from plugins.checkpoint import Checkpoint
    from plugins.early_stopping import EarlyStopping
    from trainer import Run

    rare = np.repeat([0, 1, 2], [36, 2, 2]).astype(np.int32)
    even = np.arange(40, dtype=np.int32) % 3
    assert ready(Classification(), net(keras), X, even).monitor == "val_loss"
    task = ready(Classification(), net(keras), X, rare)
    assert (task.monitor, list(task.evaluated)) == ("val_balanced_accuracy", ["balanced_accuracy"])
    run, checkpoint, stopping = Run(monitor=task.monitor), Checkpoint(), EarlyStopping(patience=1)
    run.min_steps, run.step = 0, 1
    checkpoint.check(run)
    saved = []
    for run.step, (loss, balanced) in enumerate([(0.5, 0.33), (0.6, 0.8), (0.4, 0.33)], 1):
        run.logs = {"val_loss": loss, "val_balanced_accuracy": balanced}
        for plugin in (checkpoint, stopping):
            plugin.on_validation_end(run)
        saved.append("best" in run.inbox.saves)
        run.saved |= dict.fromkeys(run.inbox.saves, run.step)
        run.inbox.saves.clear()
    assert saved == [True, True, False]
    assert run.stop_reason == "val_loss has not improved on 0.5 for 1 validation"  # recalls of rare classes jump


def test_without_validation_the_last_weights_are_kept():
    from plugins.checkpoint import Checkpoint
    from trainer import Run

    checkpoint = Checkpoint()
    checkpoint.check(Run(monitor=None))
    assert checkpoint.best is None
