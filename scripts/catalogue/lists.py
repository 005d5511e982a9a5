"""The output of `--list`: the kinds of names, and the names of one kind with a line each."""

from __future__ import annotations

from scripts.catalogue.kinds import KINDS
from trainer.console.wrapping import entries, wrapped
from trainer.text import program


def kinds_of_names() -> str:
    """Return the kinds of names, one per line."""
    rows = [(word, f"{kind.about} ({kind.flag})") for word, kind in KINDS.items()]
    lines = [f"usage: {program()} --list KIND", "", *entries(rows, "  "), ""]
    return "\n".join([*lines, *wrapped(f"{program()} --help NAME explains any of these names and its arguments.")])


def names_of(word: str) -> str:
    """Return the names of a kind with a line each; recipes with their cost and accuracy.

    Args:
        word: A key of `KINDS`.
    """
    if word == "recipes":
        from scripts.catalogue.recipes import table

        return table()
    return "\n".join(entries((entry.name, entry.help) for entry in KINDS[word].entries()))
