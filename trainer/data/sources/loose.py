"""A folder that holds a data set as files such as `train.csv` and `test.csv`, instead of pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from trainer.data.imageset import Source, validation_share
from trainer.data.sources.formats import FORMATS, load_file, suffix_of
from trainer.data.sources.named import listed
from trainer.data.sources.reading import UnlabelledError
from trainer.data.split import as_known
from trainer.errors import DataError

MAX_FILES = 10_000

SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
"""The split by a word in the name of a file."""


def has_files(folder: Path) -> bool:
    """Return True if a folder has a file of training data, and no subfolders, which could be those of classes."""
    entries = _entries(folder)
    return "train" in _by_split(entries) and not any(path.is_dir() for path in entries)


def load_files(folder: Path, cache: Path) -> Source:
    """Read `train.*` and, as test split, `test.*`, in any of the `FORMATS`; a notice names all other files.

    A file that has a test split already needs no other. Test images without labels, as in a competition, are left out.

    Args:
        folder: The folder.
        cache: The folder for images that do not fit in memory.

    Raises:
        DataError: If a file is damaged, or the splits do not fit together.
    """
    entries = _entries(folder)
    splits = _by_split(entries)
    train = load_file(splits["train"], cache)
    test, left = (None, "") if train.test is not None else _test(splits, cache)
    if test is not None and test.train.images.dtype != train.train.images.dtype:
        raise DataError(
            f"{folder}: training images are {train.train.images.dtype}, test images {test.train.images.dtype}"
        )
    images = as_known(test, train.train.images.shape[1:], train.class_names) if test is not None else train.test
    used = {*splits["train"], *(splits.get("test", []) if test is not None else [])}
    unused = [path.name for path in entries if path not in used and path.name not in left]
    notices = [f"{folder}: {left}"] if left else []
    notices += [f"{folder}: files that are not used: {listed(unused)}"] if unused else []
    return replace(
        train,
        name=str(folder),
        test=images,
        validation=validation_share(train.train, images),
        notices=(*train.notices, *(test.notices if test is not None else ()), *notices),
    )


def _test(splits: Mapping[str, list[Path]], cache: Path) -> tuple[Source | None, str]:
    """Return the test split, or why it is left out."""
    if "test" not in splits:
        return None, ""
    try:
        return load_file(splits["test"], cache), ""
    except UnlabelledError:
        return None, f"{listed(path.name for path in splits['test'])} has no labels and is left out"


def _entries(folder: Path) -> list[Path]:
    """Return the visible files and folders, sorted; links are not followed."""
    found: list[Path] = []
    for path in folder.iterdir():
        if len(found) > MAX_FILES:
            return []
        if not path.name.startswith(".") and not path.is_symlink():
            found.append(path)
    return sorted(found)


def _by_split(entries: list[Path]) -> dict[str, list[Path]]:
    """Return the files that are read by split."""
    found: dict[str, list[Path]] = {}
    for path in entries:
        words = set(re.findall("[a-z]+", path.name.lower()))
        named = {SPLITS[word] for word in words if word in SPLITS}
        if len(named) == 1 and suffix_of(path) in FORMATS and path.is_file():
            found.setdefault(named.pop(), []).append(path)
    return found
