"""From files and names to batches: sources, canonical order and splits, augmentation, pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.data.split import Data


def load(name: str = "auto", folder: Path | str = "data", seed: int = 0, test: str | None = None) -> Data:
    """Load and split images by name.

    Args:
        name: A registered data source, a TFDS name or a path; see `trainer.data.sources.find.load_source`.
        folder: The data folder.
        seed: Seed that selects the validation images.
        test: Another data source, whose test images (or all its images, if it has no test split) replace the test
            split.

    Raises:
        UsageError: If a name is unknown.
        DataError: If the data are missing, damaged or too few to split, or the test images do not match the others.
    """
    from trainer.data.sources.find import load_source
    from trainer.data.split import split, with_test

    data = split(load_source(name, Path(folder)), seed)
    return data if test is None else with_test(data, load_source(test, Path(folder), whole=False))
