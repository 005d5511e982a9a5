"""Data by name, as `--data` gives it: a registered source, a path, or a TFDS set; resolved first, loaded later."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.config.spec import parse_source
from trainer.data.sources.formats import FORMATS, check_format, load_file
from trainer.data.sources.tfds_names import image_sets, is_tfds
from trainer.errors import DataError, UsageError, did_you_mean
from trainer.registry import Entry, data_sources
from trainer.stage import Stage

if TYPE_CHECKING:
    from trainer.data.imageset import Source


def load_source(name: str, folder: Path, args: Mapping[str, Any] | None = None, whole: bool = True) -> Source:
    """Load data by name: a registered source, else an existing path, else a TFDS set.

    A path is a file in one of the `FORMATS`, a folder of such files or of IDX files, or a folder of class folders with
    images.

    Args:
        name: A name or a path.
        folder: The data folder (`--data-dir`).
        args: Arguments of the registered source; default: those that `name` gives, as in `mine:fold=2`.
        whole: True if every class must have training images, unlike in data to evaluate on.

    Raises:
        UsageError: If it is none of them, an argument is missing, unknown or wrong, or the registered source is not a
            source.
        DataError: If the data are absent or damaged, or the labels do not fit the classes.
    """
    load = _resolve(name, folder, args)

    from trainer.data.imageset import ImageSet, Source
    from trainer.data.sources.labels import check_source as check_labels
    from trainer.data.values import with_full_range

    try:
        with Stage(f"reading {name}"):
            source = load()
    except OSError as error:  # a folder that may not be read, a disk that fails
        raise DataError(f"cannot read data {name!r}: {error.strerror or error}") from error
    if not isinstance(source, Source):
        raise UsageError(f"data source {name!r} returned {type(source).__name__}, not trainer.data.imageset.Source")
    if not isinstance(source.train, ImageSet):
        return source
    if whole:
        check_labels(source)
    return with_full_range(source)


def check_source(name: str, folder: Path, args: Mapping[str, Any] | None = None) -> None:
    """Resolve a name like `load_source`, but read no data and import neither TensorFlow nor TFDS.

    Args:
        name: A name or a path.
        folder: The data folder.
        args: Arguments of the registered source; default: those that `name` gives.

    Raises:
        UsageError: If the name is unknown, an argument is missing, unknown or wrong, or the path is missing or in no
            known format.
    """
    _resolve(name, folder, args)


def _resolve(name: str, folder: Path, args: Mapping[str, Any] | None) -> Callable[[], object]:
    """Return what loads the source; a source without arguments is not imported yet."""
    if args is None:
        name, args = parse_source(name)
    if any(entry.name == name for entry in data_sources.entries()):
        return _registered(data_sources.find(name), folder, args)
    load = _unregistered(name, folder)
    if args:
        raise UsageError(f"--data {name} takes no arguments, unlike a registered data source: omit {', '.join(args)}")
    return load


def _registered(entry: Entry, folder: Path, args: Mapping[str, Any]) -> Callable[[], object]:
    if args or entry.target.partition(":")[0] in sys.modules:  # else its arguments are checked when it is imported
        data_sources.check(entry.name, entry.resolve(data_sources.kind), folder, **args)
    return lambda: data_sources.build(entry.name, folder, **args)


def _unregistered(name: str, folder: Path) -> Callable[[], object]:
    if path := _existing(name):
        return partial(_load_path, path, folder)
    if is_tfds(name):
        return partial(_load_tfds, name, folder)
    if _looks_like_path(name):
        raise UsageError(f"--data {name}: no such file or folder")
    raise _unknown(name)


def _existing(name: str) -> Path | None:
    try:
        path = Path(name).expanduser()
        if not name or not path.exists():
            return None
    except (OSError, RuntimeError) as error:  # no permission, a name too long, `~` of nobody
        raise UsageError(f"--data {name}: {error}") from error
    if path.is_file():
        check_format(path)
    elif not path.is_dir():
        raise UsageError(f"--data {name}: neither a folder nor a regular file")
    return path


def _load_path(path: Path, folder: Path) -> Source:
    if path.is_file():
        return load_file([path], folder / "cache")

    from trainer.data.sources.idx import has_idx, load_idx

    if has_idx(path):
        return load_idx(path)

    from trainer.data.sources.loose import has_files, load_files

    if has_files(path):
        return load_files(path, folder / "cache")

    from trainer.data.sources.folder import load_folder

    return load_folder(path, folder / "cache")


def _load_tfds(name: str, folder: Path) -> Source:
    from trainer.data.sources.tfds import load_tfds

    return load_tfds(name, folder)


def _looks_like_path(name: str) -> bool:
    return name.lower().endswith(FORMATS) or any(separator in name for separator in (os.sep, os.altsep) if separator)


def _unknown(name: str) -> UsageError:
    known = list(dict.fromkeys(entry.name for entry in data_sources.entries()))
    suggestion = did_you_mean(name.lower(), [*known, *sorted(image_sets())])
    choices = f"{', '.join(known)}, or any TFDS image-classification set, or a path"
    return UsageError(f"unknown data source {name!r}{suggestion} (known: {choices})")
