"""Metrics that need a whole validation or test set at once, such as the area under the ROC curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer.errors import InkwellError
from trainer.tasks.losses import function_name
from trainer.tasks.whole import SCORES
from trainer.text import first_line

if TYPE_CHECKING:
    import keras
    import numpy as np


@dataclass(frozen=True)
class Overall:
    """A metric that is computed once per validation and once per test, from all labels and predictions.

    Unlike the mean of a score over batches, the result does not depend on how the set is batched. Labels and
    predictions of the whole set are kept in memory until then: 4 bytes for each number.

    Args:
        function: Function of labels and predictions, arrays of all N rows, that returns a number, or a vector with one
            number per name. Where the loss tells classes apart, labels are class numbers, int `[N]`, and predictions
            are probabilities, `[N, K]`; where it tells several labels apart, both are `[N, K]`; for a single unit, both
            are `[N]`. Otherwise they are what the data and the model give.
        name: Name of the metric; default: that of the function.
        parts: Names of the numbers of a vector, which are logged as `name_part`; empty for a single number.
    """

    function: Callable[[np.ndarray, np.ndarray], Any]
    name: str = ""
    parts: Sequence[str] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        object.__setattr__(self, "name", self.name or function_name(self.function, "metric"))

    def __call__(self, labels: np.ndarray, predictions: np.ndarray) -> float | dict[str, float]:
        """Return the number, or the numbers by part.

        Raises:
            InkwellError: If the function fails, or does not return one number per name.
        """
        import numpy as np

        try:
            values = np.asarray(self.function(labels, predictions), np.float64)
        except Exception as error:  # a user's function may raise anything
            raise InkwellError(
                f"cannot compute the metric {self.name!r} from labels {_shape(labels)} and predictions "
                f"{_shape(predictions)}: {type(error).__name__}: {first_line(error)}"
            ) from error
        if values.size != (len(self.parts) or 1):
            named = f"parts names {len(self.parts)}" if self.parts else "it has no parts"
            raise InkwellError(
                f"cannot log the metric {self.name!r}: it returned {values.size} numbers, but {named}; name each "
                "number in `parts`"
            )
        return dict(zip(self.parts, map(float, values.flat), strict=True)) if self.parts else float(values.flat[0])


def by_name(name: str) -> Overall | None:
    """Return one of the metrics of `trainer.tasks.whole`; None if there is none of this name."""
    return Overall(SCORES[name], name) if name in SCORES else None


def collecting(overall: Overall) -> keras.metrics.Metric:
    """Return a Keras metric that collects labels and predictions, and computes a metric from all of them."""
    import keras
    import tensorflow as tf

    class Collecting(keras.metrics.Metric):
        """Collects in the memory of the process, not on the device, and so has no variables."""

        def __init__(self) -> None:
            super().__init__(name=overall.name)
            self.collected: list[tuple[np.ndarray, np.ndarray]] = []

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            tf.numpy_function(self._collect, [y_true, y_pred], [])

        def _collect(self, y_true: np.ndarray, y_pred: np.ndarray) -> None:
            self.collected.append((y_true.copy(), y_pred.copy()))  # TensorFlow may reuse the memory

        def result(self) -> float | dict[str, float]:
            if not self.collected:
                return dict.fromkeys(overall.parts, float("nan")) or float("nan")
            import numpy as np

            return overall(*(np.concatenate(parts) for parts in zip(*self.collected, strict=True)))

        def reset_state(self) -> None:
            self.collected.clear()

    return Collecting()


def _shape(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"
