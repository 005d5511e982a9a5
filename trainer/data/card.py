"""Image sets on a card: how many images of each class, and a strip of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from trainer.display.html import card, note, table
from trainer.display.picture import evenly, strip

if TYPE_CHECKING:
    from trainer.data.imageset import ImageSet

COLUMNS = 12
"""Classes that get a column each; of more, only the smallest and the largest are told."""
LOOKED_AT = 100_000
"""Labels among which the images of the strip are chosen."""


def sets_card(
    title: str, parts: Mapping[str, ImageSet | None], names: Sequence[str] = (), notices: Sequence[str] = ()
) -> Markup:
    """Return the card of image sets; of the pixels, only those of the strip are read, from the first set.

    Args:
        title: Heading.
        parts: Image sets by name; None is one that is not there.
        names: Names of the classes; by default their numbers.
        notices: Lines that the user must see.
    """
    there = {part: images for part, images in parts.items() if images is not None}
    first = next(iter(there.values()))
    return card(title, *map(note, notices), _counts(there, names), strip(_samples(first, names)))


def _counts(parts: Mapping[str, ImageSet], names: Sequence[str]) -> Markup:
    """Return a table with a row per set."""
    found = {part: _per_class(images) for part, images in parts.items()}
    classes = sorted({k for counts in found.values() for k in counts} | set(range(len(names))))
    if len(classes) > COLUMNS:
        head = ["", "images", "classes", "smallest class", "largest class"]
        rows = [
            [part, f"{sum(n.values()):,}", len(n), f"{min(n.values()):,}", f"{max(n.values()):,}"]
            for part, n in found.items()
        ]
        return table(head, rows)
    head = ["", "images", *(_name(k, names) for k in classes)]
    return table(
        head, [[part, f"{sum(n.values()):,}", *(f"{n.get(k, 0):,}" for k in classes)] for part, n in found.items()]
    )


def _per_class(images: ImageSet) -> dict[int, int]:
    """Return how many images each class has."""
    classes, counts = np.unique(images.labels, return_counts=True)
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def _samples(images: ImageSet, names: Sequence[str]) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield images with the names of their classes, spread over the classes."""
    places = np.arange(0, len(images), -(-len(images) // LOOKED_AT))
    by_class = places[np.argsort(images.labels[places], kind="stable")]
    for place in by_class[evenly(len(by_class))]:
        yield images.images[int(place)], _name(int(images.labels[place]), names)


def _name(k: int, names: Sequence[str]) -> str:
    return str(names[k]) if 0 <= k < len(names) else str(k)
