"""Numbers about a classifier, from its outputs and the true labels.

classification.py  accuracy, precision, recall, F1, expected calibration error, likelihood, confusion
calibration.py     the reliability diagram's bins, and the Brier score
statistics.py      how sure one may be: intervals, and the paired comparison of two models
label_errors.py    the 15 labels of MNIST's test set that people do not confirm
predictions.py     what a model made of images: its errors, the most confident first
assessment.py      all of it as one table
examination.py     a trained model on images, what scripts/evaluate.py asks it; needs TensorFlow
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
