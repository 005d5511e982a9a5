"""Can a user type one word, and is every recipe a configuration that can be trained?"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from conftest import ALONE, ROOT, Script

from scripts import scoreboard
from trainer.errors import InkwellError, UsageError
from trainer.registry import models as registry

RECORDS = ROOT / "scripts" / "recipes" / "results"
RECIPES = sorted((ROOT / "scripts" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_what_it_costs_and_how_it_is_run(path, script: Script):
    first, *_ = path.read_text().splitlines()
    assert re.match(r"# [\d.]+ s of training, \d\d\.\d\d % of MNIST's test images", first)
    assert f"#   python scripts/fit.py --recipe {path.stem} {scoreboard.GOALS[path.stem].data}\n" in path.read_text()
    printed = script("fit.py", "--recipe", path.stem, "--print-config")
    assert printed.returncode == 0, printed.stderr
    resolved = tomllib.loads(printed.stdout)
    assert resolved["model"]["name"] == tomllib.loads(path.read_text())["model"]["name"]


def test_a_flag_wins_over_a_recipe_and_a_misspelt_one_gets_a_suggestion(script: Script):
    printed = script("fit.py", "--recipe", "fast", "--epochs", "7", "--print-config")
    assert tomllib.loads(printed.stdout)["training"]["epochs"] == 7
    wrong = script("fit.py", "--recipe", "fats")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        f"fit.py: error: unknown recipe 'fats'; did you mean 'fast'? (known: {', '.join(p.stem for p in RECIPES)})\n",
    )
    listed = script("fit.py", "--list", "recipes").stdout
    head, *rows = [line.split() for line in listed.partition("\n\n")[0].splitlines()]
    assert head == ["recipe", "model", "time", "test", "data"]
    assert sorted(name for name, *_ in rows) == [path.stem for path in RECIPES]
    published = {name: scoreboard.head(kept) for name, kept in scoreboard.read_records(RECORDS).recipes.items()}
    seconds = [float(published[name].split()[1]) for name, *_ in rows]
    assert seconds == sorted(seconds)
    assert all(f" {row[row.index('%') - 1]} % of" in published[row[0]] for row in rows)


def test_what_is_published_is_what_the_records_say():
    """RESULTS.md and the first lines of the recipes are generated from the committed records alone."""
    records = scoreboard.read_records(RECORDS)
    names = [entry.name for entry in registry.entries() if not entry.distribution and entry.name != "ensemble"]
    assert (ROOT / "RESULTS.md").read_text() == scoreboard.page(records, names)
    for path in RECIPES:
        if path.stem in records.recipes:
            assert path.read_text().partition("\n")[0] == scoreboard.head(records.recipes[path.stem])
    for kept in records.recipes.values():
        assert [one["seed"] for one in kept] == list(range(len(kept))), "seeds count from 0 and none is left out"


def test_every_record_is_of_the_recipe_as_it_stands(script: Script):
    """A recipe that is changed needs new records."""
    for name, kept in scoreboard.read_records(RECORDS).recipes.items():
        if (recipe := ROOT / "scripts" / "recipes" / f"{name}.toml").exists():
            for one in kept:
                _assert_within(tomllib.loads(recipe.read_text()), tomllib.loads(one["config"]))


def _assert_within(wanted: dict, found: dict) -> None:
    """Assert that a resolved configuration has every value of a recipe."""
    for key, value in wanted.items():
        if isinstance(value, dict):
            _assert_within(value, found[key])
        else:
            assert found[key] == value


def test_a_missed_goal_is_marked_and_damaged_records_are_reported(tmp_path: Path):
    kept = {
        **{"recipe": "tiny", "seed": 0, "model": "tiny9k", "parameters": 9_866, "epochs": 1, "train_seconds": 9.0},
        **{"val_accuracy": 0.99, "test_accuracy": 0.9949, "test_ece": 0.1, "test_nll": 0.1, "date": "", "machine": ""},
        **{"test_calibrated_ece": None, "test_calibrated_nll": None, "config": '[model]\nname = "tiny9k"'},
    }
    page = lambda **changes: scoreboard.page(scoreboard.Records({"tiny": [{**kept, **changes}]}, []), [])  # noqa: E731
    assert "**99.50 % in 600 s: missed**" in page()
    assert "| `tiny` | `tiny9k` | 9,866 |" in page()
    three = '[model]\nname = "ensemble"\nargs = { members = [{ name = "m3" }, { name = "m5" }, { name = "m3" }] }'
    assert "| 2 x `m3`, `m5` |" in page(config=three)
    assert "missed" not in page(test_accuracy=0.995).replace("Missed goals", "")
    assert "**99.50 % in 600 s: missed**" in page(test_accuracy=1, train_seconds=601)
    (tmp_path / "tiny-0.json").write_text("{")
    with pytest.raises(InkwellError, match=r"tiny-0\.json is damaged"):
        scoreboard.read_records(tmp_path)
    rows = [("fog", 0.9, True), ("spatter", 0.96, False)]
    rows = [{"corruption": name, "accuracy": share, "trained_for": like} for name, share, like in rows]
    strong = [{**kept, "recipe": "strong", "corruptions": rows}]
    written = scoreboard.page(scoreboard.Records({"strong": strong}, []), [])
    assert "mean of seed 0: **93.00 %** (goal: 93.0)" in written
    assert "something similar to each of them, except spatter" in written
    rows[0]["accuracy"] = 0.89
    assert "(goal: 93.0, **missed**)" in scoreboard.page(scoreboard.Records({"strong": strong}, []), [])
    zoo = scoreboard.Records({}, [{**kept, "recipe": "zoo"}])
    written = scoreboard.page(zoo, ["tiny9k", "lenet"])
    assert "| `tiny9k` | 9,866 | 9.0 | 99.00 | 99.49 |" in written
    assert "Not measured yet: `lenet`." in written
    with pytest.raises(UsageError, match="is not a run directory"):
        scoreboard.record(tmp_path, "tiny", "a machine")


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains(path, script: Script, tmp_path: Path):
    arguments = ("--data", "mnist5k", "--steps", "3", "--run-dir", "run", *ALONE)
    done = script("fit.py", "--recipe", path.stem, *arguments)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "result.json").exists()
