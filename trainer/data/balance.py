"""The shares of classes: where one of them prevails, accuracy says little."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


MAJORITY = {2: 0.75}
"""Share of the most frequent class from which it is reported, by the number of classes; in general, a half."""

RARE = 1 / 10
"""Share of the rarest class below which it is reported, relative to that of classes of equal size.

The rarest class of MNIST has 0.90 of it, that of SVHN 0.64, that of EMNIST's 62 classes 0.17.
"""


def imbalance(labels: np.ndarray, classes: int = 0) -> str:
    """Return the shares of classes as text if they differ much; an empty string if they do not.

    A class without labels is not reported: the model may know more classes than the data.

    Args:
        labels: 0-based class numbers, int `[N]`.
        classes: Number of classes; default: the largest label plus one.
    """
    import numpy as np

    counts = np.bincount(labels)
    total, classes = len(labels), max(classes, len(counts))
    if not total or classes < 2:
        return ""
    present = np.flatnonzero(counts)
    most, least = int(counts.argmax()), int(present[counts[present].argmin()])
    found = []
    if counts[most] >= MAJORITY.get(classes, 0.5) * total:
        found.append(f"class {most} has {100 * counts[most] / total:.0f} % of the {total:,} labels")
    if counts[least] < RARE * total / len(present):
        found.append(f"class {least} has {counts[least]:,}" + ("" if found else f" of the {total:,} labels"))
    return " and ".join(found)
