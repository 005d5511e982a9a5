"""The command-line options of every benchmark."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a benchmark.

    Attributes:
        data: A data source.
        data_dir: Folder of downloaded data.
        model: A registered model.
        args: Arguments of its builder.
        spec: Both, as `fit.py --model` takes them.
        imports: Modules that register models.
        batch_size: Training batch size.
        steps: Batches per epoch of `speed` and `augment`.
        rounds: Number of rounds; None for the benchmark's own default.
        only: Contenders to measure; empty for all.
        quick: True to measure as little as possible: a test of the benchmark, not of the machine.
    """

    data: str = "auto"
    data_dir: str = "data"
    model: str = "lenet"
    args: Mapping[str, Any] = field(default_factory=dict)
    spec: str = "lenet"
    imports: tuple[str, ...] = ()
    batch_size: int = 128
    steps: int = 256
    rounds: int | None = None
    only: tuple[str, ...] = ()
    quick: bool = False

    def rounds_or(self, default: int) -> int:
        """Return the number of rounds: as requested, else 1 if quick, else `default`."""
        return self.rounds or (1 if self.quick else default)


def tell(message: str) -> None:
    """Show progress."""
    print(message, file=sys.stderr, flush=True)
