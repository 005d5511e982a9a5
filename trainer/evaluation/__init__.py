"""Evaluation of a classifier from its outputs and the true labels.

classification.py  accuracy, precision, recall, F1, expected calibration error, likelihood, confusion matrix
calibration.py     the bins of the reliability diagram, and the Brier score
statistics.py      confidence intervals, and the paired comparison of two models
label_errors.py    the 15 labels of MNIST's test set that human annotators do not confirm
predictions.py     a model's predictions, and its errors with the most confident first
overlap.py         the evaluated images that the model was trained on
assessment.py      all numbers in one table
robustness/        accuracy on corrupted and varied images
"""

from trainer.evaluation.classification import (
    ECE_BINS,
    calibration_report,
    classification_report,
    confusion_matrix,
    expected_calibration_error,
    log_softmax,
)

__all__ = [
    "ECE_BINS",
    "calibration_report",
    "classification_report",
    "confusion_matrix",
    "expected_calibration_error",
    "log_softmax",
]
