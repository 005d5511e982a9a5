"""Several networks as one: the average of their probabilities, optionally over shifted views of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import keras
from keras import layers, ops
from pydantic import Field

from trainer.registry import models
from trainer.tasks.classification import logits_of

LEAST = 1e-12
"""Lower bound for probabilities, so that their logarithms are finite."""

Pixels = Annotated[int, Field(ge=0, le=8, strict=True)]


@models.register("ensemble")
def ensemble(
    input_shape: tuple[int, int, int],
    num_classes: int,
    members: Sequence[Mapping[str, Any]] = ({"name": "lenet"}, {"name": "lenet"}),
    shift: Pixels = 0,
) -> keras.Model:
    """Build a model that averages the probabilities of its members.

    `scripts/ensemble.py` fills it with trained models; the task `members` trains it in a single run.

    After Hansen and Salamon 1990, "Neural network ensembles"; the views are a form of test-time augmentation.

    Args:
        input_shape: Height, width and channels.
        num_classes: Number of classes.
        members: For each member, the `name` of a registered model and, if it has any, its `args`.
        shift: Pixels by which the image is shifted up, down, left and right; every member sees the image and these four
            views of it. With 0, it sees the image alone.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logarithms of probabilities float32 `[N, num_classes]`,
        which are logits.

    Raises:
        ValueError: If `members` is empty, or one of them is not a registered model.
    """
    if not members:
        raise ValueError("an ensemble needs at least one member")
    images = keras.Input(input_shape, name="images")
    views = _views(images, shift)
    shares = []
    for number, member in enumerate(members):
        net = _member(member, input_shape, num_classes, f"member{number}")
        shares += [layers.Softmax(dtype="float32")(logits_of(net, net(view))) for view in views]
    mean = layers.Average(dtype="float32")(shares) if len(shares) > 1 else shares[0]
    return keras.Model(images, ops.log(ops.maximum(mean, LEAST)), name="ensemble")


def _views(images: Any, shift: int) -> list[Any]:
    """Return the images and, with a shift, copies shifted in four directions."""
    if not shift:
        return [images]
    padded = layers.ZeroPadding2D(shift, name="margin")(images)
    moves = {"up": (2, 1), "down": (0, 1), "left": (1, 2), "right": (1, 0)}
    crops = {name: [(shift * first, shift * (2 - first)) for first in move] for name, move in moves.items()}
    return [images, *(layers.Cropping2D(crop, name=name)(padded) for name, crop in crops.items())]


def _member(member: Mapping[str, Any], input_shape: tuple[int, int, int], classes: int, name: str) -> keras.Model:
    if not isinstance(member, Mapping) or "name" not in member or not {*member} <= {"name", "args"}:
        raise ValueError(f"a member must be a name and optional args, such as {{name = 'lenet'}}, not {member!r}")
    net = models.build(member["name"], input_shape, classes, **member.get("args", {}))
    if getattr(net, "inputs", None) is None:  # a subclassed model
        images = keras.Input(input_shape)
        return keras.Model(images, net(images), name=name)
    return keras.Model(net.input, net.output, name=name)
