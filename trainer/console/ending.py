"""The end of a run on the terminal: the headline first, then details, then the next steps."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from trainer.console.style import bold, is_terminal, link
from trainer.console.tables import overlap_rows, row_counts, scores_line
from trainer.console.wrapping import GLUE, entries, listed, width, wrapped
from trainer.result import Best, Scores
from trainer.runs.files import REPORT, RunFiles, is_run
from trainer.text import command, count, printable

DIGITS = [str(digit) for digit in range(10)]
PARTS = {"train": "training", "val": "validation", "test": "test"}
"""Purposes of images, by the key of their number in `result.json`."""
ENTRIES = 5
"""Entries of the time ledger that are shown, the largest."""


def ending(
    result: Mapping[str, Any], data: Mapping[str, Any], run_dir: Path, steps: Iterable[tuple[str, str]] = ()
) -> str:
    """Return the end of a run as lines of text, with colours and links where stdout is a terminal.

    Args:
        result: The content of `result.json`.
        data: What is known of the data; see `Data.describe`.
        run_dir: The run directory.
        steps: Labels and commands for the next steps; see `next_steps`.
    """
    first, *rest = wrapped(headline(result), hanging="  ")
    lines = [bold(first), *rest, *entries([*_rows(result, data, run_dir), *_notices(data)])]
    return "\n".join([*lines, *next_lines(steps)])


def headline(result: Mapping[str, Any]) -> str:
    """Return the one number that counts, such as `99.31 % of 10,000 test images (95 %: 99.13 to 99.45)`.

    That is the accuracy on the test images, else on the validation images. Where a task has no accuracy, it is the loss
    and the task's own numbers.
    """
    for part, numbers in (("test", result["test"]), ("validation", Best(result["best"]).validation)):
        images = result["data"]["val" if part == "validation" else part]
        scores = Scores(numbers)
        if scores.accuracy is not None:
            return accuracy_of(scores.accuracy, images, f"{part} images") + scores.balanced
        if said := scores.headline():
            return f"{part} {said}{f' on {images:,} images' if images else ''}"
    return f"trained for {count(result['epochs'], 'epoch')}; there were no images to validate or test on"


def accuracy_of(accuracy: float, images: int | None, what: str) -> str:
    """Return an accuracy with its 95 % interval; without it where the number of images is unknown.

    Args:
        accuracy: From 0 to 1.
        images: Number of images.
        what: Name for them, such as `test images`.
    """
    from trainer.evaluation.statistics import wilson_interval  # imports NumPy

    if not images:
        return f"{100 * accuracy:.2f} % of the {what}"
    low, high = wilson_interval(round(accuracy * images), images)
    return f"{100 * accuracy:.2f} % of {images:,} {what} (95 %: {100 * low:.2f} to {100 * high:.2f})"


def next_steps(run_dir: Path, data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the next steps after a finished run: labels, and pages to open or commands to run.

    Args:
        run_dir: The run directory.
        data: What is known of the data; the page to draw on reads digits, and only images are read from files.
    """
    page, run = run_dir / REPORT / "index.html", shlex.quote(str(run_dir))
    report = ("report", str(page)) if page.is_file() else ("report", f"{command('report')} {run}")
    shape = list(data.get("input_shape") or ())
    draws = data.get("class_names") == DIGITS and shape[2:] == [1] and shape[:1] == shape[1:2]
    use = ("draw", f"{command('draw')} --run {run}") if draws else ("predict", f"{command('predict')} FILE --run {run}")
    classifies = not is_run(run_dir) or RunFiles(run_dir).run.classifies
    reads = classifies and "input_shapes" not in data
    return [report, *([use] if reads else []), ("evaluate", f"{command('evaluate')} {run}")]


def next_lines(steps: Iterable[tuple[str, str]]) -> list[str]:
    """Return the next steps as lines after an empty one; each command stays on one line, to be pasted."""
    rows = list(steps)
    column = max((len(label) for label, _ in rows), default=0)
    return [*(["", bold("next:")] if rows else []), *(f"  {label:<{column}}  {_opened(text)}" for label, text in rows)]


def _rows(result: Mapping[str, Any], data: Mapping[str, Any], run_dir: Path) -> list[tuple[str, str]]:
    best, sizes, skipped = result["best"], result["data"], result["skipped_steps"]
    said = Best(best).validation.headline()
    validated = f", validation {said}" if said else ""
    trained = [count(result["epochs"], "epoch"), count(result["steps"], "step"), f"{result['train_seconds']:.1f} s"]
    trained.append(f"{result['images_per_second']:,.0f} images/s")
    total, spent = f"{result['wall_seconds']:.1f} s in total".replace(" ", GLUE), listed(_largest(result["time"]))
    return [
        *([("best epoch", f"{best['epoch']} of {result['epochs']}{validated}")] if result["steps"] else []),
        ("run directory", str(run_dir)),
        *([("test", scores_line(result["test"]))] if result["test"] else []),
        *overlap_rows(result["test"], seldom=True),
        ("model", f"{result['model']}, {result['params']['count']:,} parameters"),
        ("data", row_counts({**data, "name": sizes["name"]}, {part: sizes[key] for key, part in PARTS.items()})),
        *([("training", listed(trained))] if result["steps"] else []),
        *([("stopped early", result["stop_reason"])] if result["stop_reason"] else []),
        *([("skipped steps", ", ".join(map(str, skipped)))] if skipped else []),
        ("time breakdown", f"{total}: {spent}" if spent else total),
        *([("bottleneck", result["bottleneck"])] if result["bottleneck"] else []),
    ]


def _largest(seconds: Mapping[str, float]) -> list[str]:
    """Return the largest entries of a time ledger; a plugin goes by its name."""
    largest = sorted(seconds.items(), key=lambda entry: -entry[1])[:ENTRIES]
    return [f"{name.removeprefix('plugins.').replace('_', ' ')} {spent:.1f} s" for name, spent in largest]


def _notices(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the beginning of each notice before training, which may have left the screen by now: one line each."""
    room = width() - len("time breakdown  ")
    return [("note", shorten(printable(notice), room, placeholder=" …")) for notice in data.get("notices") or ()]


def _opened(text: str) -> str:
    """Return a text, as a link if it is a page or an address, whose query a terminal does not show."""
    if text.startswith(("http://", "https://")):
        return link(printable(text.partition("?")[0] if is_terminal() else text), text)
    return link(printable(text), Path(text).absolute().as_uri()) if text.endswith(".html") else printable(text)
