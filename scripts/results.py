"""Measure recipes and architectures and write RESULTS.md: `python scripts/results.py standard --data-dir data`."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

try:
    from scripts import scoreboard
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say, show
    from trainer.errors import InkwellError, unknown
    from trainer.registry import models as registry
    from trainer.runs.files import RESULT
    from trainer.text import program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "scripts" / "recipes"
RECORDS = RECIPES / "results"
PAGE = ROOT / "RESULTS.md"


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Train recipes with seeds 0 to N - 1, keep a record of each run, and write RESULTS.md.")
    p.add_argument("recipes", nargs="*", metavar="RECIPE", help="recipes to train, or `zoo` for architectures")
    p.add_argument("--models", nargs="+", metavar="NAME", help="architectures that `zoo` trains (default: all)")
    p.add_argument("--seeds", type=int, default=5, metavar="N", help="number of seeds, recorded or not (default: 5)")
    p.add_argument("--data-dir", default="data", metavar="DIR", help="folder of downloaded data (default: data)")
    p.add_argument(
        "--runs", type=Path, default=Path("runs/results"), metavar="DIR", help="folder for runs (default: runs/results)"
    )
    return p


def main() -> int:
    """Train and record as the command line asks; return 1 if a run is damaged."""
    args = parser().parse()
    for recipe in args.recipes:
        if recipe not in (known := [*scoreboard.GOALS, scoreboard.ZOO]):
            raise unknown("recipe", recipe, known)
    failed = 0
    for recipe in args.recipes:
        for which in whole(recipe, args.seeds, args.models):
            if not scoreboard.place(RECORDS, recipe, which).exists():
                failed += not keep(recipe, train(recipe, which, args.runs, args.data_dir))
    write()
    return int(failed > 0)


def architectures() -> list[str]:
    """Return the names of the models that come with Inkwell and do not consist of others."""
    return [entry.name for entry in registry.entries() if not entry.distribution and entry.name != "ensemble"]


def whole(recipe: str, seeds: int, chosen: list[str] | None) -> Iterable[int | str]:
    """Return everything to be measured for a recipe: its seeds, or architectures."""
    if recipe == scoreboard.ZOO:
        return chosen or architectures()
    return range(1 if scoreboard.GOALS[recipe].runs else seeds)


def train(recipe: str, which: int | str, runs: Path, data_dir: str) -> Path:
    """Train a recipe with a seed, or an architecture of the zoo, resuming if possible; return the run directory.

    Raises:
        InkwellError: If training failed or was stopped.
    """
    run = runs / f"{recipe}-{which}"
    if not (run / RESULT).exists():
        call(run, making(recipe, which, run, data_dir))
    if recipe != scoreboard.ZOO and scoreboard.GOALS[recipe].robustness and not scoreboard.is_examined(run):
        call(run, [ROOT / "scripts" / "evaluate.py", run, "--robustness"])
    return run


def call(run: Path, command: list[Any]) -> None:
    """Run a script.

    Raises:
        InkwellError: If it failed or was stopped.
    """
    if status := subprocess.run([sys.executable, *map(str, command)]).returncode:
        raise InkwellError(f"{run.name} ended with status {status}; run the same command again to continue")


def making(recipe: str, which: int | str, run: Path, data_dir: str) -> list[Any]:
    """Return the command that makes a run: train it, resume it, or combine it from others."""
    place = ["--resume" if run.exists() else "--run-dir", run]
    fit = [ROOT / "scripts" / "fit.py", *place, "--data-dir", data_dir]
    if recipe == scoreboard.ZOO:
        return [*fit, "--model", which, "--data", "mnist", "--epochs", scoreboard.ZOO_EPOCHS, "--seed", 0]
    goal = scoreboard.GOALS[recipe]
    if goal.runs:
        return [
            ROOT / "scripts" / "ensemble.py",
            *(run.parent / name for name in goal.runs),
            "--shift",
            1,
            "--run-dir",
            run,
        ]
    return [*fit, "--recipe", recipe, *goal.data.split(), "--seed", which]


def keep(recipe: str, run: Path) -> bool:
    """Keep a record of a finished run; return False if it is damaged, so that the others are still trained."""
    from scripts.benchmarks.machine import describe

    machine = describe()
    try:
        kept = scoreboard.record(run, recipe, f"{machine['cores']} cores of {machine['cpu']}")
    except InkwellError as error:
        say(f"{program()}: skipped: {error}")
        return False
    say(f"{scoreboard.write_record(RECORDS, kept)}: {100 * kept['test_accuracy']:.2f} %")
    return True


def write() -> None:
    """Write RESULTS.md and the first line of every recipe that has records."""
    records = scoreboard.read_records(RECORDS)
    PAGE.write_text(scoreboard.page(records, architectures()), encoding="utf-8")
    for recipe, kept in records.recipes.items():
        file = RECIPES / f"{recipe}.toml"
        if file.exists():
            rest = file.read_text(encoding="utf-8").partition("\n")[2]
            file.write_text(f"{scoreboard.head(kept)}\n{rest}", encoding="utf-8")
    show(str(PAGE))


if __name__ == "__main__":
    run_script(main)
