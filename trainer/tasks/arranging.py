"""The arrangement of batches for a model: inputs, labels and weights are matched with it by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from trainer.data.batch import Arrange, Tree, as_it_is
from trainer.data.structure import Side, Signature, by_name
from trainer.tasks.outputs import by_output

if TYPE_CHECKING:
    import keras


def arrangement(model: keras.Model, spec: Any, trained: Callable[[Sequence[str]], Sequence[str]]) -> Arrange:
    """Return the function that brings batches into the structure of a model.

    If the model has several outputs, labels and weights become dicts with the names of those that are trained. Weights
    without structure are those of every output. Batches of a model without a graph stay as they are.

    Args:
        model: The model.
        spec: Structure of a batch of the data.
        trained: Returns those of the names of outputs that are trained.

    Raises:
        UsageError: If names or structures differ; the message shows both.
    """
    signature = Signature.of(model)
    if signature is None:
        return as_it_is
    picks = [by_name(spec[0], signature.inputs, "x")]
    if len(spec) > 1:
        picks.append(_labels(spec[1], signature.outputs, "y", trained))
    if len(spec) > 2:
        shared = not isinstance(spec[2], dict | list | tuple)
        picks.append(as_it_is if shared else _labels(spec[2], signature.outputs, "sample_weight", trained))
    return lambda batch: tuple(pick(part) for pick, part in zip(picks, batch, strict=True))


def _labels(
    found: Tree, outputs: Side, what: str, trained: Callable[[Sequence[str]], Sequence[str]]
) -> Callable[[Tree], Tree]:
    """Return the function that takes what belongs to the outputs that are trained."""
    if outputs.single:
        return by_name(found, outputs, what)
    names = trained(outputs.names)
    if isinstance(found, dict) and set(found) == set(names):
        return by_name(found, Side({name: outputs.named[name] for name in names}, tuple(names)), what)
    pick = by_name(found, outputs, what)

    def named(tree: Tree) -> Tree:
        parts = by_output(pick(tree), outputs.names)
        return {name: parts[name] for name in names}

    return named
