"""Are the reported numbers those of the textbooks?"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import make_images

from trainer.errors import DataError
from trainer.evaluation import classification_report, expected_calibration_error, log_softmax
from trainer.evaluation.assessment import assess, hardest
from trainer.evaluation.calibration import brier_score, reliability
from trainer.evaluation.predictions import Predictions


def test_the_report_of_a_small_case_worked_by_hand():
    # true 0: predicted 0, 0, 1; true 1: predicted 1; class 2 never occurs and is never predicted
    logits = np.log([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1]])
    report = classification_report(logits, np.array([0, 0, 0, 1]))
    assert report["confusion"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert report["accuracy"] == 0.75
    assert report["nll"] == pytest.approx(-np.log([0.8, 0.6, 0.3, 0.8]).mean())
    assert [scores["support"] for scores in report["per_class"]] == [3, 1, 0]
    assert report["precision"] == pytest.approx((1 + 1 / 2) / 2)
    assert report["recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert report["f1"] == pytest.approx((0.8 + 2 / 3) / 2)


def test_the_report_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(500, 7)), random.integers(0, 7, 500)
    logits[np.arange(500), labels] += 1
    report, predicted = classification_report(logits, labels), logits.argmax(1)
    scores = metrics.precision_recall_fscore_support(labels, predicted, average="macro")
    assert (report["precision"], report["recall"], report["f1"]) == pytest.approx(scores[:3])
    assert report["confusion"] == metrics.confusion_matrix(labels, predicted).tolist()
    assert report["nll"] == pytest.approx(metrics.log_loss(labels, np.exp(log_softmax(logits))))


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    confident = np.tile([0.9, 0.1], (10, 1))
    assert expected_calibration_error(confident, np.array([0] * 9 + [1])) == pytest.approx(0)
    assert expected_calibration_error(confident, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.4)
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0


def test_large_logits_do_not_overflow():
    assert classification_report(np.array([[1e4, -1e4]]), np.array([1]))["nll"] == pytest.approx(2e4)


@pytest.mark.parametrize("batch_size", [7, 64, 200])
def test_a_short_last_batch_weighs_what_it_is(keras, batch_size):
    from trainer.data.pipeline import EvaluationRows
    from trainer.trainer import Trainer

    keras.utils.set_random_seed(0)
    images = keras.Input((12, 12, 1))
    trainer = Trainer(keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images))))
    data = make_images(150)
    logits = trainer.predict(data.images)
    expected = classification_report(logits, data.labels)
    numbers = trainer.evaluate(EvaluationRows(data, batch_size=batch_size))
    for name in ("nll", "accuracy", "ece"):
        assert numbers[name] == pytest.approx(expected[name], abs=1e-6)
    assert numbers["loss"] == pytest.approx(expected["nll"], abs=1e-6)
    assert np.sum(numbers["confusion"]) == 150


def test_outputs_that_are_not_finite_are_no_result():
    with pytest.raises(DataError, match="outputs are not finite for 1 images"):
        classification_report(np.array([[0.0, 1.0], [np.nan, 0.0]]), np.array([0, 1]))


def test_an_assessment_agrees_with_the_report_and_with_itself():
    random = np.random.default_rng(1)
    labels = random.integers(0, 3, 200)
    logits = random.normal(size=(200, 3))
    logits[np.arange(200), labels] += 2
    found = assess(Predictions(logits, labels, None, 2.0), ["a", "b", "c"])
    report = classification_report(logits, labels)
    assert found["accuracy"]["value"] == report["accuracy"]
    assert found["accuracy"]["low"] < report["accuracy"] < found["accuracy"]["high"]
    assert found["confusion"] == report["confusion"]
    for scores, others in zip(found["per_class"], report["per_class"], strict=True):
        assert (scores["recall"], scores["precision"]) == pytest.approx((others["recall"], others["precision"]))
        assert scores["recall_low"] < scores["recall"] < scores["recall_high"]
        row = np.array(found["confusion"])["abc".index(scores["class"])]
        assert scores["taken_for_times"] == row[scores["taken_for"]] == sorted(row)[-2]
    assert found["calibration"]["as_they_are"]["nll"] == pytest.approx(report["nll"])
    assert found["calibration"]["calibrated"]["nll"] == pytest.approx(classification_report(logits / 2, labels)["nll"])
    assert found["corrected"] is None
    assert "calibrated" not in assess(Predictions(logits, labels), ["a", "b", "c"])["calibration"]


def test_classes_without_images_or_errors_are_no_reason_to_fail():
    found = assess(Predictions(np.eye(3)[[0, 0, 1, 1, 0]], np.array([0, 0, 1, 0, 1])), ["a", "b", "c"])
    empty = found["per_class"][2]
    assert (empty["images"], empty["recall"], empty["precision"], empty["taken_for"]) == (0, None, None, None)
    assert [scores["class"] for scores in hardest(found["per_class"])] == ["b", "a"]
    assert hardest(assess(Predictions(np.eye(2), np.arange(2)), ["a", "b"])["per_class"]) == []


def test_the_reliability_bins_give_the_calibration_error():
    random = np.random.default_rng(2)
    probabilities, labels = random.dirichlet((1, 1, 4), 500), random.integers(0, 3, 500)
    bins = [row for row in reliability(probabilities, labels) if row["images"]]
    gaps = sum(row["images"] * abs(row["accuracy"] - row["confidence"]) for row in bins) / 500
    assert gaps == pytest.approx(expected_calibration_error(probabilities, labels))
    assert all(row["low"] <= row["confidence"] <= row["high"] for row in bins)


def test_the_brier_score_is_the_squared_distance_from_the_truth():
    assert brier_score(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0])) == pytest.approx(1.0)
    assert brier_score(np.array([[0.7, 0.2, 0.1]]), np.array([1])) == pytest.approx(0.49 + 0.64 + 0.01)


def test_a_run_keeps_what_it_made_of_the_test_images(keras):
    from trainer.trainer import Trainer

    images = keras.Input((12, 12, 1))
    trainer = Trainer(keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images))))
    test = make_images(30, seed=1)
    run = trainer.fit(make_images(60), validation_data=make_images(20, seed=2), test_data=test, epochs=1)
    assert run.predictions.images is test.images
    assert (run.predictions.labels == test.labels).all()
    assert run.predictions.logits == pytest.approx(trainer.predict(test.images), abs=1e-5)
    assert run.predictions.right.mean() == run.result["test"]["accuracy"]
    assert run.predictions.temperature == run.result["temperature"]
