"""What `--help NAME` prints: what a name stands for, its arguments, and the flags that set them."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Mapping
from typing import Any

import tomli_w

from scripts.catalogue.kinds import KINDS, RECIPES, Kind
from scripts.catalogue.recipes import measured
from scripts.catalogue.source import Argument, Documented, documented
from trainer.console.listing import shown
from trainer.console.style import bold
from trainer.console.wrapping import entries, wrapped, wrapped_after
from trainer.data.augmentation.strength import STRENGTHS, Strength
from trainer.errors import UsageError, did_you_mean
from trainer.registry import Entry
from trainer.text import command, in_line


def explain(name: str) -> str:
    """Return a page about everything of a name: a plugin and a task may share one.

    Raises:
        UsageError: If nothing has this name, with the nearest one.
    """
    known = {(kind, entry.name): entry for kind in KINDS.values() for entry in kind.entries()}
    found = [(kind, entry) for (kind, _), entry in known.items() if entry.name == name]
    if not found:
        near = did_you_mean(name, dict.fromkeys(other for _, other in known))
        kinds = ", ".join(kind.noun for kind in KINDS.values())
        raise UsageError(f"--help {in_line(name)}: nothing has this name{near} (kinds of names: {kinds}; see --list)")
    return "\n\n".join("\n".join(_page(kind, entry)) for kind, entry in found)


def _page(kind: Kind, entry: Entry) -> list[str]:
    first, *rest = wrapped(f"{entry.name} ({kind.noun}){': ' if entry.help else ''}{entry.help}", hanging="  ")
    lines = [bold(first), *rest]
    if kind.noun == "recipe":
        return [*lines, *_recipe(entry.name)]
    about = _documented(entry)
    for paragraph in about.paragraphs if kind.noun != "augmentation" else ():
        lines += ["", *wrapped(paragraph, "  ")]
    if kind.noun == "augmentation":
        return [*lines, *_strength(entry.name, about)]
    arguments = [argument for argument in about.arguments if argument.name not in kind.given]
    if arguments:
        lines += ["", bold("arguments:"), *_arguments(arguments)]
    return [*lines, "", bold("examples:"), *_examples(kind, entry.name, arguments)]


def _documented(entry: Entry) -> Documented:
    """Return what the source says; nothing where it has no source, or none that can be read."""
    try:
        return documented(entry.target)
    except Exception:  # somebody else's package, or what a script registers itself
        return Documented([], [])


def _arguments(arguments: list[Argument]) -> list[str]:
    column = max(len(argument.name) for argument in arguments) + 4
    lines = []
    for name, kind, default, about in arguments:
        value = "required" if default is None else f"default: {_toml(default)}"
        lines += [*wrapped_after(f"  {name}", f"{kind} ({value})", " " * column), *_about(about, column)]
    return lines


def _about(text: str, column: int) -> list[str]:
    return wrapped(text, " " * column) if text else []


def _toml(default: str) -> str:
    """Return a default as a user types it, `none` for None; what is no plain value as Python writes it."""
    try:
        value = ast.literal_eval(default)
    except (ValueError, SyntaxError):
        return default
    return "none" if value is None else _typed(value)


def _typed(value: Any) -> str:
    """Return a plain value as TOML has it, texts without quotes where that is possible."""
    if isinstance(value, str):
        return value or '""'
    return tomli_w.dumps({"v": value}, multiline_strings=False).partition(" = ")[2].strip().replace("\n", "") or "{}"


def _examples(kind: Kind, name: str, arguments: list[Argument]) -> list[str]:
    """Return command lines that use a name, and set an argument."""
    start = f"  {command('fit')} {kind.flag} "
    lines = [f"{start}{shlex.quote(name)}"] if all(argument.default is not None for argument in arguments) else []
    simple = [each for each in arguments if each.default is None or _toml(each.default) not in ("none", '""')]
    for argument in sorted(simple, key=lambda each: each.default is not None)[:1]:
        value = argument.name.upper() if argument.default is None else _toml(argument.default)
        lines.append(start + shlex.quote(f"{name}:{argument.name}={value}"))
    if kind.noun == "plugin":
        lines.append(f"  {command('fit')} --no-plugin {shlex.quote(name)}")
    return lines


def _strength(name: str, about: Documented) -> list[str]:
    """Return how far each change of an augmentation goes, and how it is set."""
    strength = STRENGTHS[name] or Strength()
    column = max(len(argument.name) for argument in about.arguments) + 4
    lines = ["", bold("values (data.augmentation_args):")]
    for each in about.arguments:
        text = f"{getattr(strength, each.name):g}: {each.about}"
        lines += wrapped_after(f"  {each.name}", text, " " * column)
    fit = f"  {command('fit')} --augment {name}"
    return [*lines, "", bold("examples:"), fit, f"{fit} --set data.augmentation_args.rotation=15"]


def _recipe(name: str) -> list[str]:
    """Return what a recipe costs, reaches and configures, and the command that trains it."""
    row: Mapping[str, Any] = measured(name)
    rows = [
        ("model", row["model"]),
        ("training time", f"{shown('train_seconds', row['train_seconds'])} on two cores"),
        ("test accuracy", shown("test_accuracy", row["test_accuracy"])),
    ]
    configured = (RECIPES / f"{name}.toml").read_text(encoding="utf-8").partition("\n\n")[2].splitlines()
    run = f"  {command('fit')} --recipe {name} {row['data']}".rstrip()
    return [*entries(rows, "  "), "", *(f"  {line}".rstrip() for line in configured), "", bold("example:"), run]
