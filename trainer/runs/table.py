"""Runs as rows of a table, read from their directories: properties, scores and status."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.config.spec import parse_value
from trainer.errors import InkwellError, UsageError, did_you_mean
from trainer.files import flatten
from trainer.runs.files import RunFiles

COLUMNS = ("name", "model", "data", "test_accuracy", "val_accuracy", "train_seconds", "status", "started")
NO_RUNS = ("mlartifacts",)
"""Folders among the runs that are not runs: MLflow's files."""


@dataclass(frozen=True)
class Row:
    """One run.

    Attributes:
        path: The run directory.
        columns: A value for each of `COLUMNS`, None if there is none.
        config: The configuration, with keys such as `training.seed`.
        result: The result, with keys such as `test.ece`; empty until the run is done.
    """

    path: Path
    columns: Mapping[str, Any]
    config: Mapping[str, Any]
    result: Mapping[str, Any]

    def value(self, key: str) -> Any:
        """Return the value of a column, or of a key of the configuration or result; None if there is none."""
        return next((known[key] for known in (self.columns, self.config, self.result) if key in known), None)


def find_runs(root: Path) -> tuple[list[Row], list[str]]:
    """Return the runs in a folder, and a message for each subfolder that is not a run or is damaged.

    Raises:
        UsageError: If the folder cannot be read.
    """
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise UsageError(f"cannot read {root}: {error.strerror}") from error
    rows, skipped = [], []
    for folder in folders:
        if folder.name not in NO_RUNS:
            try:
                rows.append(read_run(folder))
            except InkwellError as error:
                skipped.append(f"skipped: {error}")
    return rows, skipped


def read_run(folder: Path) -> Row:
    """Return the run in a folder.

    Raises:
        UsageError: If the folder is not a run, or its `config.toml` is damaged.
        InkwellError: If another file is damaged, or another version wrote the run.
    """
    files = RunFiles(folder)
    config, result, status = flatten(files.config), flatten(files.result or {}), files.status()
    validated = result["best.val_accuracy"] if "best.val_accuracy" in result else files.last("val_accuracy")
    values = {
        "name": files.name,
        "model": result.get("model") or config.get("model.name"),
        "data": result.get("data.name") or config.get("data.name"),
        "test_accuracy": result.get("test.accuracy"),
        "val_accuracy": validated,
        "train_seconds": result.get("train_seconds"),
        "status": status,
        "started": files.run.started or None,
    }
    return Row(folder, values, config, result)


def sort(rows: Sequence[Row], key: str, reverse: bool = False) -> list[Row]:
    """Return rows sorted by a column or another key: largest number or newest first, text from a to z.

    Runs without a value come last.

    Args:
        rows: The runs.
        key: A column, or a key of the configuration or result.
        reverse: Reverse the order.

    Raises:
        UsageError: If no run has the key.
    """
    _check_key(rows, key)
    valued = [row for row in rows if row.value(key) is not None]
    descending = key == "started" or all(_is_number(row.value(key)) for row in valued)
    ordered = sorted(valued, key=lambda row: _order(row.value(key)), reverse=descending != reverse)
    return [*ordered, *(row for row in rows if row.value(key) is None)]


def _order(value: Any) -> tuple[int, Any]:
    return (0, value) if _is_number(value) else (1, str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    **{">=": operator.ge, "<=": operator.le, "!=": operator.ne},
    **{"=": operator.eq, ">": operator.gt, "<": operator.lt},
}


def select(rows: Sequence[Row], conditions: Iterable[str]) -> list[Row]:
    """Return the rows that meet all conditions.

    Args:
        rows: The runs.
        conditions: `KEY=VALUE` or `KEY!=VALUE`, where text may contain `*`, or for numbers also `KEY>VALUE`,
            `KEY>=VALUE`, `KEY<VALUE`, `KEY<=VALUE`.

    Raises:
        UsageError: If a condition is malformed, or no run has its key.
    """
    chosen = list(rows)
    for condition in conditions:
        match = re.fullmatch(r"([\w.]+)\s*(>=|<=|!=|=|>|<)\s*(.*)", condition)
        if match is None:
            raise UsageError(f"--filter {condition}: expected KEY=VALUE, such as model=lenet, or KEY>VALUE")
        key, sign, text = match.groups()
        _check_key(rows, key)
        wanted = parse_value(text)
        if sign[0] in "<>" and not _is_number(wanted):
            raise UsageError(f"--filter {condition}: {sign} needs a number, not {text!r}")
        chosen = [row for row in chosen if _meets(row.value(key), sign, wanted)]
    return chosen


def _meets(value: Any, sign: str, wanted: Any) -> bool:
    if value is None:
        return False
    if _is_number(value) and _is_number(wanted):
        return COMPARISONS[sign](value, wanted)
    if sign not in ("=", "!="):
        return False
    return fnmatch.fnmatchcase(str(value).lower(), str(wanted).lower()) == (sign == "=")


def _check_key(rows: Sequence[Row], key: str) -> None:
    known = dict.fromkeys([*COLUMNS, *(name for row in rows for name in (*row.config, *row.result))])
    if rows and key not in known:
        columns = ", ".join(COLUMNS)
        near = did_you_mean(key, known)
        raise UsageError(f"unknown key {key!r}{near} (known: {columns}, and keys of config.toml and result.json)")


def differences(one: Row, other: Row) -> list[tuple[str, Any, Any]]:
    """Return the differences between the configurations and results of two runs: a key and two values each.

    Lists such as the confusion matrix, the run directory and the time breakdown are omitted.
    """
    found = []
    for kind, a, b in (("config", one.config, other.config), ("result", one.result, other.result)):
        for key in dict.fromkeys([*a, *b]):
            left, right = a.get(key), b.get(key)
            if left != right and not isinstance(left or right, list) and not key.startswith(("run_dir", "time.")):
                found.append((f"{kind}: {key}", left, right))
    return found
