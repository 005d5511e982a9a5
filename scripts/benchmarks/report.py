"""The results of a benchmark: a table for people, numbers for files."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Report:
    """The results of one benchmark.

    Attributes:
        title: Title of the table.
        columns: Column headings.
        rows: Table cells; the first of each row is a name.
        data: The same and more as numbers, ready for JSON.
        notes: Sentences below the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    data: Mapping[str, Any]
    notes: Sequence[str] = field(default_factory=tuple)

    def text(self) -> str:
        """Return title, table and notes, with names aligned left and numbers right."""
        table = [self.columns, *self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(self.columns))]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in table]
        return "\n".join([self.title, "", *lines, "", *self.notes])


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return the median, minimum and maximum of measurements, and all of them in order."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": list(values)}


def cells(found: Mapping[str, Any], digits: int = 2) -> list[str]:
    """Return the median and the range of `spread` as two cells."""
    return [f"{found['median']:,.{digits}f}", f"{found['min']:,.{digits}f} - {found['max']:,.{digits}f}"]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least a fraction `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
