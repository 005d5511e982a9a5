"""The page of `--help NAME`: the meaning of a name, its arguments, and the flags that set them."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Mapping
from typing import Any

from scripts.catalogue.kinds import KINDS, RECIPES, Kind
from scripts.catalogue.recipes import measured
from scripts.catalogue.source import Argument, Documented, documented
from trainer.config.schema import DEFAULT_PLUGINS
from trainer.console.listing import shown
from trainer.console.style import bold
from trainer.console.wrapping import entries, wrapped, wrapped_after
from trainer.data.augmentation.strength import STRENGTHS, Strength
from trainer.errors import UsageError, did_you_mean
from trainer.registry import Entry
from trainer.text import command, in_line


def explain(name: str) -> str:
    """Return a page about everything with a name, since a model and a recipe may share one.

    Raises:
        UsageError: If nothing has this name, with the nearest one.
    """
    known = [(kind, entry) for kind in KINDS.values() for entry in kind.entries()]
    found = [(kind, entry) for kind, entry in known if entry.name == name]
    if not found:
        near = did_you_mean(name, dict.fromkeys(entry.name for _, entry in known))
        kinds = ", ".join(kind.noun for kind in KINDS.values())
        raise UsageError(f"--help {in_line(name)}: nothing has this name{near} (kinds of names: {kinds}; see --list)")
    return "\n\n".join("\n".join(_page(kind, entry)) for kind, entry in found)


def _page(kind: Kind, entry: Entry) -> list[str]:
    if kind.noun == "recipe":
        return [*_title(kind, entry.name), *_recipe(entry.name)]
    about = _documented(entry)
    if kind.noun == "augmentation":
        return [*_title(kind, entry.name, entry.help), *_strength(entry.name, about)]
    repeated = about.paragraphs and about.paragraphs[0].lower().startswith(entry.help.lower())
    lines = _title(kind, entry.name, "" if repeated else entry.help)
    for paragraph in about.paragraphs:
        lines += ["", *wrapped(paragraph, "  ")]
    arguments = [argument for argument in about.arguments if argument.name not in kind.given]
    if arguments:
        lines += ["", bold("arguments:"), *_arguments(arguments)]
    return [*lines, "", bold("examples:"), *_examples(kind, entry.name, arguments)]


def _title(kind: Kind, name: str, text: str = "") -> list[str]:
    """Return the first lines of a page: a name, its kind and a short description."""
    first, *rest = wrapped(f"{name} ({kind.noun}){': ' if text else ''}{text}", hanging="  ")
    return [bold(first), *rest]


def _documented(entry: Entry) -> Documented:
    """Return the documentation in the source; empty if there is no source, or none that can be read."""
    try:
        return documented(entry.target)
    except Exception:  # somebody else's package, or what a script registers itself
        return Documented([], [], {})


def _arguments(arguments: list[Argument]) -> list[str]:
    column = max(len(argument.name) for argument in arguments) + 4
    lines = []
    for name, kind, default, about in arguments:
        value = "required" if default is None else f"default: {_typed(_value(default))}"
        lines += [*wrapped_after(f"  {name}", f"{kind} ({value})", " " * column), *_about(about, column)]
    return lines


def _about(text: str, column: int) -> list[str]:
    return wrapped(text, " " * column) if text else []


def _value(default: str) -> Any:
    """Return a default as a plain value, or as Python source if it is no literal."""
    try:
        return ast.literal_eval(default)
    except (ValueError, SyntaxError):
        return default


def _typed(value: Any, inside: bool = False) -> str:
    """Return a value as a user types it: as TOML, but a text without quotes and None as `none`."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {_typed(item, inside=True)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_typed(item, inside=True) for item in value)}]"
    if isinstance(value, str):
        return f'"{value}"' if inside or not value else value
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _examples(kind: Kind, name: str, arguments: list[Argument]) -> list[str]:
    """Return command lines that use a name and set one of its arguments."""
    start, required = f"  {command('fit')} {kind.flag} ", [each for each in arguments if each.default is None]
    values = [f"{each.name}={each.name.upper()}" for each in required]
    is_default = kind.noun == "plugin" and name in DEFAULT_PLUGINS
    lines = [] if required or is_default else [f"{start}{shlex.quote(name)}"]
    set_ = values or list(filter(None, map(_set, arguments)))[:1]
    lines += [start + shlex.quote(f"{name}:{','.join(set_)}")] if set_ else []
    if is_default:
        lines.append(f"  {command('fit')} --no-plugin {shlex.quote(name)}")
    return lines


def _set(argument: Argument) -> str | None:
    """Return the setting of an argument to another value than its default; None if no other value is known."""
    value = _value(argument.default or "")
    if isinstance(value, bool):
        return f"{argument.name}={_typed(not value)}"
    others = [choice for choice in argument.kind.split("|") if "|" in argument.kind and choice != value]
    if others:
        return f"{argument.name}={others[-1]}"
    if isinstance(value, int | float):
        return f"{argument.name}={value * 2 or 1 if isinstance(value, int) else value / 2 or 0.1}"
    return None


def _strength(name: str, about: Documented) -> list[str]:
    """Return the values of an augmentation, and the flags that set them."""
    strength = STRENGTHS[name] or Strength()
    width = max(map(len, vars(strength)))
    rows = [(f"{key:<{width}}  {number:<4g}", about.described.get(key, "")) for key, number in vars(strength).items()]
    lines = ["", bold("values (data.augmentation_args):"), *entries(rows, "  ")]
    fit = f"  {command('fit')} --augment {name}"
    return [*lines, "", bold("examples:"), fit, f"{fit} --set data.augmentation_args.rotation=15"]


def _recipe(name: str) -> list[str]:
    """Return the cost, accuracy and configuration of a recipe, and the command that trains it."""
    row: Mapping[str, Any] = measured(name)
    rows = [
        ("model", row["model"]),
        ("training time", f"{shown('train_seconds', row['train_seconds'])} on two cores"),
        ("test accuracy", shown("test_accuracy", row["test_accuracy"])),
    ]
    configured = (RECIPES / f"{name}.toml").read_text(encoding="utf-8").partition("\n\n")[2].splitlines()
    run = f"  {command('fit')} --recipe {name} {row['data']}".rstrip()
    return ["", *entries(rows, "  "), "", *(f"  {line}".rstrip() for line in configured), "", bold("example:"), run]
