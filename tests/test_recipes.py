"""Can a user type one word, and is every recipe a configuration that can be trained?"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT, SILENT, Script

RECIPES = sorted((ROOT / "scripts" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_says_what_it_costs_and_how_it_is_run(path, script: Script):
    first, *_ = path.read_text().splitlines()
    assert re.match(r"# [\d.]+ s(econds)? of training, \d\d\.\d\d % of MNIST's test images", first)
    assert f"#   python scripts/fit.py --recipe {path.stem} --data mnist" in path.read_text()
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
        "fit.py: error: unknown recipe 'fats'; did you mean 'fast'? (known: fast, instant)\n",
    )
    listed = script("fit.py", "--list", "recipes").stdout
    assert [line.split()[0] for line in listed.splitlines()] == [path.stem for path in RECIPES]


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains(path, script: Script, tmp_path: Path):
    arguments = ("--data", "mnist5k", "--steps", "3", "--run-dir", "run", *SILENT)
    done = script("fit.py", "--recipe", path.stem, *arguments)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "result.json").exists()
