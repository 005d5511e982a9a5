"""The result of a run on a card: its numbers, and how well each class is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from trainer.display.html import bar, definitions, place, side_by_side, table
from trainer.text import count

CLASSES = 15
"""Classes that the table has at most: those that are read worst."""
CONFUSED = 3
"""Confusions that are named."""


def outcome(result: Mapping[str, Any], names: Sequence[str] = ()) -> Markup:
    """Return what came out of a run, without its headline.

    Args:
        result: The content of `result.json`.
        names: Names of the classes; by default their numbers.
    """
    return side_by_side(definitions(_rows(result, names)), _classes(result["test"].get("per_class") or (), names))


def _rows(result: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    best, test = result["best"], result["test"]
    yield "model", f"{result['model']}, {count(result['params']['count'], 'parameter')}"
    yield "data", str(result["data"]["name"] or "unnamed")
    trained = f"{count(result['epochs'], 'epoch')}, {count(result['steps'], 'step')}, {result['train_seconds']:.1f} s"
    yield "trained", f"{trained} at {result['images_per_second']:,.0f} images/s"
    accuracy, loss = best.get("val_accuracy"), best.get("val_loss")
    validated = f", validation loss {loss:.4f}" if loss is not None else ""
    if accuracy is not None:
        validated = f", validation accuracy {100 * accuracy:.2f} %"
    yield "best", f"epoch {best['epoch']}{validated}"
    if result["stop_reason"]:
        yield "stopped", result["stop_reason"]
    if "ece" in test:
        yield "calibration error", f"{100 * test['ece']:.2f} %"
    if confused := _confusions(test.get("confusion") or (), names):
        yield "most often confused", confused
    if result["run_dir"]:
        yield "run directory", place(result["run_dir"])


def _confusions(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Return the classes that are most often taken for others."""
    wrong = [(times, k, j) for k, row in enumerate(confusion) for j, times in enumerate(row) if j != k and times]
    worst = sorted(wrong, key=lambda each: (-each[0], *each[1:]))[:CONFUSED]
    return ", ".join(f"{_name(k, names)} as {_name(j, names)} ({times:,})" for times, k, j in worst)


def _classes(per_class: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Markup:
    """Return a table with a row per class, those of the lowest recall if there are many."""
    there = [(k, scores) for k, scores in enumerate(per_class) if scores["support"]]
    worst = sorted(there, key=lambda each: each[1]["recall"])[:CLASSES]
    rows = [
        [_name(k, names), f"{s['support']:,}", _percent(s["recall"]), _percent(s["precision"]), bar(s["recall"], "6em")]
        for k, s in sorted(worst, key=lambda each: each[0])
    ]
    return table(["class", "images", "recall", "precision", ""], rows) if rows else Markup("")


def _name(k: int, names: Sequence[str]) -> str:
    return str(names[k]) if k < len(names) else str(k)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
