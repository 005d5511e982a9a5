"""From files and names to batches: sources, canonical order and splits, augmentation, pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.data.split import Data


def load(name: str = "auto", folder: Path | str = "data", seed: int = 0) -> Data:
    """Load and split images by name.

    Args:
        name: A registered data source, a TFDS name or a path; see `trainer.data.sources.find.load_source`.
        folder: The data folder.
        seed: Decides which training images are kept for validation.

    Raises:
        UsageError: If the name is unknown.
        DataError: If the data are absent, damaged or too few to split.
    """
    from trainer.data.sources.find import load_source
    from trainer.data.split import split

    return split(load_source(name, Path(folder)), seed)
