"""Measure recipes seed by seed and write RESULTS.md: `python scripts/results.py standard --seeds 5 --data-dir data`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

try:
    from trainer import scoreboard
    from trainer.cli import Parser, run_script
    from trainer.errors import InkwellError, UsageError, unknown
    from trainer.rundir import RESULT
except ModuleNotFoundError as error:
    sys.exit(f"results.py: Inkwell is not installed (no {error.name}); run in its folder: python -m pip install -e .")

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "scripts" / "recipes"
RECORDS = RECIPES / "results"
PAGE = ROOT / "RESULTS.md"


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Train recipes with seeds 0 to n - 1, keep a record of each, and write RESULTS.md.")
    p.add_argument("recipes", nargs="*", metavar="RECIPE", help="what to train; none: only write the page")
    p.add_argument("--seeds", type=int, default=5, metavar="N", help="how many, those that have a record included (5)")
    p.add_argument("--data-dir", default="data", metavar="DIR", help="where data lie (data)")
    p.add_argument(
        "--runs", type=Path, default=Path("runs/results"), metavar="DIR", help="where runs go (runs/results)"
    )
    p.add_argument("--keep", nargs=2, metavar=("RECIPE", "RUN"), help="keep a record of a run that is finished")
    return p


def main() -> int:
    """Measure as the command line says; return the exit status."""
    args = parser().parse()
    for recipe in [*args.recipes, *(args.keep or [])[:1]]:
        if recipe not in scoreboard.GOALS:
            raise unknown("recipe", recipe, scoreboard.GOALS)
    if args.keep:
        keep(args.keep[0], Path(args.keep[1]))
    for recipe in args.recipes:
        for seed in range(args.seeds):
            if not scoreboard.place(RECORDS, recipe, seed).exists():
                keep(recipe, train(recipe, seed, args.runs, args.data_dir))
    write()
    return 0


def train(recipe: str, seed: int, runs: Path, data_dir: str) -> Path:
    """Train a recipe, or go on with a run that was stopped; return its directory.

    Raises:
        UsageError: If the recipe is not one that is trained.
        InkwellError: If training failed, or was stopped.
    """
    goal, run = scoreboard.GOALS[recipe], runs / f"{recipe}-{seed}"
    if goal.seconds is None:
        raise UsageError(f"{recipe} is made of trained runs: scripts/ensemble.py, then --keep {recipe} RUN")
    if not (run / RESULT).exists():
        place = ["--resume", run] if run.exists() else ["--run-dir", run]
        flags = ["--recipe", recipe, *goal.data.split(), "--data-dir", data_dir, "--seed", seed, *place]
        command = [sys.executable, ROOT / "scripts" / "fit.py", *flags]
        if status := subprocess.run(list(map(str, command))).returncode:
            raise InkwellError(f"{recipe}, seed {seed}: fit.py ended with status {status}; the same command goes on")
    return run


def keep(recipe: str, run: Path) -> None:
    """Keep a record of a finished run."""
    from benchmarks.machine import facts

    machine = facts()
    kept = scoreboard.record(run, recipe, f"{machine['cores']} cores of {machine['cpu']}")
    print(f"{scoreboard.write_record(RECORDS, kept)}: {100 * kept['test_accuracy']:.2f} %", file=sys.stderr)


def write() -> None:
    """Write RESULTS.md and the first line of every recipe that has records."""
    records = scoreboard.read_records(RECORDS)
    PAGE.write_text(scoreboard.page(records), encoding="utf-8")
    for recipe, kept in records.items():
        file = RECIPES / f"{recipe}.toml"
        if file.exists():
            rest = file.read_text(encoding="utf-8").partition("\n")[2]
            file.write_text(f"{scoreboard.head(kept)}\n{rest}", encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    run_script(main)
