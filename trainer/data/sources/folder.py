"""A folder with one subfolder of images per class, or two such folders named `train` and `test`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from trainer.data.imageset import Source, validation_share
from trainer.data.sources.cache import TAG, Cache
from trainer.data.sources.decoding import Block, Undecoded, block_length
from trainer.data.sources.depth import common_white
from trainer.data.sources.image import SUFFIXES, Header, largest_value, read_header, read_image
from trainer.errors import DataError

NAMED = 5  # number of skipped files that a notice names
MAX_NAMES = 3_000_000
"""Largest number of files and folders of a split; their names take about 1 GB of memory."""


@dataclass
class _Split:
    """The files of one split, in sorted order, and the reasons why some of them are skipped."""

    root: Path
    paths: list[Path] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    skipped: dict[Path, str] = field(default_factory=dict)

    def kept(self) -> list[int]:
        return [i for i, path in enumerate(self.paths) if path not in self.skipped]


def load_folder(root: Path, cache: Path) -> Source:
    """Read `root/<class>/*` or `root/train/<class>/*` and, as test split, `root/test/<class>/*`.

    Classes are sorted by name, numeric ones by value. Images are gray if no file stores colour, otherwise RGB. All must
    have the same size: a few that differ, or that cannot be decoded, are skipped with a notice. Hidden files and
    symbolic links are ignored, and so are images directly in `test`, which have no labels.

    Args:
        root: The folder.
        cache: The folder for decoded images that do not fit in memory.

    Raises:
        DataError: If there are no class folders, a class has no readable image, `test` has a class that is missing from
            `train`, more than half of the images cannot be read or differ from the most common size, or the disk has no
            room for images that do not fit in memory.
    """
    train_root, test_root = _layout(root)
    ignored: Counter[str] = Counter()
    folders = _class_folders(train_root, ignored)
    class_names = tuple(folder.name for folder in folders)
    splits = {"train": _list(train_root, folders, class_names, ignored)}
    if test_root is not None:
        splits["test"] = _list(test_root, _class_folders(test_root, ignored), class_names, ignored)
    decoded = Cache(cache, str(root), _identity(root, splits))
    images, skipped = decoded.load(lambda: _undecoded(splits, class_names))
    train, held = images["train"], images.get("test")
    notices = (*_layout_notice(root, train_root), *_ignored_notice(root, ignored), *skipped)
    return Source(str(root), train, held, class_names, validation_share(train, held), notices=notices)


def _identity(root: Path, splits: Mapping[str, _Split]) -> list[Any]:
    """Return everything that the decoded images depend on: the files, their sizes and times, and the decoder."""
    files = []
    for name, split in splits.items():
        for path, label in zip(split.paths, split.labels, strict=True):
            status = path.stat()
            files.append([name, label, str(path.relative_to(root)), status.st_size, status.st_mtime_ns])
    return [str(root.resolve()), PIL.__version__, files]


def _undecoded(splits: Mapping[str, _Split], class_names: tuple[str, ...]) -> Undecoded:
    """Read all headers; return the images to decode."""
    with ThreadPoolExecutor() as pool:
        headers = {name: _read_headers(split, pool) for name, split in splits.items()}
        deep = [path for found in headers.values() for path, header in found.items() if header.deep]
        white, largest = common_white(deep, largest_value, pool) if deep else (None, 0)
    size = _common_size(splits["train"], headers["train"])
    for name, split in splits.items():
        _skip_other_sizes(split, headers[name], size)
        _refuse_if_bare(split, class_names)
    gray = all(headers[name][split.paths[i]].gray for name, split in splits.items() for i in split.kept())
    shape = (*size, 1 if gray else 3)

    def finish() -> list[str]:
        for split in splits.values():
            _refuse_if_bare(split, class_names)
        skipped = [notice for split in splits.values() for notice in _skip_notice(split)]
        return [*skipped, *_depth_notice(splits["train"].root, white, largest)]

    numbers = {name: len(split.kept()) for name, split in splits.items()}
    return Undecoded(numbers, shape, lambda name: _decode(splits[name], shape, white), finish)


def _layout(root: Path) -> tuple[Path, Path | None]:
    """Return the folders that contain the class folders of the training and test split."""
    train, test = root / "train", root / "test"
    if not train.is_dir() or not _entries(train, Counter())[0]:  # a class may be called train
        return root, None
    return train, test if test.is_dir() and not _is_unlabelled(test) else None


def _is_unlabelled(test: Path) -> bool:
    """Return True if a folder has images but no class folders, as the test images of a competition."""
    folders, files = _entries(test, Counter())
    return bool(files) and not folders


def _entries(folder: Path, ignored: Counter[str]) -> tuple[list[Path], list[Path]]:
    """Return a folder's subfolders and image files; count everything else that is neither hidden nor a cache."""
    folders: list[Path] = []
    files: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if len(folders) + len(files) + ignored.total() > MAX_NAMES:
                raise _too_many(folder)
            path = Path(entry.path)
            if entry.name.startswith((".", "__MACOSX")):
                continue
            if entry.is_dir(follow_symlinks=False):
                if not (path / TAG).is_file():  # our own cache, if the folder is the data folder itself
                    folders.append(path)
            elif entry.is_file(follow_symlinks=False) and path.suffix.lower() in SUFFIXES:
                files.append(path)
            else:
                ignored["symbolic link" if entry.is_symlink() else f"{path.suffix or 'other'} file"] += 1
    return folders, sorted(files)


def _class_folders(root: Path, ignored: Counter[str]) -> list[Path]:
    folders, loose = _entries(root, ignored)
    if not folders:
        hint = "put the images of each class into its own subfolder"
        raise DataError(f"{root} contains neither IDX files nor class folders; {hint}")
    ignored["image outside the class folders"] += len(loose)
    return sorted(folders, key=lambda path: _by_value(path.name))


def _by_value(name: str) -> tuple[int, int, str]:
    """Return a sort key that orders numbers by value, before other names."""
    return (0, int(name), name) if name.isascii() and name.isdigit() else (1, 0, name)


def _list(root: Path, folders: list[Path], class_names: tuple[str, ...], ignored: Counter[str]) -> _Split:
    split = _Split(root)
    for folder in folders:
        if folder.name not in class_names:
            raise DataError(f"{folder}: the class {folder.name!r} is missing from {root.parent / 'train'}")
        deeper, files = _entries(folder, ignored)
        ignored["folder inside a class folder"] += len(deeper)
        if not files:
            raise DataError(f"{folder} contains no image ({', '.join(SUFFIXES)}); add images or remove the folder")
        split.paths += files
        split.labels += [class_names.index(folder.name)] * len(files)
        if len(split.paths) > MAX_NAMES:
            raise _too_many(root)
    return split


def _too_many(folder: Path) -> DataError:
    return DataError(f"{folder} contains more than {MAX_NAMES:,} names; use a part of it, or write an .npz file")


def _read_headers(split: _Split, pool: ThreadPoolExecutor) -> dict[Path, Header]:
    """Return the headers of all readable files; mark the others as skipped."""

    def read(path: Path) -> Header | DataError:
        try:
            return read_header(path)
        except DataError as error:
            return error

    found = {}
    for path, result in zip(split.paths, pool.map(read, split.paths), strict=True):
        if isinstance(result, Header):
            found[path] = result
        else:
            split.skipped[path] = _reason(path, result)
    return found


def _common_size(train: _Split, headers: dict[Path, Header]) -> tuple[int, int]:
    """Return the most common height and width of the training images."""
    if not headers:
        first, reason = next(iter(train.skipped.items()))
        raise DataError(f"{train.root}: no image can be read; the first is {first}: {reason}")
    sizes = Counter((header.height, header.width) for header in headers.values())
    return sizes.most_common(1)[0][0]


def _skip_other_sizes(split: _Split, headers: dict[Path, Header], size: tuple[int, int]) -> None:
    for path, header in headers.items():
        if (header.height, header.width) != size:
            split.skipped[path] = f"{header.width}x{header.height} instead of {size[1]}x{size[0]}"


def _refuse_if_bare(split: _Split, class_names: tuple[str, ...]) -> None:
    """Refuse a split of which so many files are skipped that the user cannot have meant the rest."""
    files, left = len(split.paths), len(split.kept())
    if 2 * left < files:
        first = next(path for path in split.paths if path in split.skipped)
        raise DataError(
            f"{split.root}: only {left} of {files} images are readable and of the same size; the first exception "
            f"is {first} ({split.skipped[first]}); convert all images to one size"
        )
    for label in sorted(set(split.labels) - {split.labels[i] for i in split.kept()}):
        first = next(path for path, k in zip(split.paths, split.labels, strict=True) if k == label)
        raise DataError(
            f"{split.root / class_names[label]} contains no usable image: {first.name}: {split.skipped[first]}"
        )


def _decode(split: _Split, shape: tuple[int, int, int], white: int | None) -> Iterator[Block]:
    """Yield the images that can be decoded, and mark the others as skipped.

    Raises:
        DataError: If no image can be decoded.
    """
    wanted, length, decoded = split.kept(), block_length(shape), 0
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(wanted), length):
            numbers = wanted[start : start + length]
            images = np.empty((len(numbers), *shape), np.uint8)
            good = np.array(list(pool.map(partial(_decode_one, split, white), numbers, images)))
            labels = np.array([split.labels[i] for i in numbers], np.int32)
            decoded += int(good.sum())
            yield (images, labels) if good.all() else (images[good], labels[good])
    if not decoded:
        raise DataError(f"{split.root}: no image can be decoded; the first is {split.paths[0]}")


def _decode_one(split: _Split, white: int | None, number: int, into: np.ndarray) -> bool:
    """Decode a file into an array, or record why it is skipped; return True if it was decoded."""
    path, shape = split.paths[number], into.shape
    try:
        image = read_image(path, shape[2], white=white)
    except DataError as error:
        split.skipped[path] = _reason(path, error)
        return False
    if image.shape != shape:  # a file whose pixels contradict its header
        split.skipped[path] = f"{image.shape[1]}x{image.shape[0]} instead of {shape[1]}x{shape[0]}"
        return False
    into[:] = image
    return True


def _layout_notice(root: Path, train_root: Path) -> list[str]:
    """Return a notice about folders besides `train` and `test`, which are not read."""
    if train_root == root:
        return []
    others = sorted(path.name for path in _entries(root, Counter())[0] if path.name not in ("train", "test"))
    notices = [f"{root}: only train and test are read, not {', '.join(others)}"] if others else []
    if (test := root / "test").is_dir() and _is_unlabelled(test):
        notices.append(f"{test}: its images are in no class folders, so that they have no labels and are left out")
    return notices


def _ignored_notice(root: Path, ignored: Counter[str]) -> list[str]:
    """Return a notice about ignored files and folders, since the user may expect them to be read."""
    counted = ", ".join(f"{number} x {what}" for what, number in sorted(ignored.items()) if number)
    return [f"{root}: ignored: {counted}"] if counted else []


def _skip_notice(split: _Split) -> list[str]:
    if not split.skipped:
        return []
    named = [f"{path.relative_to(split.root)} ({split.skipped[path]})" for path in split.paths if path in split.skipped]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return [f"{split.root}: {len(named)} of {len(split.paths)} images skipped: {', '.join(named[:NAMED])}{more}"]


def _depth_notice(root: Path, white: int | None, largest: int) -> list[str]:
    """Return a notice about 16-bit images that do not use all of their bits."""
    if white in (None, 65535):
        return []
    return [f"{root}: 16-bit images have values up to {largest:,}: read as 0 to {white:,}, scaled to 0 to 255"]


def _reason(path: Path, error: DataError) -> str:
    return str(error).removeprefix(f"{path}: ")
