"""From files and names to batches: sources, canonical order and splits, augmentation, pipelines.

Names are imported on first use, so that a name of data can be checked without NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.data.imageset import ImageSet, Source
    from trainer.data.rows import ArrayRows, Rows
    from trainer.data.split import Data

_HOMES = {
    "ArrayRows": "trainer.data.rows",
    "Data": "trainer.data.split",
    "ImageSet": "trainer.data.imageset",
    "Rows": "trainer.data.rows",
    "Source": "trainer.data.imageset",
}

__all__ = ["ArrayRows", "Data", "ImageSet", "Rows", "Source", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trainer.data' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def load(
    name: str = "auto",
    folder: Path | str = "data",
    seed: int = 0,
    test: str | None = None,
    args: Mapping[str, Any] | None = None,
    test_args: Mapping[str, Any] | None = None,
) -> Data:
    """Load and split images by name.

    Args:
        name: A registered data source, a TFDS name or a path; see `trainer.data.sources.find.load_source`.
        folder: The data folder.
        seed: Seed that selects the validation images.
        test: Another data source, whose test images (or all its images, if it has no test split) replace the test
            split.
        args: Arguments of the data source; default: those that `name` gives, as in `mine:fold=2`.
        test_args: The same for `test`.

    Raises:
        UsageError: If a name is unknown, or an argument missing, unknown or wrong.
        DataError: If the data are missing, damaged or too few to split, or the test images do not match the others.
    """
    from trainer.data.sources.find import load_source
    from trainer.data.split import split, with_test

    data = split(load_source(name, Path(folder), args), seed)
    return data if test is None else with_test(data, load_source(test, Path(folder), test_args, whole=False))
