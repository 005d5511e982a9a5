"""The outputs of a model by name, and what is given for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainer.data.batch import Tree
from trainer.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def outputs_of(model: keras.Model, inputs: Tree) -> Tree:
    """Return the specs of a model's outputs; a subclassed model is traced, and thereby built, to learn them.

    Args:
        model: The model.
        inputs: Specs of its inputs.

    Raises:
        UsageError: If it cannot take the inputs.
    """
    from trainer.data.structure import Signature

    signature = Signature.of(model)
    if signature is not None:
        return signature.outputs.tree
    import tensorflow as tf

    from trainer.text import first_line

    try:
        traced = tf.function(lambda x: model(x, training=False), autograph=False).get_concrete_function(inputs)
    except Exception as error:  # the code of a subclassed model may raise anything
        raise UsageError(
            f"cannot call {model.name!r} with these inputs: {type(error).__name__}: {first_line(error)}"
        ) from error
    return traced.structured_outputs


def names_of(model: keras.Model, outputs: Tree) -> tuple[str, ...]:
    """Return the names of a model's outputs, in the order of its structure.

    Args:
        model: The model.
        outputs: Its outputs, as tensors or specs; those of a subclassed model have the keys of a dict as names, or
            `output_0`, `output_1`, …
    """
    from trainer.data.structure import Signature

    signature = Signature.of(model)
    if signature is not None:
        return signature.outputs.names
    if isinstance(outputs, dict):
        return tuple(map(str, outputs))
    return tuple(f"output_{k}" for k in range(len(outputs) if isinstance(outputs, list | tuple) else 1))


def by_output(tree: Tree, names: Sequence[str]) -> dict[str, Any]:
    """Return a tree in the structure of a model's outputs as a dict with their names."""
    if isinstance(tree, dict):
        return {name: tree[name] for name in names}
    leaves = tree if isinstance(tree, list | tuple) else [tree]
    return dict(zip(names, leaves, strict=True))


def of_output(tree: Tree, name: str) -> Any:
    """Return the part of labels or weights that belongs to an output; a single tensor belongs to all."""
    return tree[name] if isinstance(tree, dict) else tree


def spec_of(leaf: Any) -> tf.TensorSpec:
    """Return the spec of a tensor, an array or a spec, with the batch axis open.

    Raises:
        UsageError: If the number of axes is unknown.
    """
    import tensorflow as tf

    shape = tf.TensorShape(leaf.shape)
    if not shape.rank:
        raise UsageError(
            "cannot learn from labels or outputs of unknown shape; give the dataset an output_signature, or batch it"
        )
    return tf.TensorSpec([None, *shape[1:]], leaf.dtype)


def for_each(given: Any, names: Sequence[str], what: str, tables: bool = False) -> dict[str, Any]:
    """Return what is given for each output, None where nothing is.

    Args:
        given: For one output, its value; for several, a dict with names of outputs as keys, or a list with one entry
            each, as in Keras.
        names: Names of the outputs.
        what: Name of the argument, for messages.
        tables: True if what is given for an output may itself be a dict, such as the weights of its classes.

    Raises:
        UsageError: If there is no such output, or it is not clear which output a value belongs to.
    """
    if given is None:
        return dict.fromkeys(names)
    itself = tables and len(names) == 1 and not set(given) & set(names) if isinstance(given, dict) else True
    if not itself and "class_name" not in given:
        if strange := [key for key in given if key not in names]:
            near = did_you_mean(str(strange[0]), names)
            raise UsageError(
                f"cannot use {what} of {strange[0]!r}: the model has no such output{near} (outputs: {', '.join(names)})"
            )
        return {name: given.get(name) for name in names}
    if len(names) == 1:
        return {names[0]: given}
    if isinstance(given, list | tuple) and len(given) == len(names):
        return dict(zip(names, given, strict=True))
    raise UsageError(f"cannot use {what}={given!r} for {len(names)} outputs: {say_which(what, names)}")


def say_which(what: str, names: Sequence[str]) -> str:
    """Return the advice to give the values of an argument by the names of outputs."""
    return f"name the output of each: {what}={{{', '.join(f'{name!r}: …' for name in names)}}}"


def as_list(given: Any) -> list[Any]:
    """Return one value, or a list or tuple of values, nested or not, as a list; None is an empty one."""
    if given is None:
        return []
    return [one for each in given for one in as_list(each)] if isinstance(given, list | tuple) else [given]


def with_others(given: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """Return what is given, followed by what else is needed."""
    return [*given, *(other for other in others if other not in given)]
