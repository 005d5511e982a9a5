"""Looks at labels: those of the first batch of a stream, and the shares of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.data.balance import imbalance
from trainer.tasks.supervised import Supervised
from trainer.tasks.task import Task

MANY = 100
"""Labels of a first batch from which it means something that all are the same."""


def look_at_balance(task: Task, known: Any, first: Any) -> list[str]:
    """Return a notice if one class prevails or is rare, and what to do; classes that are weighted are not reported.

    Args:
        task: The task, prepared; only one of classes has them.
        known: All training labels, a tree of arrays; None if the data are streamed.
        first: Labels of the first batch of a stream.
    """
    numbers = _numbers(known if known is not None else first)
    if numbers is None or not isinstance(task, Supervised) or task.classes is None:
        return []
    if known is None:
        return _look_at_order(numbers)
    found = imbalance(numbers, task.classes)
    if not found or task.class_weight is not None:
        return []
    advice = "so accuracy says little; the task's class_weight='balanced' gives all classes equal weight"
    return [f"classes are unbalanced: {found}, {advice}"]


def _look_at_order(numbers: np.ndarray) -> list[str]:
    """Return a notice if a stream seems to be sorted by class."""
    if len(numbers) < MANY or (numbers != numbers[0]).any():
        return []
    found = f"all {len(numbers)} labels of the first training batch are {numbers[0]}"
    return [f"{found}; if the data are sorted by class, shuffle them"]


def _numbers(labels: Any) -> np.ndarray | None:
    """Return class numbers, int `[N]`, from whole or one-hot labels; None for any others."""
    if isinstance(labels, dict | list | tuple) or labels is None:
        return None
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all():
        return labels.argmax(axis=1)
    whole = (
        labels.ndim == 1 and labels.dtype.kind in "iuf" and (labels >= 0).all() and (labels == np.rint(labels)).all()
    )
    return labels.astype(np.int64) if whole else None
