"""Flags of the command line, made from the dataclasses of the configuration and never restated.

A field whose type has a `Flag` becomes a flag, with the first sentence about it under `Attributes` and its default as
help. A `Flag` with `args` takes a name with arguments, such as `--model lenet:dropout=0.2`.
"""

from __future__ import annotations

import argparse
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, Literal

from pydantic import BeforeValidator

from trainer.config.merge import resolve
from trainer.config.schema import Config, Flag

Group = argparse.ArgumentParser | argparse._ArgumentGroup

LETTERS: Mapping[type, str] = {int: "N", float: "X", str: "TEXT", bool: ""}
"""Metavars by type, for fields without one of their own."""


def add_flags(groups: Mapping[str, Group]) -> None:
    """Add every flag of the configuration.

    Args:
        groups: For each section of the configuration, the parser or argument group to add its flags to.
    """
    for section, group in groups.items():
        schema = type(getattr(Config, section))
        for key, declared in typing.get_type_hints(schema, include_extras=True).items():
            if flag := _flag(declared):
                _add(group, flag, f"{section}.{key}", declared, _about(schema, key), getattr(schema, key))


def _add(group: Group, flag: Flag, dest: str, declared: Any, about: str, default: Any) -> None:
    said = (about if default is None or default is False else f"{about} (default: {default})").replace("%", "%%")
    kind, choices = _reader(declared)
    if kind is bool:
        group.add_argument(flag.name, dest=dest, action="store_const", const=True, help=said)
    else:
        metavar = flag.metavar or choices or LETTERS[kind]
        group.add_argument(flag.name, dest=dest, type=kind, metavar=metavar, help=said)


def _flag(declared: Any) -> Flag | None:
    """Return the flag that is part of a type; None if there is none."""
    return next((extra for extra in getattr(declared, "__metadata__", ()) if isinstance(extra, Flag)), None)


def _reader(declared: Any) -> tuple[type, str]:
    """Return the type that reads a flag's text, and the choices if there are some; ranges are checked later."""
    if isinstance(declared, type):
        return declared, ""
    if typing.get_origin(declared) is Literal:
        return str, "|".join(typing.get_args(declared))
    if any(isinstance(extra, BeforeValidator) for extra in getattr(declared, "__metadata__", ())):
        return str, ""  # it reads texts itself
    return _reader(next(one for one in typing.get_args(declared) if one is not NoneType))


def _about(schema: type, name: str) -> str:
    """Return the first sentence about a field under `Attributes` as help text: without capital and full stop."""
    attributes = (inspect.getdoc(schema) or "").partition("Attributes:")[2]
    found = re.search(rf"^    {name}: (.+(?:\n     .+)*)", attributes, re.MULTILINE)
    sentence = re.split(r"\.(?: |$)", " ".join(found[1].split()))[0] if found else ""
    return sentence[:1].lower() + sentence[1:]


def with_names(config: Config, args: argparse.Namespace) -> Config:
    """Return `config` with the names that flags give; arguments of a replaced name are dropped.

    Raises:
        UsageError: If a name with arguments cannot be read.
    """
    layer: dict[str, Any] = {}
    for section, key, taker, name, _ in _specs(args):
        before = getattr(config, section)
        kept = getattr(before, taker) if name == getattr(before, key) else {}
        layer.setdefault(section, {}).update({key: name, taker: kept})
    return resolve([config.to_dict(), layer])


def given(config: Config, args: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the flags as nested values, the last layer over `config`.

    Args:
        config: The configuration without the flags, but with their names; its arguments stay unless a flag replaces
            them.
        args: The command line, as parsed with these flags.

    Raises:
        UsageError: If a name with arguments cannot be read.
    """
    layer: dict[str, Any] = {}
    for dest, value in vars(args).items():
        section, dot, key = dest.partition(".")
        if dot and value is not None:
            layer.setdefault(section, {})[key] = value
    for section, key, taker, name, arguments in _specs(args):
        layer[section] |= {key: name, taker: {**getattr(getattr(config, section), taker), **arguments}}
    return layer


def _specs(args: argparse.Namespace) -> Iterator[tuple[str, str, str, str, dict[str, Any]]]:
    """Yield each name that a flag gives: section, its field, the field of its arguments, the name, the arguments."""
    for dest, text in vars(args).items():
        section, dot, key = dest.partition(".")
        if not dot or text is None:
            continue
        flag = _flag(typing.get_type_hints(type(getattr(Config, section)), include_extras=True)[key])
        if flag is not None and flag.args:
            yield section, key, flag.args, *flag.parse(text)
