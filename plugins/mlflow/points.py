"""Metric points to send to MLflow, and those it already has from steps that are computed again.

A run that returns to a checkpoint, on resuming or recovery, repeats steps, and MLflow cannot delete points. A value
that MLflow already has for a step is therefore not sent again, so that a resumed run, which repeats itself bit for
bit, has every point once. A different value is sent, and the step is recorded as superseded.
"""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

CLOCK = ("seconds", "images_per_second")
"""Metrics in the history that are clock readings."""
TIME = "time/"
"""Group of clock readings. They differ when a step is repeated; the first ones are kept."""


class Point(NamedTuple):
    """A metric value of a run: its name, value, optimizer step, and Unix time in milliseconds."""

    name: str
    value: float
    step: int
    time: int


class Earlier:
    """The points that MLflow has from steps that may be repeated.

    Args:
        fetch: Returns the points that MLflow has under a name, as objects with `step` and `value`.
        after: The step up to which the history is unchanged.

    Attributes:
        superseded: Steps for which MLflow has a value that no longer holds.
    """

    def __init__(self, fetch: Callable[[str], Iterable[Any]], after: int) -> None:
        self.superseded: set[int] = set()
        self._fetch, self._after = fetch, after
        self._points: dict[str, dict[int, list[float]]] = {}

    def missing(self, points: Iterable[Point]) -> list[Point]:
        """Return the points that MLflow is missing, and record the steps where it has a different value."""
        return [point for point in points if point.step < self._after or not self._has(point)]

    def left(self, step: int) -> set[int]:
        """Return the steps after `step`, the last of the run, for which MLflow has points."""
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
    """Return True if MLflow cannot distinguish two values; databases store the largest float in place of infinity."""
    return one == other or (math.isnan(one) and math.isnan(other)) or (abs(one) > 1.7e308 and one * other == math.inf)


def ranges(steps: Iterable[int]) -> str:
    """Return steps as text, such as `51-80, 100`."""
    runs: list[list[int]] = []
    for step in sorted(set(steps)):
        if runs and step == runs[-1][1] + 1:
            runs[-1][1] = step
        else:
            runs.append([step, step])
    return ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in runs)


def of_line(line: Mapping[str, Any]) -> list[Point]:
    """Return the metrics in a line of `history.jsonl`; null stands for a non-finite value.

    Lines of single batches repeat the epoch number, which is sent with the epoch alone, and last: MLflow orders curves
    by first appearance.
    """
    kind = line.get("kind")
    named = {k: v for k, v in line.items() if k not in ("kind", "step", "time", "epoch")}
    grouped = {f"{TIME}{k}" if k in CLOCK else k: v for k, v in named.items()}
    if kind != "batch" and "epoch" in line:
        grouped["epoch"] = line["epoch"]
    return points(grouped, line["step"], line["time"], "") if kind != "recovery" else []


def points(values: Mapping[str, Any], step: int, seconds: float, prefix: str) -> list[Point]:
    """Return the numbers among `values` as points at `step` and a time in Unix seconds."""
    numbers = {k: math.nan if v is None else v for k, v in values.items() if v is None or is_number(v)}
    return [Point(allowed(f"{prefix}{k}"), float(v), step, int(seconds * 1000)) for k, v in numbers.items()]


def is_number(value: Any) -> TypeGuard[int | float]:
    """Return True if `value` can be a metric, which NaN can."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def allowed(name: str) -> str:
    """Return `name` as a valid MLflow parameter or metric name: a relative path with a restricted character set."""
    path = posixpath.normpath(re.sub(r"[^\w\-. :/]", "_", name)[:250])
    return path.lstrip("/.") or "_"


def batches(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Return `values` in chunks of at most `size`."""
    return [values[i : i + size] for i in range(0, len(values), size)]
