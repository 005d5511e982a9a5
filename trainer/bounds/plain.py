"""JSON and TOML from outside: parsed within bounds of length, depth and the size of numbers."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable
from typing import Any

from trainer.text import in_bytes

MAX_DEPTH = 64
"""Levels of tables and lists; a configuration has 4."""
MAX_DIGITS = 100
"""Digits of a whole number: longer ones do not fit into a float, and take Python longer the longer they are."""
MAX_TABLES = 1_000_000
"""Tables and lists of a JSON file, each of which takes many times the memory of the two bytes that declare it."""
MAX_TOML = 2**20
"""Bytes of a TOML file; that of a run has 2,000."""
MAX_NAMES = 32
"""Names of a dotted key in TOML, since the parser takes time with their square: minutes for 50,000."""

LARGEST = 10**MAX_DIGITS


class NotPlain(ValueError):  # noqa: N818, a state and no fault
    """A value of a kind that JSON has no word for, such as a date."""


def parse_json(content: str | bytes) -> Any:
    """Return what JSON holds.

    Raises:
        ValueError: If it is no JSON, or lies outside the bounds; one line.
    """
    opening = (b"[", b"{") if isinstance(content, bytes) else ("[", "{")
    if sum(map(content.count, opening)) > MAX_TABLES:  # type: ignore[arg-type]
        raise ValueError(f"it has more than {MAX_TABLES:,} tables and lists")
    return _parsed(json.loads, content, finite=True)


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables that TOML holds.

    Raises:
        ValueError: If it is no TOML, or lies outside the bounds; one line.
    """
    if len(text) > MAX_TOML:
        raise ValueError(f"it is longer than the {in_bytes(MAX_TOML)} that are read of TOML")
    bare = _TEXTS.sub("_", text)
    if any(run.count(".") >= MAX_NAMES for run in _KEYS.findall(bare)):
        raise ValueError(f"a dotted key has more than {MAX_NAMES} names")
    return _parsed(tomllib.loads, text, finite=False)


def _parsed(parse: Callable[[Any], Any], content: str | bytes, finite: bool) -> Any:
    """Return what a parser makes of content, once it was looked at; see `_check`."""
    try:
        value = parse(content)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError as error:
        raise _in_plain_words(error) from None
    _check(value, finite)
    return value


_TEXTS = re.compile(
    r"\"{3}(?:[^\\\"]|\\.|\"{1,2}(?!\"))*+(?:\"{3,5})?|'{3}(?:[^']|'{1,2}(?!'))*+(?:'{3,5})?"
    r"|\"(?:[^\\\"\n]|\\.)*+\"?|'[^'\n]*+'?|#[^\n]*+",
    re.DOTALL,
)
"""Texts and comments of TOML, in which dots mean nothing; those without an end are taken too, in linear time."""
_KEYS = re.compile(r"[\w. \t-]+")
"""Bare keys, dotted; texts in quotes have become `_`."""
_TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"
_TOO_LONG = f"a number has more than {MAX_DIGITS} digits"


def _in_plain_words(error: ValueError) -> ValueError:
    """Return an error that speaks of the content, where Python speaks of its own settings."""
    return ValueError(_TOO_LONG) if "integer string conversion" in str(error) else error


def _check(value: Any, finite: bool) -> None:
    """Look at all levels of plain values, without recursion.

    Args:
        value: Nested plain values.
        finite: Refuse numbers that are not finite, too, for which JSON has no word.

    Raises:
        ValueError: If there are too many levels, or a value is none that is ever written: what reads it could not print
            it, count with it or write it again.
    """
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(_TOO_DEEP)
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            else:
                _check_leaf(item, finite)
        level = below


def _check_leaf(value: Any, finite: bool) -> None:
    if isinstance(value, str):
        value.encode()  # half a character could be read and never written again
    elif isinstance(value, int):
        if not -LARGEST < value < LARGEST:
            raise ValueError(_TOO_LONG)
        if not -(2**63) <= value < 2**64:
            raise ValueError("a whole number has more than 64 bits")
    elif isinstance(value, float):
        if finite and not math.isfinite(value):
            raise ValueError("a number is not finite")
    elif value is not None:
        raise NotPlain(f"it holds a {type(value).__name__}, which is neither text nor number; put it in quotes")
