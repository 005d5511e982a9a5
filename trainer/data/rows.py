"""`Rows`: data that can be read row by row, the one form of everything that is indexed, with trees of arrays as a kind.

Splits, pipelines, records of what was seen, and everything else that selects rows use this protocol alone.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol, Self, TypeGuard

import numpy as np
import optree

from trainer.data.batch import PARTS, Batch, Tree
from trainer.data.mapped import Mapped
from trainer.data.structure import as_tuples
from trainer.display.shown import Shown
from trainer.errors import UsageError
from trainer.stage import Stage
from trainer.text import count

LARGE = 64_000_000
"""Size in bytes above which an array is not copied: TensorFlow would hold two copies of it."""

BLOCK_BYTES = 16_000_000
"""Bytes that are read and hashed at a time."""

HASH_BYTES = 8
"""Length of the hash of a row; the probability of a collision among a million rows is 3 in 100 million."""


class Ids(NamedTuple):
    """The identity of rows, by which they are recognised elsewhere.

    Attributes:
        hashes: Hash of the inputs of each row, without labels and weights, uint64 `[M]`.
        names: Name of the file of each row; None if they come from no files.
    """

    hashes: np.ndarray
    names: Sequence[str] | None = None


class Rows(Protocol):
    """Data that can be read by row number, 0-based, in any order.

    An object may also have the attribute `columns`, the batch of all rows whose leaves are arrays or `Mapped`: the
    pipeline then gathers rows from them inside the graph instead of calling `take`.
    """

    @property
    def spec(self) -> Any:
        """Structure of a batch: a tuple of trees of `tf.TensorSpec`, the batch axis open, dtypes as stored."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the content of all rows in their order, hexadecimal."""
        ...

    def __len__(self) -> int: ...

    def take(self, indices: np.ndarray) -> Batch:
        """Return the rows at `indices`, int `[M]`, in that order, as NumPy arrays `[M, …]`."""
        ...

    def ids(self, indices: np.ndarray) -> Ids:
        """Return the identity of the rows at `indices`, int `[M]`."""
        ...

    def subset(self, indices: np.ndarray) -> Self:
        """Return the rows at `indices`, int `[M]`, in that order, without reading more than necessary."""
        ...

    def concat(self, other: Self) -> Self:
        """Return these rows followed by those of `other`, which has the same structure."""
        ...


@dataclass(frozen=True, repr=False)
class ArrayRows(Shown):
    """Rows of a tree of arrays, in the order given.

    Leaves may be anything that NumPy converts, memory maps stay on disk; float64 becomes float32, as in Keras.

    Args:
        x: Inputs, a tree of arrays `[N, …]`, N at least 1.
        y: Labels, a tree of arrays `[N, …]`; None if there are none.
        sample_weight: Weights of the rows, a tree of arrays `[N]`; None if all count the same.

    Raises:
        UsageError: If a leaf is not an array of numbers or texts, lengths differ, there are no rows, or there are
            weights without labels.
    """

    x: Tree
    y: Tree = None
    sample_weight: Tree = None

    def __post_init__(self) -> None:
        if self.y is None and self.sample_weight is not None:
            raise UsageError("cannot use sample_weight without labels; give y too")
        for part in PARTS:
            object.__setattr__(self, part, _arrays(getattr(self, part), part))
        lengths = {name: len(leaf) for name, leaf in named_leaves(self.columns).items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            found = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
            raise UsageError(
                f"cannot use these data: all arrays must have the same number of rows, at least 1: {found}"
            )

    @property
    def columns(self) -> Batch:
        """The batch of all rows, whose leaves are arrays or `Mapped`."""
        return tuple(part for part in (self.x, self.y, self.sample_weight) if part is not None)

    @property
    def spec(self) -> Any:
        """Structure of a batch: a tuple of trees of `tf.TensorSpec`, the batch axis open."""
        return spec_of(self.columns)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, shapes, dtypes and content of all arrays, hexadecimal."""
        whole = hashlib.sha256()
        with Stage("hashing the data"):
            for name, leaf in named_leaves(self.columns).items():
                whole.update(repr((name, leaf.dtype.str, leaf.shape)).encode())
                for block in _blocks(leaf):
                    whole.update(block)
        return whole.hexdigest()

    def __len__(self) -> int:
        return len(next(iter(named_leaves(self.columns).values())))

    def _line(self) -> str:
        shapes = ", ".join(
            f"{name} {leaf.dtype} {'x'.join(map(str, leaf.shape[1:]))}".rstrip()
            for name, leaf in named_leaves(self.columns).items()
        )
        return f"{count(len(self), 'row')}: {shapes}"

    def take(self, indices: np.ndarray) -> Batch:
        """Return the rows at `indices`, int `[M]`, in that order, as NumPy arrays."""
        taken: Batch = optree.tree_map(lambda leaf: leaf[indices], self.columns)
        return taken

    def ids(self, indices: np.ndarray) -> Ids:
        """Return a hash of the inputs of each row at `indices`, int `[M]`."""
        leaves = [np.ascontiguousarray(leaf[indices]) for leaf in optree.tree_leaves(self.x)]
        hashes = bytearray()
        for row in range(len(indices)):
            hashed = hashlib.blake2b(digest_size=HASH_BYTES)
            for leaf in leaves:
                hashed.update(leaf[row].tobytes())
            hashes += hashed.digest()
        return Ids(np.frombuffer(bytes(hashes), "<u8"))

    def subset(self, indices: np.ndarray) -> ArrayRows:
        """Return the rows at `indices`, int `[M]`, in that order; memory maps stay on disk."""
        return ArrayRows(*optree.tree_map(lambda leaf: _at(leaf, indices), self.columns))

    def concat(self, other: ArrayRows) -> ArrayRows:
        """Return these rows followed by those of `other`, in memory.

        Raises:
            UsageError: If the structures differ.
        """
        if optree.tree_structure(self.columns) != optree.tree_structure(other.columns):
            raise UsageError(f"cannot join rows of different structure: {self!r} and {other!r}")
        return ArrayRows(*optree.tree_map(lambda *both: np.concatenate(both), self.columns, other.columns))


def is_rows(x: Any) -> TypeGuard[Rows]:
    """Return True if an object has all attributes of `Rows`, without reading them: a digest takes all data."""
    return all(
        inspect.getattr_static(x, name, None) is not None
        for name in ("__len__", "spec", "digest", "take", "ids", "subset", "concat")
    )


def evenly(rows: Rows, wanted: int) -> Rows:
    """Return `wanted` evenly spaced rows, or all if there are fewer."""
    return rows.subset(np.linspace(0, len(rows) - 1, min(wanted, len(rows)), dtype=np.intp))


def all_ids(rows: Rows) -> np.ndarray:
    """Return the hash of every row, uint64 `[N]`; read block by block, since rows on disk may not fit in memory."""
    size = sum(leaf.nbytes for leaf in optree.tree_leaves(rows.take(np.arange(1))))
    block = max(1, BLOCK_BYTES // size)
    starts = range(0, len(rows), block)
    return np.concatenate([rows.ids(np.arange(start, min(start + block, len(rows)))).hashes for start in starts])


def row_bytes(spec: Any) -> int:
    """Return the size of one row of a `tf.TensorSpec` or array in bytes; open axes count as 1."""
    itemsize = getattr(spec.dtype, "itemsize", None) or getattr(spec.dtype, "size", 1) or 1
    return math.prod(side or 1 for side in tuple(spec.shape)[1:]) * int(itemsize)


def named_leaves(batch: Batch) -> dict[str, Any]:
    """Return the leaves of a batch by name: `x`, or `x.left`, `x[0]` where a part has structure."""
    found = {}
    for part, tree in zip(PARTS, batch, strict=False):
        paths, leaves, _ = optree.tree_flatten_with_path(tree)
        for path, leaf in zip(paths, leaves, strict=True):
            found[part + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)] = leaf
    return found


def spec_of(columns: Batch) -> Any:
    """Return the structure of a batch of columns as `tf.TensorSpec`, the batch axis open."""
    import tensorflow as tf

    def spec(leaf: Any) -> Any:
        dtype = tf.string if leaf.dtype.kind in "SU" else tf.as_dtype(leaf.dtype)
        return tf.TensorSpec([None, *leaf.shape[1:]], tf.float32 if dtype == tf.float64 else dtype)

    return optree.tree_map(spec, columns)


def _arrays(tree: Tree, name: str) -> Tree:
    """Return a tree whose leaves are arrays or `Mapped`; lists of numbers are arrays, other lists become tuples.

    Raises:
        UsageError: If a leaf cannot be used.
    """
    return as_tuples(optree.tree_map(lambda leaf: _array(leaf, name), tree, is_leaf=is_list_of_numbers))


def is_list_of_numbers(node: Any) -> bool:
    """Return True if a node of a tree is a list or tuple of numbers or texts, nested or not, which is one array."""
    while isinstance(node, list | tuple) and node:
        node = node[0]
    return isinstance(node, int | float | bool | str | bytes | np.generic)


def _array(leaf: Any, name: str) -> np.ndarray | Mapped:
    if isinstance(leaf, Mapped):
        return leaf
    on_disk = isinstance(leaf, np.memmap)
    try:
        array = leaf if on_disk else np.asarray(leaf)
    except (ValueError, TypeError) as error:
        raise UsageError(f"cannot use {name}: it does not convert to an array: {error}") from error
    if array.ndim == 0 or array.dtype.kind not in "fiubSU":
        found = f"{type(leaf).__name__}, {array.dtype} {array.shape}"
        raise UsageError(f"cannot use {name}: its leaves must be arrays [N, …] of numbers or texts, not {found}")
    if not on_disk and array.dtype == np.float64:
        array = array.astype(np.float32)
    return Mapped(array) if on_disk or (array.nbytes > LARGE and array.dtype.kind not in "SU") else array


def _at(leaf: np.ndarray | Mapped, indices: np.ndarray) -> np.ndarray | Mapped:
    return leaf.at(indices) if isinstance(leaf, Mapped) else leaf[indices]


def _blocks(leaf: np.ndarray | Mapped) -> Iterator[bytes]:
    """Yield the content of an array in blocks."""
    length = max(1, BLOCK_BYTES // max(1, row_bytes(leaf)))
    for start in range(0, len(leaf), length):
        yield np.ascontiguousarray(leaf[start : start + length]).tobytes()
