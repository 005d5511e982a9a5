"""Are metrics that need a whole set exact, however it is batched?"""

from __future__ import annotations

import numpy as np
import pytest

from trainer.errors import InkwellError
from trainer.tasks import whole
from trainer.tasks.overall import Overall
from trainer.tasks.supervised import Supervised

ROWS = 90
RANDOM = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [40, 30, 20])
SCORES = RANDOM.normal(size=(ROWS, 3)) + 1.5 * np.eye(3)[LABELS]
SHARES = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)
SEVERAL = (RANDOM.random((ROWS, 3)) < 0.4).astype(np.int32)


def test_scores_of_classes_are_those_of_scikit_learn():
    from sklearn import metrics

    decided, one_hot = SHARES.argmax(1), np.eye(3)[LABELS]
    expected = {
        "roc_auc": metrics.roc_auc_score(LABELS, SHARES, multi_class="ovr"),
        "average_precision": metrics.average_precision_score(one_hot, SHARES),
        "macro_f1": metrics.f1_score(LABELS, decided, average="macro"),
        "balanced_accuracy": metrics.balanced_accuracy_score(LABELS, decided),
        "matthews": metrics.matthews_corrcoef(LABELS, decided),
    }
    assert {name: score(LABELS, SHARES) for name, score in whole.SCORES.items()} == pytest.approx(expected)


def test_scores_of_several_labels_and_of_yes_or_no_are_those_of_scikit_learn():
    from sklearn import metrics

    for labels, shares in ((SEVERAL, SHARES), (SEVERAL[:, 0], SHARES[:, 0])):
        assert whole.roc_auc(labels, shares) == pytest.approx(metrics.roc_auc_score(labels, shares))
        assert whole.average_precision(labels, shares) == pytest.approx(metrics.average_precision_score(labels, shares))
    assert whole.macro_f1(SEVERAL, SHARES) == pytest.approx(metrics.f1_score(SEVERAL, SHARES >= 0.5, average="macro"))
    columns = [metrics.balanced_accuracy_score(SEVERAL[:, k], SHARES[:, k] >= 0.5) for k in range(3)]
    assert whole.balanced_accuracy(SEVERAL, SHARES) == pytest.approx(np.mean(columns))


def test_a_class_that_a_set_lacks_is_left_out():
    some = LABELS < 2
    assert np.isfinite([score(LABELS[some], SHARES[some]) for score in whole.SCORES.values()]).all()
    assert np.isnan(whole.roc_auc(np.zeros(4, int), SHARES[:4]))


class Rowwise:
    """A vector of numbers, one per class, and what it was given."""

    def __init__(self) -> None:
        self.seen: list = []

    def __call__(self, labels, predictions):
        self.seen.append((labels, predictions))
        return [np.mean(predictions[labels == k, k]) for k in range(3)]


@pytest.fixture(scope="module")
def evaluated(keras):
    """Numbers of a set in batches of 7 and of 90, and what a user's function was given."""
    from trainer import Evaluator
    from trainer.data.pipeline import EvaluationRows
    from trainer.data.rows import ArrayRows

    own = Rowwise()
    rows = ArrayRows(SCORES.astype(np.float32), LABELS.astype(np.int32))
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    task = Supervised("crossentropy", ["accuracy", *whole.SCORES, Overall(own, "share", ["a", "b", "c"])])
    evaluator = Evaluator(model, task)
    numbers = [dict(evaluator.assess(EvaluationRows(rows, size))[0]) for size in (7, 90)]
    return numbers, own.seen


def test_the_number_does_not_depend_on_the_batches(evaluated):
    (small, large), _ = evaluated
    expected = {name: score(LABELS, SHARES) for name, score in whole.SCORES.items()}
    assert {name: small[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert small == pytest.approx(large, rel=1e-5)


def test_a_function_of_ones_own_is_given_the_whole_set_as_probabilities_and_may_return_a_vector(evaluated):
    (small, _), seen = evaluated
    labels, predictions = seen[-1]
    np.testing.assert_array_equal(labels, LABELS)
    np.testing.assert_allclose(predictions, SHARES, rtol=1e-5)
    means = {f"share_{part}": SHARES[k == LABELS, k].mean() for k, part in enumerate("abc")}
    assert {name: small[name] for name in means} == pytest.approx(means, rel=1e-5)


@pytest.mark.parametrize(
    ("function", "parts", "said"),
    [
        (lambda labels, _: labels.nothing, (), r"^cannot compute the metric 'metric' from labels int64 \[90\] and "),
        (lambda *_: [1, 2], (), r"^cannot log the metric 'metric': it returned 2 numbers, but it has no parts; "),
        (lambda *_: 1.0, ("a", "b"), r"it returned 1 numbers, but parts names 2; "),
    ],
)
def test_a_function_that_fails_is_reported_in_one_line(function, parts, said):
    with pytest.raises(InkwellError, match=said) as caught:
        Overall(function, parts=parts)(LABELS, SHARES)
    assert "\n" not in str(caught.value)


def test_a_metric_of_a_whole_set_is_of_validation_alone_and_plugins_can_monitor_it(keras):
    from plugins.early_stopping import EarlyStopping
    from trainer import Trainer
    from trainer.errors import UsageError

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    task, pair = Supervised("crossentropy", ["roc_auc", "f1_score"]), (SCORES, LABELS)
    stop = EarlyStopping("val_roc_auc", threshold=0.0)
    run = Trainer(model, task=task, plugins=[stop]).fit(*pair, validation_data=pair, test_data=pair, epochs=3)
    vector = ["f1_score_0", "f1_score_1", "f1_score_2"]
    assert (list(task.names), list(task.evaluated)) == (["loss", *vector], ["roc_auc"])
    assert {"val_roc_auc", *vector} <= set(run.logs)
    assert "roc_auc" not in run.logs
    assert "roc_auc" in run.result.test
    assert run.stop_reason.startswith("val_roc_auc ")
    with pytest.raises(UsageError, match=r"monitors 'val_roc_acc', which is not logged; did you mean 'val_roc_auc'\?"):
        Trainer(model, task=task, plugins=[EarlyStopping("val_roc_acc")]).fit(*pair, validation_data=pair)
