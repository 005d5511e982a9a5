"""The structure of data and models: trees of tensors that are matched by name, never by guessing from their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import optree

from trainer.data.batch import Tree, described
from trainer.data.mapped import Mapped
from trainer.errors import UsageError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Side:
    """The inputs or the outputs of a model.

    Attributes:
        tree: `tf.TensorSpec` of each, in the model's own structure: one, a dict, or a tuple, also where the model has a
            list, which tf.data would join into one tensor.
        names: Their names: the keys of a dict, otherwise those of the input layers or of the output layers.
    """

    tree: Tree
    names: tuple[str, ...]

    @property
    def named(self) -> dict[str, Any]:
        """The specs by name, in the order of `names`."""
        if isinstance(self.tree, dict):
            return {name: self.tree[name] for name in self.names}
        return dict(zip(self.names, optree.tree_leaves(self.tree), strict=True))

    @property
    def single(self) -> bool:
        """True if it is one tensor without structure."""
        return optree.treespec_is_leaf(optree.tree_structure(self.tree))


@dataclass(frozen=True)
class Signature:
    """The structure of a model's inputs and outputs.

    Attributes:
        inputs: The inputs.
        outputs: The outputs.
    """

    inputs: Side
    outputs: Side

    @classmethod
    def of(cls, model: keras.Model) -> Self | None:
        """Return the signature of a functional or sequential model; None for a subclassed or unbuilt one."""
        import keras

        try:
            tensors = model.inputs
            if isinstance(model, keras.Sequential):  # it has no `input` until it is called
                inputs, outputs = model.inputs[0], model.outputs[0]
            else:
                inputs, outputs = model.input, model.output
        except (AttributeError, TypeError, ValueError):  # depends on the kind of model; a subclassed one has an `input`
            return None
        last = getattr(model, "output_names", None) or [model.layers[-1].name]  # a Sequential has no names
        return cls(
            Side(_specs(inputs), _names(inputs, [tensor.name for tensor in tensors])),
            Side(_specs(outputs), _names(outputs, last)),
        )


def by_name(found: Tree, wanted: Side, what: str) -> Callable[[Tree], Tree]:
    """Return the function that brings data of one structure into that of a model.

    The same structure is left as it is, a dict is matched with the names of a list, and one tensor in a dict is taken
    out. Images without a channel axis get one. The function moves tensors and arrays, and computes nothing.

    Args:
        found: Specs of the data.
        wanted: Inputs or outputs of a model.
        what: Name of the data in messages, such as `x`.

    Raises:
        UsageError: If names or structures differ; the message shows both.
    """
    pick = _pick(found, wanted)
    if pick is None:
        raise UsageError(
            f"cannot match {what} with the model: the data are {described(found)}, the model has "
            f"{described(_as_dict(wanted))}; name the parts of {what} like those of the model"
        )
    needs_channel = optree.tree_map(_lacks_channel, pick(found), wanted.tree)
    if not any(optree.tree_leaves(needs_channel)):
        return pick
    return lambda tree: optree.tree_map(
        lambda leaf, needs: with_channel(leaf) if needs else leaf, pick(tree), needs_channel
    )


def _pick(found: Tree, wanted: Side) -> Callable[[Tree], Tree] | None:
    """Return the function that selects the model's leaves from a tree; None if they do not match by name."""
    tree, names = wanted.tree, wanted.names
    if isinstance(found, dict):
        if set(found) != set(names):
            return None
        if isinstance(tree, dict):
            return lambda data: {name: data[name] for name in names}
        if wanted.single:
            return lambda data: data[names[0]]
        return lambda data: tuple(data[name] for name in names)
    if isinstance(found, tuple) and isinstance(tree, tuple):
        return tuple if len(found) == len(tree) else None
    if isinstance(tree, tuple) and len(tree) == 1 and optree.treespec_is_leaf(optree.tree_structure(found)):
        return lambda data: (data,)  # a model with a list of one input
    return (lambda data: data) if optree.tree_structure(found) == optree.tree_structure(tree) else None


def with_channel(leaf: Any) -> Any:
    """Return a tensor, array or spec with a last axis of length 1."""
    if isinstance(leaf, Mapped):
        return leaf.with_channel()
    if hasattr(leaf, "is_compatible_with") and not hasattr(leaf, "__getitem__"):  # a spec
        return type(leaf)([*leaf.shape, 1], leaf.dtype)
    return leaf[..., None]


def _lacks_channel(found: Any, wanted: Any) -> bool:
    """Return True if data lack nothing but the last axis of a model's input, of length 1."""
    have, want = tuple(found.shape), tuple(wanted.shape)
    return (
        len(have) == 3
        and len(want) == 4
        and want[-1] == 1
        and all(None in (h, w) or h == w for h, w in zip(have, want, strict=False))
    )


def _as_dict(side: Side) -> Tree:
    return side.tree if side.single else side.named


def _specs(tree: Tree) -> Tree:
    import tensorflow as tf

    return as_tuples(optree.tree_map(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), tree))


def as_tuples(tree: Tree) -> Tree:
    """Return a tree with tuples in place of lists."""
    if isinstance(tree, list | tuple):
        return tuple(map(as_tuples, tree))
    return {key: as_tuples(value) for key, value in tree.items()} if isinstance(tree, dict) else tree


def _names(tree: Tree, names: list[str]) -> tuple[str, ...]:
    """Return the names of the leaves: the keys of a flat dict, else those of the layers."""
    return tuple(map(str, tree)) if isinstance(tree, dict) else tuple(names)
