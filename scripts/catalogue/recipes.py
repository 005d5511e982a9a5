"""Cost and accuracy of the recipes, from the records of `scripts.scoreboard`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from scripts import scoreboard
from scripts.catalogue.kinds import RECIPES
from trainer.config.merge import read_toml
from trainer.config.recipes import recipe_names
from trainer.console.listing import shown
from trainer.console.wrapping import wrapped

HEADS = ["recipe", "model", "time", "test", "data"]
NOTE = (
    "time: minutes of training on two cores, the shortest of several seeds; test: accuracy on MNIST's 10,000 test "
    "images, the mean of the seeds; RESULTS.md has every run"
)


def table() -> str:
    """Return the recipes as a table, the fastest first."""
    rows = sorted(map(measured, recipe_names(RECIPES)), key=_seconds)
    lines = [HEADS, *([shown(key, value) for key, value in row.items()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        f"{name:<{widths[0]}}  {net:<{widths[1]}}  {seconds:>{widths[2]}}  {accuracy:>{widths[3]}}  {data}"
        for name, net, seconds, accuracy, data in lines
    ]
    return "\n".join([*text, "", *wrapped(NOTE)])


def measured(name: str) -> dict[str, Any]:
    """Return the mean accuracy and the shortest time in the records of a recipe, None without any; and its data."""
    kept, goal = _records().get(name, ()), scoreboard.GOALS.get(name)
    nets = scoreboard.networks(kept[0]) if kept else {read_toml(RECIPES / f"{name}.toml")["model"]["name"]: 1}
    return {
        "recipe": name,
        "model": ", ".join(f"{times} x {net}" if times > 1 else net for net, times in nets.items()),
        "train_seconds": min((one["train_seconds"] for one in kept), default=None),
        "test_accuracy": statistics.mean(one["test_accuracy"] for one in kept) if kept else None,
        "data": goal.data if goal is not None else "",
    }


@cache
def _records() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    return scoreboard.read_records(RECIPES / "results").recipes


def _seconds(row: Mapping[str, Any]) -> float:
    return math.inf if row["train_seconds"] is None else row["train_seconds"]
