"""The classes of a source: those of numbers without names, and none that no image has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from trainer.data.imageset import ImageSet, Source, validation_share
from trainer.data.sources.labels import numbered_classes
from trainer.data.sources.named import listed


def numbered_source(name: str, train: ImageSet, test: ImageSet | None, notices: Iterable[str] = ()) -> Source:
    """Return a source whose classes are numbers from 0; gaps are left out with a notice, if they are few.

    Other labels are kept as they are, to be refused by `trainer.data.sources.labels.check_source`.
    """
    share, present = validation_share(train, test), np.unique(train.labels)
    names = numbered_classes(train.labels)
    if present[0] == 0 and len(names) < len(present) and 2 * len(present) > present[-1]:
        names = tuple(map(str, range(present[-1] + 1)))
    return without_empty_classes(Source(name, train, test, names, share, notices=tuple(notices)))


def without_empty_classes(source: Source) -> Source:
    """Return the source without classes that no image of either split has; `emnist/letters` declares 11."""
    splits = [source.train] if source.test is None else [source.train, source.test]
    labels = np.concatenate([split.labels for split in splits])
    count = len(source.class_names)
    used = np.unique(labels)
    if len(used) >= count or used.min() < 0 or used.max() >= count:
        return source
    number = np.full(count, -1, np.int32)
    number[used] = np.arange(len(used))
    train, *test = (ImageSet(split.images, number[split.labels]) for split in splits)
    names = tuple(source.class_names[k] for k in used)
    empty = listed(source.class_names[k] for k in np.flatnonzero(number < 0))
    notice = f"{source.name}: {count - len(used)} of {count} classes have no image and are left out: {empty}"
    return replace(
        source,
        train=train,
        test=test[0] if test else None,
        class_names=names,
        notices=(*source.notices, notice),
    )
