"""The data source `arrays`: the arrays of a file as rows of any shape, such as measurements or pairs of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trainer.config.types import Count
from trainer.data.batch import Tree
from trainer.data.imageset import Source
from trainer.data.rows import ArrayRows
from trainer.data.sources.arrays import Stored
from trainer.data.sources.memory import refuse_if_too_large
from trainer.data.sources.named import Role, listed, role
from trainer.data.sources.npz import stored_arrays
from trainer.errors import DataError, UsageError
from trainer.text import in_line, printable

Parts = dict[Role, Tree]
"""The names of the arrays by role; those of several inputs or outputs in a table."""


def arrays(folder: Path, file: Path, classes: Count | None = None) -> Source[ArrayRows]:
    """Rows of any shape from an .npz file with the arrays x_train, y_train, x_test and y_test.

    Several inputs or outputs have a dot in their names: `x_train.left` and `x_train.right` are the inputs `left` and
    `right`. Weights of the rows are `sample_weight_train`. Rows keep their order.

    Args:
        folder: The data folder; not used.
        file: The .npz file.
        classes: Number of classes, if the labels are class numbers; the splits are then made by class.

    Raises:
        UsageError: If the file is missing.
        DataError: If it is damaged or too large for the memory, or an array is missing or has another length than the
            others.
    """
    if not file.is_file():
        raise UsageError(f"--data arrays:file={printable(file)}: no such file")
    with stored_arrays(file) as stored:
        parts = _parts(file, stored)
        if ("train", "x") not in parts:
            raise DataError(f"{file}: x_train is missing (found: {listed(stored)}); name the inputs x_train")
        used = {name for (split, _), tree in parts.items() if split != "validation" for name in _leaves(tree)}
        refuse_if_too_large(sum(stored[name].size for name in used), str(file))
        train = _rows(file, stored, parts, "train")
        test = _rows(file, stored, parts, "test") if ("test", "x") in parts else None
    unused = [name for name in stored if name not in used]
    notices = (f"{file}: arrays that are not used: {listed(unused)}",) if unused else ()
    return Source(str(file), train, test, tuple(map(str, range(classes or 0))), notices=notices)


def _parts(file: Path, stored: Mapping[str, Stored]) -> Parts:
    """Return the names of the arrays by role.

    Raises:
        DataError: If a role has two arrays.
    """
    parts: Parts = {}
    for name in stored:
        whole, dot, key = name.partition(".")
        part = role(whole)
        if part is None:
            continue
        tree = parts.setdefault(part, {} if dot else name)
        if dot and isinstance(tree, dict):
            tree[key] = name
        elif tree != name:
            raise DataError(
                f"{file}: {in_line(name)} and {listed(_leaves(tree))} could be the same; rename one of them"
            )
    return parts


def _leaves(tree: Tree) -> list[str]:
    return list(tree.values()) if isinstance(tree, dict) else [tree]


def _rows(file: Path, stored: Mapping[str, Stored], parts: Parts, split: str) -> ArrayRows:
    """Read the rows of one split.

    Raises:
        DataError: If the arrays do not fit together.
    """
    trees = [parts.get((split, content)) for content in ("x", "y", "sample_weight")]
    read = [
        {key: stored[name].read() for key, name in tree.items()} if isinstance(tree, dict) else tree for tree in trees
    ]
    try:
        return ArrayRows(*(stored[tree].read() if isinstance(tree, str) else tree for tree in read))
    except UsageError as error:
        raise DataError(f"{file}: {error}") from error
