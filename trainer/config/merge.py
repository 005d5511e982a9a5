"""Merging of a configuration from several layers, of which later ones win.

The layers are the defaults, then a recipe and a file, then overrides (`--set`), then flags. Pydantic checks types and
ranges and reports every problem as data, so that each can be described in one line with a suggestion.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from trainer.bounds.plain import MAX_TOML, parse_toml
from trainer.bounds.regular import read_bounded
from trainer.config.schema import EITHER, UNLESS_CHOSEN, Config
from trainer.config.spec import parse_value
from trainer.errors import UsageError, did_you_mean, explain
from trainer.text import in_line

REPLACED = ("args", "test_args", "augmentation_args", "plugins")
"""Tables with free keys, which replace the table of an earlier layer as a whole."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file, within the limits of `trainer.bounds.plain`.

    Raises:
        UsageError: If the file cannot be read, exceeds a limit or is not TOML; the message names the line.
    """
    try:
        content = read_bounded(path, MAX_TOML)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    try:
        return parse_toml(content.decode())
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def resolve(layers: Iterable[Mapping[str, Any]], origin: str = "") -> Config:
    """Return the configuration that results from `layers` of nested values, later ones winning.

    Args:
        layers: Nested mappings as in `config.toml`; those in `REPLACED` are not merged but replaced.
        origin: Origin of the values, for messages.

    Raises:
        UsageError: If a key is unknown (with a suggestion), a value has the wrong type or range or is not UTF-8, or a
            layer sets two keys that exclude each other.
    """
    prefix = f"{origin}: " if origin else ""
    merged: dict[str, Any] = {}
    for layer in layers:
        for section, keys in EITHER.items():
            _choose(merged.setdefault(section, {}), layer.get(section), section, keys, prefix)
        _merge(merged, layer)
    if (key := _not_utf8(merged)) is not None:
        raise UsageError(f"{prefix}{in_line(key)} is not UTF-8 and cannot be saved; rename the file or folder")
    try:
        return _adapter().validate_python(merged)
    except ValidationError as error:
        problem = error.errors()[0]
        where = [str(key) for key in problem["loc"]]
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            raise UsageError(prefix + _unknown_key(where)) from None
        raise UsageError(
            f"{prefix}{in_line('.'.join(where))} = {in_line(repr(problem['input']))}: {explain(problem)}"
        ) from None


@cache
def _adapter() -> TypeAdapter[Config]:
    return TypeAdapter(Config)


def _not_utf8(value: Any, key: str = "") -> str | None:
    """Return the key and value of a text that is not UTF-8; None if there is none."""
    if isinstance(value, str):
        return f"{key} = {value}" if any("\ud800" <= character <= "\udfff" for character in value) else None
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    found = (_not_utf8(each, f"{key}.{name}" if key else str(name)) for name, each in inner)
    return next((at for at in found if at is not None), None)


def _choose(before: Any, layer: Any, section: str, keys: tuple[str, str], prefix: str) -> None:
    """Remove from `before` the keys that those of `layer` replace.

    Raises:
        UsageError: If `layer` sets both.
    """
    if not isinstance(layer, Mapping):
        return  # missing, or not a table, which is reported later
    named = [key for key in keys if layer.get(key) is not None]
    if len(named) > 1:
        both = " and ".join(f"{section}.{key}" for key in named)
        raise UsageError(f"{prefix}{both} exclude each other; remove one of them")
    if named and isinstance(before, dict):
        for key in keys:
            before.pop(key, None)
        before.update(dict.fromkeys(UNLESS_CHOSEN.get(section, ())))


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict) and key not in REPLACED:
            _merge(into[key], value)
        else:
            into[key] = {**value} if isinstance(value, Mapping) else value


def _unknown_key(keys: list[str]) -> str:
    section: Any = Config()
    for key in keys[:-1]:
        section = getattr(section, key)
    known = [f.name for f in dataclasses.fields(section)]
    where = ".".join(keys)
    elsewhere = [key for key in _dotted_keys() if key.endswith(f".{keys[-1]}")]
    near = f"; did you mean {elsewhere[0]!r}?" if elsewhere else did_you_mean(keys[-1], known)
    return f"unknown key {where!r}{near} (known: {', '.join(known)})"


def _dotted_keys() -> list[str]:
    sections = {f.name: getattr(Config(), f.name) for f in dataclasses.fields(Config)}
    tables = {name: section for name, section in sections.items() if dataclasses.is_dataclass(section)}
    return [f"{name}.{key.name}" for name, section in tables.items() for key in dataclasses.fields(section)]


def override(config: Config, assignments: Iterable[str]) -> Config:
    """Return `config` with `--set` assignments applied, such as `optimizer.learning_rate=0.01`.

    If a key is assigned several times, the last assignment wins.

    Raises:
        UsageError: If an assignment has no `=`, its key is unknown, its value is invalid, or it contradicts another.
    """
    tree = config.to_dict()
    choices: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise UsageError(f"--set {assignment}: expected key=value, such as --set training.epochs=3")
        *parents, key = path.strip().split(".")
        if len(parents) == 1 and key in (*EITHER.get(parents[0], ()), *UNLESS_CHOSEN.get(parents[0], ())):
            choices.setdefault(parents[0], {})[key] = parse_value(text)
        else:
            _table(tree, parents, assignment)[key] = parse_value(text)
    return resolve([tree, choices], "--set")


def _table(tree: dict[str, Any], parents: list[str], assignment: str) -> dict[str, Any]:
    """Return the table of `tree` that an assignment changes.

    Raises:
        UsageError: If there is no such table.
    """
    section = tree
    for depth, parent in enumerate(parents):
        if depth and _is_open(parents[:depth]):
            section.setdefault(parent, {})
        if parent not in section:
            raise UsageError(f"--set {assignment}: unknown key {parent!r}{did_you_mean(parent, section)}")
        if not isinstance(section[parent], dict):
            raise UsageError(f"--set {assignment}: {'.'.join(parents[: depth + 1])} is a value and has no keys")
        section = section[parent]
    return section


def _is_open(path: list[str]) -> bool:
    """Return True if keys below `path` are free, as the arguments of a plugin or model are."""
    return path[0] == "plugins" or path[-1] in REPLACED
