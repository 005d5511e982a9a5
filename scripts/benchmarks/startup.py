"""`startup`: time from the start of `fit.py` to its first step, and the part spent on importing TensorFlow."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .images import prepare
from .launch import FIT, flags, timed, to_first_step, to_import
from .options import Options, tell
from .report import Report, cells, spread

FIRST, TENSORFLOW, HELP = "fit.py to its first step", "import tensorflow", "fit.py --help"


def run(options: Options, folder: Path) -> Report:
    """Run the benchmark.

    Raises:
        InkwellError: If a process fails.
    """
    rounds, images = options.rounds_or(6), prepare(options, folder, 1)
    times: dict[str, list[float]] = {FIRST: [], TENSORFLOW: [], HELP: []}
    ledgers: list[Mapping[str, float]] = []
    for number in range(int(options.quick), rounds + 1):  # round 0 fills the disk caches and is not counted
        place = folder / f"start-{number}"
        place.mkdir()
        seconds, report = to_first_step([*flags(options, images), "--run-dir", "runs/one"], place)
        imported = to_import("tensorflow", place)
        helped = timed([FIT, "--help"], place)
        tell(f"  round {number}/{rounds}  first step {seconds:.2f} s  tensorflow {imported:.2f} s  help {helped:.2f} s")
        if number:
            for key, value in zip(times, (seconds, imported, helped), strict=True):
                times[key].append(value)
            ledgers.append(_sum(report["ledger"]))
    return _report(options, images.name, times, ledgers, rounds)


def _sum(ledgers: list[Mapping[str, float]]) -> dict[str, float]:
    """Return the seconds by name over the ledgers of a process, all but one of which are empty."""
    names = dict.fromkeys(name for ledger in ledgers for name in ledger)
    return {name: sum(ledger.get(name, 0.0) for ledger in ledgers) for name in names}


def _report(
    options: Options, data: str, times: Mapping[str, list[float]], ledgers: list[Mapping[str, float]], rounds: int
) -> Report:
    found = {name: spread(values) for name, values in times.items()}
    over = spread([ours - theirs for ours, theirs in zip(times[FIRST], times[TENSORFLOW], strict=True)])
    parts = {name: statistics.median(ledger.get(name, 0.0) for ledger in ledgers) for name in ledgers[-1]}
    rest = found[FIRST]["median"] - sum(parts.values())
    rows: list[dict[str, Any]] = [
        *({"name": name, "s": value} for name, value in found.items()),
        {"name": "first step minus import", "s": over},
    ]
    split = [[f"  of which {name}", f"{seconds:.2f}", ""] for name, seconds in parts.items() if seconds >= 0.005]
    table = [[row["name"], *cells(row["s"])] for row in rows]
    return Report(
        f"startup: {options.model} on {data}, all default plugins",
        ("", "seconds", "min - max"),
        [table[0], *split, ["  of which outside the ledger", f"{rest:.2f}", ""], *table[1:]],
        {"rows": rows, "ledger": parts, "outside_ledger": rest, "data": data},
        [f"medians over {rounds} rounds, fresh processes taking turns, each timed from its start"],
    )
