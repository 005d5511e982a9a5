"""Recipes: configurations with a name, each a TOML file whose first comment says what it costs and reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.config.merge import read_toml
from trainer.errors import unknown


def read_recipe(folder: Path, name: str) -> dict[str, Any]:
    """Return the nested values of a recipe.

    Args:
        folder: Where recipes lie, one file `<name>.toml` each.
        name: Its name.

    Raises:
        UsageError: If there is none of this name, or it is no TOML.
    """
    known = [known for known, _ in list_recipes(folder)]
    if name not in known:
        raise unknown("recipe", name, known)
    return read_toml(folder / f"{name}.toml")


def list_recipes(folder: Path) -> list[tuple[str, str]]:
    """Return name and first comment of every recipe in `folder`, in the order of their names."""
    files = sorted(folder.glob("*.toml"))
    return [(file.stem, file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")) for file in files]
