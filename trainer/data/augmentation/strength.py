"""Strengths of the augmentation; free of TensorFlow, so that a configuration can be checked before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from trainer.config.types import Amount, BelowOne, Share
from trainer.errors import UsageError, did_you_mean, explain, unknown


@dataclass(frozen=True)
class Strength:
    """The range of each random change, drawn once per image; 0 disables a change.

    Attributes:
        shift: Largest shift in each direction, as a share of the side.
        rotation: Largest rotation, degrees in either direction.
        zoom: Largest change of size: 0.1 means 0.9 to 1.1 times the size.
        shear: Tangent of the largest shear angle, in either direction.
        elastic: Standard deviation of smooth displacements, in pixels for a side of 28.
        thickness: Largest change of stroke thickness, as a share of a 3 x 3 dilation or erosion, at most 1.
        erasing: Probability that a rectangle is set to 0.
        brightness: Largest amount added or subtracted, for pixel values from 0 to 1.
        contrast: Largest change of contrast: 0.3 means 0.7 to 1.3 times the value.
        degraded: Share of the images that are degraded by one of noise, blur, fog, bars, lines and outlines.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    shift: Amount = 0.0
    rotation: Amount = 0.0
    zoom: BelowOne = 0.0
    shear: Amount = 0.0
    elastic: Amount = 0.0
    thickness: Share = 0.0
    erasing: Share = 0.0
    brightness: Amount = 0.0
    contrast: BelowOne = 0.0
    degraded: Share = 0.0


LIGHT = Strength(shift=0.07, rotation=10.0, zoom=0.1, shear=0.1)
STRONG = Strength(
    shift=0.1, rotation=15.0, zoom=0.15, shear=0.2, elastic=1.1, erasing=0.25, brightness=0.1, contrast=0.3
)
STRENGTHS: Mapping[str, Strength | None] = {"none": None, "light": LIGHT, "strong": STRONG}


def strength(name: str, changes: Mapping[str, Any] | None = None) -> Strength | None:
    """Return a strength by name, with some of its values replaced; None means no augmentation.

    Args:
        name: `none`, `light` or `strong`.
        changes: Replacement values by the names of the attributes of `Strength`.

    Raises:
        UsageError: If a name is unknown or a value out of range.
    """
    if name not in STRENGTHS:
        raise unknown("augmentation", name, STRENGTHS)
    named = STRENGTHS[name]
    if not changes:
        return named
    known = list(Strength.__dataclass_fields__)
    for key in changes:
        if key not in known:
            hint = f"{did_you_mean(key, known)} (known: {', '.join(known)})"
            raise UsageError(f"augmentation has no argument {key!r}{hint}")
    numbers = {key: float(value) if type(value) is int else value for key, value in changes.items()}
    try:
        return TypeAdapter(Strength).validate_python(vars(replace(named or Strength(), **numbers)))
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"augmentation: {problem['loc'][0]} = {problem['input']!r}: {explain(problem)}") from None
