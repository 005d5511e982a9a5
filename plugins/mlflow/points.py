"""Points on their way to MLflow, and those that are there already though the run took them back.

A run that goes back to a checkpoint, because it is resumed or told to, computes steps again. MLflow cannot delete
points. The same value at the same step is therefore not sent again, so that a resumed run, which repeats itself bit for
bit, has every point once. Another value is sent, and the step noted.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

CLOCK = ("seconds", "images_per_second")
"""Names in the history that are readings of the clock."""
TIME = "time/"
"""The group of such readings. They differ when the same is done again; the first ones stand."""


class Point(NamedTuple):
    """A number of a run: its name, value, optimizer step, and Unix time in milliseconds."""

    name: str
    value: float
    step: int
    time: int


class Earlier:
    """The points that MLflow has from steps that may be computed again.

    Args:
        fetch: Returns the points of a name that MLflow has, as objects with `step` and `value`.
        after: The step up to which everything stands as it was.

    Attributes:
        superseded: Steps of which MLflow has a value that was taken back.
    """

    def __init__(self, fetch: Callable[[str], Iterable[Any]], after: int) -> None:
        self.superseded: set[int] = set()
        self._fetch, self._after = fetch, after
        self._points: dict[str, dict[int, list[float]]] = {}

    def missing(self, points: Iterable[Point]) -> list[Point]:
        """Return the points that MLflow has not, and note where it has another value."""
        return [point for point in points if point.step < self._after or not self._has(point)]

    def left(self, step: int) -> set[int]:
        """Return the steps after `step`, at which the run ended, of which MLflow has points."""
        return {known for points in self._points.values() for known in points if known > max(step, self._after)}

    def _has(self, point: Point) -> bool:
        if point.name not in self._points:
            self._points[point.name] = self._of(point.name)
        values = self._points[point.name].get(point.step, [])
        if any(same(value, point.value) for value in values) or (values and point.name.startswith(TIME)):
            return True
        if values:
            self.superseded.add(point.step)
        return False

    def _of(self, name: str) -> dict[int, list[float]]:
        found: dict[int, list[float]] = {}
        for metric in self._fetch(name):
            if metric.step >= self._after:
                found.setdefault(metric.step, []).append(metric.value)
        return found


def same(one: float, other: float) -> bool:
    """Return whether two values are the same to MLflow; a database has no infinity, and so stores the largest float."""
    return one == other or (math.isnan(one) and math.isnan(other)) or (abs(one) > 1.7e308 and one * other == math.inf)


def ranges(steps: Iterable[int]) -> str:
    """Return steps as text: `51-80, 100`."""
    runs: list[list[int]] = []
    for step in sorted(set(steps)):
        if runs and step == runs[-1][1] + 1:
            runs[-1][1] = step
        else:
            runs.append([step, step])
    return ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)


def of_line(line: Mapping[str, Any]) -> list[Point]:
    """Return the numbers of a line of `history.jsonl`; null is a number that was not finite.

    Lines of single batches repeat the epoch's number, which is sent with the epoch alone, and last: MLflow shows curves
    in the order in which they came.
    """
    kind = line.get("kind")
    named = {k: v for k, v in line.items() if k not in ("kind", "step", "time", "epoch")}
    grouped = {f"{TIME}{k}" if k in CLOCK else k: v for k, v in named.items()}
    if kind != "batch" and "epoch" in line:
        grouped["epoch"] = line["epoch"]
    return points(grouped, line["step"], line["time"], "") if kind != "recovery" else []


def points(values: Mapping[str, Any], step: int, seconds: float, prefix: str) -> list[Point]:
    """Return the numbers among `values` as points of `step`, at a time in Unix seconds."""
    numbers = {k: math.nan if v is None else v for k, v in values.items() if v is None or is_number(v)}
    return [Point(allowed(f"{prefix}{k}"), float(v), step, int(seconds * 1000)) for k, v in numbers.items()]


def is_number(value: Any) -> TypeGuard[int | float]:
    """Return whether `value` can be a metric; not a number (NaN) can."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def allowed(name: str) -> str:
    """Return `name` as MLflow takes it for parameters and metrics: a path below the run, of few kinds of characters."""
    path = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", name)[:250])
    return path.lstrip("/.") or "_"


def batches(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Return `values` in parts of at most `size`."""
    return [values[i : i + size] for i in range(0, len(values), size)]
