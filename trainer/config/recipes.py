"""Recipes: configurations with a name, each a TOML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.config.merge import read_toml
from trainer.errors import unknown


def read_recipe(folder: Path, name: str) -> dict[str, Any]:
    """Return the nested values of a recipe.

    Args:
        folder: The folder of the recipes, one file `<name>.toml` each.
        name: Name of the recipe.

    Raises:
        UsageError: If there is no recipe of this name, or its file is not valid TOML.
    """
    known = recipe_names(folder)
    if name not in known:
        raise unknown("recipe", name, known)
    return read_toml(folder / f"{name}.toml")


def recipe_names(folder: Path) -> list[str]:
    """Return the names of the recipes in a folder, in alphabetical order."""
    return sorted(file.stem for file in folder.glob("*.toml"))
