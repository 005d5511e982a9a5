"""A look at what a model returns before training: probabilities where logits are expected."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.errors import UsageError
from trainer.tasks.classification import Classification
from trainer.tasks.heads import UNKNOWN, head_activations
from trainer.tasks.task import Task


def check_outputs(task: Task, model: Any, outputs: Any) -> None:
    """Refuse a classifier that returns probabilities although its activation cannot be read from a graph.

    Args:
        task: The task; only `Classification` takes the outputs of a model without a graph as logits.
        model: The model.
        outputs: What it returns for the first batch.

    Raises:
        UsageError: If all rows sum to 1.
    """
    if not isinstance(task, Classification) or head_activations(model) != [UNKNOWN]:
        return
    values = np.asarray(outputs, np.float64)
    if values.ndim == 2 and len(values) > 1 and (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3):
        raise UsageError(
            "cannot classify: the outputs of the model sum to 1 in each row, so they are probabilities, not logits; "
            "remove its softmax, or use Supervised('sparse_categorical_crossentropy', from_logits=False)"
        )
