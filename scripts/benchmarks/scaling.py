"""`scaling`: cost per image and memory, from few images to many."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .arena import Contender, Outcome, compete
from .images import prepare
from .options import Options, tell
from .report import Report, spread
from .speed import job_of

SIZES = (10_000, 60_000, 300_000, 600_000)
BATCHES = (128, 32, 512)
TURN = 10_000
"""Images per turn."""


def run(options: Options, folder: Path) -> Report:
    """Run the benchmark.

    Raises:
        InkwellError: If a contender fails.
    """
    sizes, turn = ((500, 1_000), 128) if options.quick else (SIZES, TURN)
    images, rounds = prepare(options, folder, turn), options.rounds_or(5)
    job, rows = job_of(options, images, steps=1), []
    for batch in BATCHES[:1] if options.quick else BATCHES:
        tell(f"  batch {batch}")
        contenders = [Contender(f"{size:,} images", "sized:run", {"images": size}) for size in sizes]
        resized = dataclasses.replace(job, batch_size=batch, steps=max(1, turn // batch))
        place = folder / f"batch-{batch}"
        place.mkdir()
        outcomes = compete(contenders, resized, place, rounds)
        rows += _rows(batch, sizes, list(outcomes.values()))
    return Report(
        f"scaling: {options.model}",
        (
            "images",
            "batch",
            "µs per image",
            "min - max",
            "of it shuffling",
            "times the first",
            "peak MB",
            "data MB",
            "MB per MB of data",
        ),
        [_cells(row) for row in rows],
        {"rows": rows, "turn": turn},
        [
            f"medians over {rounds} rounds of about {turn:,} images each, sizes taking turns, one process each; images "
            f"repeated from {images.name}; no augmentation, no plugins; shuffling, once per epoch, is timed apart and "
            "added",
            "MB per MB of data: growth of peak resident memory divided by that of the images, since the first size",
        ],
    )


def _rows(batch: int, sizes: Sequence[int], outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for size, outcome in zip(sizes, outcomes, strict=True):
        shuffle = 1e6 * outcome.setup["shuffle"] / size
        cost = spread([shuffle + 1e6 * turn["seconds"] / turn["images"] for turn in outcome.turns])
        peak, data = outcome.turns[-1]["peak_bytes"], outcome.setup["data_bytes"]
        first = rows[0] if rows else None
        rows.append(
            {
                **{"name": f"{size}/{batch}", "images": size, "batch": batch, "us": cost, "shuffle_us": shuffle},
                **{"peak_bytes": peak, "data_bytes": data},
                "ratio": cost["median"] / first["us"]["median"] if first else 1.0,
                "growth": (peak - first["peak_bytes"]) / (data - first["data_bytes"]) if first else None,
            }
        )
    return rows


def _cells(row: dict[str, Any]) -> list[str]:
    cost = row["us"]
    return [
        f"{row['images']:,}",
        str(row["batch"]),
        f"{cost['median']:.1f}",
        f"{cost['min']:.1f} - {cost['max']:.1f}",
        f"{row['shuffle_us']:.2f}",
        f"{row['ratio']:.3f}",
        f"{row['peak_bytes'] / 1e6:,.0f}",
        f"{row['data_bytes'] / 1e6:,.1f}",
        "-" if row["growth"] is None else f"{row['growth']:.2f}",
    ]
