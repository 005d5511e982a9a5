"""The names of TFDS, read from its files: importing it takes a second, and listing its builders ten."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path


@cache
def image_sets() -> frozenset[str]:
    """Return the names of TFDS's image-classification sets; empty if TFDS is not installed."""
    package = _package()
    if package is None:
        return frozenset()
    index = package / "image_classification" / "__init__.py"
    return frozenset(map(builder_name, re.findall(r"^from \S+ import (\w+)$", index.read_text("utf-8"), re.M)))


def is_tfds(name: str) -> bool:
    """Return True if TFDS has a set of this name; also of `name/configuration` and `name:version`."""
    base = re.split("[/:]", name, maxsplit=1)[0]
    package = _package()
    if package is None or not base.isidentifier():
        return False
    return base in image_sets() or (package / "datasets" / base / f"{base}_dataset_builder.py").is_file()


def builder_name(class_name: str) -> str:
    """Return the name under which TFDS files a builder class: `FashionMNIST` is `fashion_mnist`."""
    parted = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)
    return re.sub("([a-z0-9])([A-Z])", r"\1_\2", parted).lower()


def _package() -> Path | None:
    spec = importlib.util.find_spec("tensorflow_datasets")  # finds it without importing it
    return Path(spec.origin).parent if spec and spec.origin else None
