"""Next steps after a run: the numbers that deserve a look, and commands to copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plugins.report.contents import Contents
from plugins.report.rendering import in_shell, percent
from trainer.text import command, count, printable

FEW_IMAGES = 2000
"""Test images below which the interval of an accuracy is wide."""


@dataclass(frozen=True)
class Command:
    """A command to copy.

    Attributes:
        purpose: Its purpose, without a full stop.
        line: The command, quoted for a shell.
    """

    purpose: str
    line: str


def commands(contents: Contents) -> Iterator[Command]:
    """Return commands about a run, the most useful first."""
    run = in_shell(contents.folder)
    if not contents.result:
        if contents.config_text and contents.status not in ("running", "elsewhere"):
            yield Command("Resume this run", f"{command('fit')} --resume {run}")
        return
    if contents.test.found:
        if contents.reads_handwriting:
            yield Command("Draw digits", f"{command('draw')} --run {run}")
        yield Command("Read pictures", f"{command('predict')} --run {run} image.png")
        yield Command("Evaluate on your own images", f"{command('evaluate')} {run} --data FOLDER")
        if not (contents.test.corruptions or contents.test.variations):
            yield Command("Measure robustness", f"{command('evaluate')} {run} --robustness")
    if (contents.config.get("training") or {}).get("epochs") and contents.result.get("steps"):
        config = in_shell(contents.folder / "config.toml")
        yield Command("Train again, for longer", f"{command('fit')} --config {config} --epochs {_longer(contents)}")
    if contents.classifies:
        yield Command("Export for serving", f"{command('export')} --run {run} --format mlflow exported")


def remarks(contents: Contents) -> Iterator[str]:
    """Return sentences about the most notable numbers of a run."""
    yield from _classes(contents)
    best, epochs = (contents.result.get("best") or {}).get("epoch"), contents.result.get("epochs")
    if best and epochs and best == epochs > 1 and not contents.result.get("stop_reason"):
        yield f"The best epoch was the last of {epochs}: longer training may help."
    if contents.test.found and (found := contents.test.found["accuracy"])["images"] < FEW_IMAGES:
        images, width = count(found["images"], "test image"), 100 * (found["high"] - found["low"])
        yield f"With {images}, the 95 % interval of the accuracy is {width:.1f} points wide; more images narrow it."


def _classes(contents: Contents) -> Iterator[str]:
    if hardest := contents.test.hardest:
        worst = hardest[0]
        found, low, high = (percent(worst[key], 1) for key in ("recall", "recall_low", "recall_high"))
        images = f"{worst['right']:,} of {count(worst['images'], 'image')}"
        yield f"Class {printable(worst['class'])} has the lowest recall: {images} ({found}; 95 %: {low} to {high})."
    if (confusions := contents.test.confusions) and confusions[0].count > 1:
        pair, wrong = confusions[0], contents.test.wrong
        names = f"{printable(pair.true)} read as {printable(pair.read)}"
        yield f"The most frequent error is {names}: {pair.count:,} of {count(wrong, 'error')}."


def _longer(contents: Contents) -> int:
    return 2 * int(contents.result.get("epochs") or 1)
