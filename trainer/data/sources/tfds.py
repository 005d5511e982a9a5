"""Image-classification sets of tensorflow-datasets: prepared ones are read, others are downloaded once."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from trainer.data.imageset import Source, validation_share
from trainer.data.sources import emnist
from trainer.data.sources.cache import Cache
from trainer.data.sources.classes import without_empty_classes
from trainer.data.sources.decoding import Block, Undecoded, block_length
from trainer.data.sources.reach import bounded_downloads, reason, unreachable
from trainer.errors import DataError, unknown
from trainer.stage import Stage
from trainer.startup import IMPORTING

BATCH = 1024
MANY_HOSTS = 2  # how many hosts of a set are asked; each may take seconds


class UnavailableError(DataError):
    """Data that are not there and cannot be fetched: not damaged, just absent."""


def load_tfds(name: str, folder: Path) -> Source:
    """Read a TFDS set of images of one size, downloading and preparing it first if need be.

    Args:
        name: `name`, `name/configuration` or `name:version`.
        folder: The data folder: prepared sets lie in it, downloads go to its `downloads/`, and decoded
            images that do not fit in memory to its `cache/`.

    Raises:
        UsageError: If the set has no such configuration.
        UnavailableError: If the set is not prepared and cannot be fetched.
        DataError: If it does not hold images of one size with a class label or is damaged, or the disk has no room
            for decoded images that do not fit in memory.
    """
    with IMPORTING:  # TFDS imports what it needs when it needs it
        builder = _open(name, folder)
        keys = _keys(builder, name)
        if not _is_prepared(builder):
            _refuse_if_out_of_reach(builder, name, folder)
            _prepare(builder, name, folder)
            builder = _open(name, folder)
        return _read(builder, name, keys, folder / "cache")


def _open(name: str, folder: Path) -> Any:
    """Return TFDS's builder; it knows features and addresses without network."""
    import tensorflow_datasets as tfds

    base, _, configuration = name.partition(":")[0].partition("/")
    with _said(name, folder):
        known = list(tfds.builder_cls(base).builder_configs)
    if configuration and configuration not in known:
        raise unknown(f"TFDS configuration of {base}", configuration, known)
    with _said(name, folder):
        return tfds.builder(name, data_dir=folder)


@contextlib.contextmanager
def _said(name: str, folder: Path) -> Iterator[None]:
    """Turn whatever TFDS raises into one line."""
    try:
        yield
    except Exception as error:  # hundreds of builders raise what they like
        raise DataError(f"cannot open TFDS set {name!r} in {folder}: {_first_line(error)}") from error


def _keys(builder: Any, name: str) -> tuple[str, str]:
    """Return the names of the features that hold image and label."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    candidates: list[tuple[str, ...]] = [builder.info.supervised_keys or (), ("image", "label")]
    for keys in candidates:
        if len(keys) != 2 or not all(isinstance(key, str) and key in features for key in keys):
            continue
        image, label = features[keys[0]], features[keys[1]]
        if isinstance(image, tfds.features.Image) and isinstance(label, tfds.features.ClassLabel):
            _check_image(image, name)
            return keys[0], keys[1]
    raise DataError(f"TFDS set {name!r} has no image with a class label (its features: {', '.join(features)})")


def _check_image(image: Any, name: str) -> None:
    if None in image.shape[:2]:
        raise DataError(
            f"TFDS set {name!r} has images of different sizes, one size is needed; write them, resized, to a "
            "folder of class folders, and give its path"
        )
    if image.np_dtype != np.uint8 or image.shape[2] not in (1, 3):
        found = f"{np.dtype(image.np_dtype)} images {image.shape}"
        raise DataError(f"TFDS set {name!r} has {found}; uint8 [H, W, C] with C 1 or 3 is needed")


def _is_prepared(builder: Any) -> bool:
    return (Path(builder.data_path) / "dataset_info.json").is_file()


def _refuse_if_out_of_reach(builder: Any, name: str, folder: Path) -> None:
    by_hand = folder / "downloads" / "manual"
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS and not (by_hand.is_dir() and any(by_hand.iterdir())):
        raise UnavailableError(
            f"cannot download TFDS set {name!r}: its owners have it fetched by hand; put its files into {by_hand}"
        )
    reasons = {}
    for host, address in list(_addresses(builder).items())[:MANY_HOSTS]:
        reasons[host] = unreachable(address)
        if not reasons[host]:
            return
    if reasons:
        tried = " and ".join(f"{host} ({reason})" for host, reason in reasons.items())
        raise UnavailableError(
            f"cannot download TFDS set {name!r} from {tried}; connect to a network, or copy the set to {folder} from a "
            "machine where TFDS has prepared it"
        )


def _addresses(builder: Any) -> dict[str, str]:
    """Return one http(s) address per host that the builder downloads from."""
    own = getattr(builder, "URL", None)
    addresses = [own] if isinstance(own, str) else list(builder.url_infos or ())
    found: dict[str, str] = {}
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme in ("http", "https") and parts.hostname:
            found.setdefault(parts.hostname, address)
    return found


def _prepare(builder: Any, name: str, folder: Path) -> None:
    """Download and prepare a set; a second process that wants the same one waits and finds it prepared."""
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{builder.name}.lock"), _quiet(), bounded_downloads(), _downloading(builder, name):
            builder.download_and_prepare()
    except OSError as error:  # network, disk
        raise UnavailableError(f"cannot download TFDS set {name!r} to {folder}: {reason(error)}") from error
    except Exception as error:  # checksums, and hundreds of builders
        raise UnavailableError(f"cannot prepare TFDS set {name!r} in {folder}: {_first_line(error)}") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep TFDS's bars off the screen, and its talk off stdout, which belongs to results."""
    import tensorflow_datasets as tfds

    tfds.display_progress_bar(enable=False)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        tfds.display_progress_bar(enable=True)


@contextlib.contextmanager
def _downloading(builder: Any, name: str) -> Iterator[None]:
    """Announce the download, and then the preparation, as the stage in progress."""
    place = Path(builder.data_dir_root) / "downloads" / builder.name
    total = sum(info.size for info in (builder.url_infos or {}).values())

    def look(stage: Stage) -> None:
        stage.done = _size(place)
        if total and stage.done >= total:
            stage.text, stage.total = f"preparing {name}", 0

    with Stage(f"downloading {name}", total, "bytes") as stage:
        stage.look = look
        yield


def _size(downloads: Path) -> int:
    """Return the bytes of the files in TFDS's folder of downloads: those that are complete, and those in progress."""
    files = (path for pattern in ("*", "*.tmp.*/*") for path in downloads.glob(pattern))
    size = 0
    for path in files:
        with contextlib.suppress(OSError):  # it was just moved to its place
            size += path.stat().st_size if path.is_file() else 0
    return size


def _read(builder: Any, name: str, keys: tuple[str, str], cache: Path) -> Source:
    import tensorflow as tf

    info = builder.info
    splits = {split: info.splits[split].num_examples for split in ("train", "test") if split in info.splits}
    if "train" not in splits:
        raise DataError(f"TFDS set {name!r} has no split 'train' (its splits: {', '.join(info.splits)})")
    shape = info.features[keys[0]].shape
    undecoded = Undecoded(splits, shape, lambda split: _decode(builder, split, splits[split], keys))
    try:
        images, notices = Cache(cache, name, _identity(builder, keys)).load(lambda: undecoded)
    except (tf.errors.OpError, OSError, ValueError) as error:
        hint = f"delete {builder.data_path} and run again"
        raise DataError(f"cannot read TFDS set {name!r}: {_first_line(error)}; {hint}") from error
    train, test = images["train"], images.get("test")
    if unused := [split for split in info.splits if split not in splits]:
        notices = (f"{name}: splits of TFDS that are not used: {', '.join(unused)}", *notices)
    class_names = _class_names(builder, keys)
    source = Source(name, train, test, class_names, validation_share(train, test), notices=notices)
    return without_empty_classes(source)


def _class_names(builder: Any, keys: tuple[str, str]) -> tuple[str, ...]:
    declared = tuple(builder.info.features[keys[1]].names)
    return emnist.named(builder.builder_config.name, declared) if builder.name == "emnist" else declared


def _identity(builder: Any, keys: tuple[str, str]) -> list[Any]:
    """Return everything that the decoded images depend on: the set, its files, their times, and the decoder."""
    import tensorflow as tf

    folder = Path(builder.data_path)
    files = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(folder.iterdir())]
    return [builder.info.full_name, str(folder.resolve()), keys, tf.__version__, files]


def _decode(builder: Any, split: str, number: int, keys: tuple[str, str]) -> Iterator[Block]:
    """Yield the images of a split.

    Raises:
        ValueError: If they are not as many as its description says.
    """
    import tensorflow_datasets as tfds

    dataset = builder.as_dataset(split=split, read_config=tfds.ReadConfig(try_autocache=False))
    length = min(BATCH, block_length(builder.info.features[keys[0]].shape))
    pairs = dataset.map(lambda example: tuple(example[key] for key in keys)).batch(length)
    found = 0
    for images, labels in pairs.as_numpy_iterator():
        found += len(labels)
        yield emnist.upright(images) if builder.name == "emnist" else images, labels.astype(np.int32)
    if found != number:
        raise ValueError(f"split {split!r} holds {found} images, its description says {number}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
