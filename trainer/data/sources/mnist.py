"""MNIST and Fashion-MNIST by name, and `auto`: MNIST if it can be had, otherwise `mnist5k`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from trainer.data.imageset import Source
from trainer.data.sources.embedded import DIGITS, mnist5k
from trainer.data.sources.idx import FILES, has_idx, load_idx
from trainer.data.sources.reach import unreachable
from trainer.data.sources.tfds import UnavailableError, load_tfds
from trainer.errors import DataError

ADDRESSES = {
    "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}
"""Hosts from which TFDS downloads each set."""

SHAPE = (28, 28, 1)
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def auto(folder: Path) -> Source:
    """MNIST if it lies in the data folder or can be downloaded, otherwise `mnist5k` with a notice.

    Damaged MNIST files are an error, not a reason to take something else.

    Args:
        folder: The data folder.

    Raises:
        DataError: If MNIST is there but damaged.
    """
    try:
        return mnist(folder)
    except UnavailableError:
        source = mnist5k(folder)
        notice = (
            f"using 5,000 MNIST images instead of 70,000: MNIST was not found in {folder}/ and could not be downloaded "
            "(--data mnist says why)"
        )
        return replace(source, notices=(notice, *source.notices))


def mnist(folder: Path) -> Source:
    """MNIST from IDX files in the data folder or its `mnist/`, prepared there by TFDS, or downloaded by it.

    Args:
        folder: The data folder.

    Raises:
        UnavailableError: If it is in none of these places.
        DataError: If its files are damaged or not MNIST.
    """
    return _digits_or_clothes("mnist", folder, [folder, folder / "mnist"], DIGITS)


def fashion_mnist(folder: Path) -> Source:
    """Fashion-MNIST from IDX files in the data folder's `fashion_mnist/`, or like MNIST through TFDS.

    Its IDX files are named like MNIST's, so those directly in the data folder are not taken for it.

    Args:
        folder: The data folder.

    Raises:
        UnavailableError: If it is in none of these places.
        DataError: If its files are damaged or not Fashion-MNIST.
    """
    return _digits_or_clothes("fashion_mnist", folder, [folder / "fashion_mnist"], CLOTHES)


def _digits_or_clothes(name: str, folder: Path, places: list[Path], class_names: tuple[str, ...]) -> Source:
    place = next(filter(has_idx, places), None)
    if place is not None:
        source = load_idx(place, name, class_names)
        if source.test is None:
            needed = " and ".join(file for (split, _), file in FILES.items() if split == "test")
            raise DataError(f"{name}: {place} lacks the test split: {needed} (plain or .gz)")
    else:
        source = _from_tfds(name, folder, places)
    if source.train.images.shape[1:] != SHAPE or len(source.class_names) != 10:
        shape = "x".join(map(str, source.train.images.shape[1:]))
        found = f"{len(source.class_names)} classes of {shape} images"
        raise DataError(
            f"{name}: {place or folder} holds {found}, not 10 of 28x28x1; give a path to use them as they are"
        )
    return source


def _from_tfds(name: str, folder: Path, places: list[Path]) -> Source:
    """Load a set by TFDS, which takes seconds to import: not at all where it would find neither files nor a network."""
    looked = " or ".join(map(str, [*places, folder / name] if folder / name not in places else places))
    files = f"put {', '.join(FILES.values())} (plain or .gz) into {places[-1]}"
    if not (folder / name).is_dir() and (why := unreachable(ADDRESSES[name])):
        host = urlsplit(ADDRESSES[name]).hostname
        raise UnavailableError(
            f"{name} is not in {looked}, and cannot be downloaded from {host}: {why}; connect to a network, or {files}"
        )
    try:
        return load_tfds(name, folder)
    except UnavailableError as error:
        raise UnavailableError(f"{name} is not in {looked}, and {error}, or {files}") from error
