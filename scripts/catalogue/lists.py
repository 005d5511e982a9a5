"""What `--list` prints: what can be listed, and the names of one kind with a line each."""

from __future__ import annotations

from scripts.catalogue.kinds import KINDS
from trainer.console.wrapping import entries, wrapped
from trainer.text import program


def kinds_of_names() -> str:
    """Return what `--list` takes, a line each."""
    rows = [(word, f"{kind.about} ({kind.flag})") for word, kind in KINDS.items()]
    lines = [f"usage: {program()} --list KIND", "", *entries(rows, "  "), ""]
    return "\n".join([*lines, *wrapped(f"{program()} --help NAME explains any of these names and its arguments.")])


def names_of(word: str) -> str:
    """Return the names of a kind with a line each; recipes with what they cost and reach.

    Args:
        word: A key of `KINDS`.
    """
    if word == "recipes":
        from scripts.catalogue.recipes import table

        return table()
    return "\n".join(entries((entry.name, entry.help) for entry in KINDS[word].entries()))
