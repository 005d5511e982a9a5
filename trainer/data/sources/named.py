"""The meaning of the names that people give to the arrays of a data set, such as `X_train` and `train_images`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from trainer.text import in_line

SPLITS = {
    "train": ("train", "training", ""),
    "test": ("test", "testing"),
    "validation": ("val", "valid", "validation", "dev"),
}
CONTENTS = {
    "x": ("x", "image", "images", "img", "imgs", "data", "pixels", "features", "inputs"),
    "y": ("y", "label", "labels", "target", "targets", "class", "classes", "digit"),
    "sample_weight": ("sampleweight", "sampleweights", "weight", "weights"),
}

Role = tuple[str, str]
"""Split (`train`, `test` or `validation`) and content (`x`, `y` or `sample_weight`) of an array."""

MEANINGS: dict[str, Role] = {
    spelling: (split, content)
    for split, parts in SPLITS.items()
    for content, words in CONTENTS.items()
    for part in parts
    for word in words
    for spelling in (part + word, word + part)
}
"""The role of a name in lower case, without separators."""

NAMED = 10  # number of arrays that a message names


def role(name: str) -> Role | None:
    """Return the role of an array by its name, regardless of case, separators and word order; None if unknown."""
    return MEANINGS.get(re.sub(r"[^a-z0-9]|set", "", name.lower()))


def roles(names: Iterable[str]) -> dict[Role, str]:
    """Return the name of the array in each role.

    Raises:
        ValueError: If two arrays have the same role.
    """
    found: dict[Role, str] = {}
    for name in names:
        part = role(name)
        if part is None:
            continue
        if part in found:
            split, content = part
            raise ValueError(
                f"{in_line(found[part])} and {in_line(name)} could both be {content}_{split}; keep one of them"
            )
        found[part] = name
    return found


def listed(names: Iterable[str]) -> str:
    """Return names as text, the first ones if there are many."""
    every = [in_line(name) for name in names]
    more = f" and {len(every) - NAMED:,} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more or "nothing"
