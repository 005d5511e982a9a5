"""Numbers about a model as tables of plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from trainer.console.style import is_terminal
from trainer.console.wrapping import entries, listed
from trainer.result import own_scores
from trainer.text import in_line, printable

SCORES = {"NLL": "nll", "Brier score": "brier"}
"""Scores that say how good probabilities are, as they are labelled and as `assess` names them."""


def score_rows(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows of scores on labelled data: the known ones by their names, then a task's own, then the loss."""
    names = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1", "ece": "ECE"}
    rows = [(label, _percent(numbers[name])) for name, label in names.items() if name in numbers]
    if "ece" in numbers and "calibrated_ece" in numbers:
        rows[-1] = "ECE", f"{_percent(numbers['ece'])} (calibrated {_percent(numbers['calibrated_ece'])})"
    rows += [(in_line(name.replace("_", " ")), f"{value:.4f}") for name, value in own_scores(numbers).items()]
    loss = numbers.get("loss")
    return [*rows, ("loss", "-" if loss is None else f"{loss:.4f}")] if "loss" in numbers else rows


def scores_line(numbers: Mapping[str, Any]) -> str:
    """Return the rows of `score_rows` in one line."""
    return listed(f"{label} {value}" for label, value in score_rows(numbers))


def overlap_rows(found: Mapping[str, Any], seldom: bool = False) -> list[tuple[str, str]]:
    """Return the row on images that were also trained on; none where that is unknown.

    Args:
        found: Numbers with those of `trainer.evaluation.overlap` under `overlap`.
        seldom: Leave the row out if no image was.
    """
    overlap = found.get("overlap")
    return [] if not overlap or (seldom and not overlap["trained_on"]) else [("overlap", overlap["sentence"])]


def row_counts(data: Mapping[str, Any], counts: Mapping[str, int | None]) -> str:
    """Return the name of data and how many rows they have, such as `MNIST: 55,000 training, 10,000 test images`.

    Args:
        data: What is known of the data; see `Data.describe`.
        counts: Number of rows by what they are for; None where that is unknown.
    """
    known = [f"{number:,} {part}" for part, number in counts.items() if number is not None]
    name, noun = str(data.get("name") or "unnamed data"), "images" if data.get("input_shape") else "rows"
    return f"{name}: {', '.join(known)} {noun}" if known else name


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Return rows of label and value, aligned: a terminal gets them wrapped, a program one line each."""
    if is_terminal():
        return "\n".join(entries(rows))
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {printable(value)}" for label, value in rows)


def evaluation_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the rows on the certainty of the numbers; see `trainer.evaluation.assessment.assess`."""
    corrected, calibration = found["corrected"], found["calibration"]
    doubts = "not available: only MNIST's test images have a list of wrong labels"
    if corrected:
        doubts = f"{_share(corrected)}, without the {corrected['set_aside']} known wrong labels ({corrected['source']})"
    kinds = [calibration[kind] for kind in ("as_they_are", "calibrated") if kind in calibration]
    return [
        ("accuracy", _share(found["accuracy"])),
        *overlap_rows(found),
        ("corrected", doubts),
        *((label, _calibrated([f"{kind[key]:.4f}" for kind in kinds])) for label, key in SCORES.items()),
    ]


def _share(numbers: Mapping[str, Any]) -> str:
    from trainer.evaluation.statistics import Share  # imports NumPy

    share = Share(**{each.name: numbers[each.name] for each in fields(Share)})
    return f"{share}, {share.images - share.right:,} wrong"


def _calibrated(values: list[str]) -> str:
    """Return a value as it is, and the calibrated one in parentheses if there is one."""
    return f"{values[0]} (calibrated {values[1]})" if len(values) > 1 else values[0]


def robustness_table(rows: Sequence[Mapping[str, Any]], means: Mapping[str, Any]) -> str:
    """Return the accuracy under each corruption of MNIST-C, one per line, and the means.

    Args:
        rows: What `trainer.evaluation.robustness.measure.corrupted` yields.
        means: What `trainer.evaluation.robustness.measure.summary` says of them.
    """
    lines = [f"{'corruption':<16}  accuracy        95 % interval       ECE  in training"]
    for row in rows:
        name, interval = printable(row["corruption"]), f"{_percent(row['low'])} to {_percent(row['high'])}"
        lines.append(
            f"{name:<16}  {_percent(row['accuracy']):>8}  {interval:>19}  {_percent(row['ece']):>8}"
            f"  {'similar' if row['trained_for'] else 'never seen'}"
        )
    for name, label in (("all", "mean"), ("trained_for", "mean, similar"), ("never_seen", "mean, never seen")):
        lines.append(f"{label:<16}  {_percent(means[name]['mean']):>8}  {len(means[name]['names'])} corruptions")
    return "\n".join(lines)


def class_table(per_class: Sequence[Mapping[str, Any]]) -> str:
    """Return precision, recall with its 95 % interval, and the most frequent confusion of each class, one per line.

    Args:
        per_class: As in `trainer.evaluation.assessment.assess`.
    """
    names = [printable(scores["class"]) for scores in per_class]
    width = max(5, *map(len, names))
    lines = [f"{'class':<{width}}  images  precision    recall        95 % interval  confused with (times)"]
    for name, scores in zip(names, per_class, strict=True):
        interval = f"{_percent(scores['recall_low'])} to {_percent(scores['recall_high'])}"
        numbers = f"{_percent(scores['precision']):>9}  {_percent(scores['recall']):>8}  {interval:>19}"
        other = scores["taken_for"]
        taken = f"  {names[other]} ({scores['taken_for_times']})" if other is not None else ""
        lines.append(f"{name:<{width}}  {scores['images']:>6,}  {numbers}{taken}")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
