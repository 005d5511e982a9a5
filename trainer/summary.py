"""A run's result as a table of plain text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def result_table(result: Mapping[str, Any]) -> str:
    """Return the lines that a person wants to see at the end of a run."""
    data, best, skipped = result["data"], result["best"], result["skipped_steps"]
    trained = f"{count(result['epochs'], 'epoch')}, {count(result['steps'], 'step')}"
    rows = [
        ("model", f"{result['model']}, {result['params']['count']:,} parameters"),
        ("data", f"{data['name']}: {data['train']:,} to train, {data['val']:,} to validate, {data['test']:,} to test"),
        ("trained", f"{trained}, {result['images_per_second']:,.0f} images/s"),
        ("stopped", result["stop_reason"] or "as planned"),
        *([("skipped", f"step {', '.join(map(str, skipped))}")] if skipped else []),
        ("best", f"epoch {best['epoch']}, validation accuracy {_percent(best['val_accuracy'])}"),
        *(("test " + label, value) for label, value in score_rows(result["test"])),
        ("time", f"{result['train_seconds']:.1f} s of training, {result['wall_seconds']:.1f} s in all"),
        ("spent on", _largest(result["time"])),
        *([("held up", result["bottleneck"])] if result["bottleneck"] else []),
    ]
    return table(rows)


def _largest(seconds: Mapping[str, float]) -> str:
    """Return the five largest entries of a time ledger; a plugin goes by its name."""
    entries = sorted(seconds.items(), key=lambda entry: -entry[1])[:5]
    return ", ".join(f"{name.removeprefix('plugins.').replace('_', ' ')} {spent:.1f} s" for name, spent in entries)


def score_rows(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows about a set of labelled images; numbers that a task does not give are left out."""
    names = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1", "ece": "ECE"}
    rows = [(label, _percent(numbers[name])) for name, label in names.items() if name in numbers]
    if "calibrated_ece" in numbers:
        rows[-1] = "ECE", f"{_percent(numbers['ece'])}, calibrated {_percent(numbers['calibrated_ece'])}"
    return [*rows, ("loss", f"{numbers['loss']:.4f}")] if "loss" in numbers else rows


def count(number: int, thing: str) -> str:
    """Return a number of things, in the singular or the plural."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def in_bytes(size: int) -> str:
    """Return a size in decimal units, such as `1.2 MB`."""
    unit = max(0, min(4, int(math.log10(max(size, 1)) // 3)))
    return f"{size / 1000**unit:.{1 if unit else 0}f} {('bytes', 'kB', 'MB', 'GB', 'TB')[unit]}"


def table(rows: list[tuple[str, str]]) -> str:
    """Return rows of label and value, aligned."""
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)


def class_table(per_class: Sequence[Mapping[str, float]], names: Sequence[str]) -> str:
    """Return precision, recall, F1 and number of images of each class, a line each."""
    width = max(5, *(len(name) for name in names))
    lines = [f"{'class':<{width}}  precision    recall        F1  images"]
    for name, scores in zip(names, per_class, strict=True):
        numbers = "  ".join(f"{_percent(scores[key]):>8}" for key in ("precision", "recall", "f1"))
        lines.append(f"{name:<{width}}  {numbers:>29}  {scores['support']:>6,.0f}")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
