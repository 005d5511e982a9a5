"""The description on a run's MLflow page, in Markdown: headline, data, and location of the report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plugins.mlflow.fields import architecture
from plugins.mlflow.points import is_number
from trainer.console.tables import overlap_rows, score_rows
from trainer.result import Scores
from trainer.runs.files import RunFiles
from trainer.text import count, printable

LONGEST = 500
"""Maximum characters of one value."""


def note(files: RunFiles, ended: str | None, report: str) -> str:
    """Return the current description of a run.

    Args:
        files: The run directory.
        ended: Final status (`"done"`); None while the run is active.
        report: Address of its report in MLflow, linked if the run directory has one.

    Raises:
        InkwellError: If the configuration or the result is damaged.
    """
    data, test = files.run.data, _result(files).get("test") or {}
    rows = [("model", _model(files)), ("data", _data(data)), ("stopped", plain(files.run.stop_reason))]
    rows += [
        ("trained", _trained(_result(files))),
        *((plain(f"test {name}"), value) for name, value in score_rows(test)),
    ]
    shown = (files.report / "index.html").is_file()
    if shown:
        rows.append(("report", f"{plain(files.report.absolute())} on {plain(files.run.host)}"))
    headline = f"**{_headline(test, data, ended)}**" + (f", see the [report]({report})" if shown else "")
    doubts = [f"Test images: {sentence}" for _, sentence in overlap_rows(test, seldom=True)]
    notices = [f"\n{plain(notice)}" for notice in [*doubts, *(data.get("notices") or ())]]
    table = [f"| {name} | {text} |" for name, text in rows if text]
    return "\n".join([headline, *notices, "", "| | |", "|---|---|", *table])


def plain(value: Any) -> str:
    """Return an arbitrary value as one line of text, with Markdown and HTML escaped."""
    line = printable(" ".join(str(value).split())[:LONGEST])
    return re.sub(r"([\\`*_{}\[\]()#+!|~<>&])", r"\\\1", line)


def _result(files: RunFiles) -> Mapping[str, Any]:
    return files.result or {}


def _headline(test: Mapping[str, Any], data: Mapping[str, Any], ended: str | None) -> str:
    if is_number(test.get("accuracy")):
        images = data.get("test")
        of = f" of {images:,} test images" if is_number(images) else ""
        return f"{100 * test['accuracy']:.2f} %{of} classified correctly"
    if is_number(test.get("loss")):
        return plain(f"Test {Scores(test).headline()}")
    return "In training" if ended is None else ended.capitalize()


def _model(files: RunFiles) -> str:
    result = _result(files)
    name = architecture(files.config) or result.get("model") or ""
    weights = (result.get("params") or {}).get("count")
    return plain(name) + (f", {weights:,} parameters" if is_number(weights) else "")


def _data(data: Mapping[str, Any]) -> str:
    uses = {"train": "for training", "validation": "for validation", "test": "for testing"}
    parts = [f"{data[part]:,} {use}" for part, use in uses.items() if is_number(data.get(part))]
    return f"{plain(data['name'])}: {', '.join(parts)}" if data.get("name") else ""


def _trained(result: Mapping[str, Any]) -> str:
    parts = [count(result[f"{unit}s"], unit) for unit in ("epoch", "step") if is_number(result.get(f"{unit}s"))]
    seconds = result.get("train_seconds")
    return ", ".join([*parts, *([f"{seconds:.1f} s"] if is_number(seconds) else [])])
