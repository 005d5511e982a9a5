"""Untrusted JSON and TOML, parsed within limits of length, depth and size of numbers."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable
from typing import Any

from trainer.text import in_bytes

MAX_DEPTH = 64
"""Largest number of nested tables and lists; a configuration has 4."""
MAX_DIGITS = 100
"""Largest number of digits of an integer; longer ones are slow to parse and may not fit into a float."""
MAX_TABLES = 1_000_000
"""Largest number of tables and lists of a JSON file; each needs far more memory than the two bytes that declare it."""
MAX_TOML = 2**20
"""Largest TOML file in bytes; a run's has about 2,000."""
MAX_NAMES = 32
"""Largest number of names in a dotted TOML key; parsing time grows with its square, to minutes for 50,000."""

LARGEST = 10**MAX_DIGITS


class NotPlain(ValueError):  # noqa: N818, describes a value rather than a fault
    """A value that JSON cannot represent, such as a date."""


def parse_json(content: str | bytes) -> Any:
    """Return the value of a JSON document.

    Raises:
        ValueError: If it is not JSON, or exceeds a limit; one line.
    """
    opening = (b"[", b"{") if isinstance(content, bytes) else ("[", "{")
    if sum(map(content.count, opening)) > MAX_TABLES:  # type: ignore[arg-type]
        raise ValueError(f"it has more than {MAX_TABLES:,} tables and lists")
    return _parsed(json.loads, content, finite=True)


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML document.

    Raises:
        ValueError: If it is not TOML, or exceeds a limit; one line.
    """
    if len(text) > MAX_TOML:
        raise ValueError(f"it is longer than {in_bytes(MAX_TOML)}, the limit for TOML")
    bare = _TEXTS.sub("_", text)
    if any(run.count(".") >= MAX_NAMES for run in _KEYS.findall(bare)):
        raise ValueError(f"a dotted key has more than {MAX_NAMES} names")
    return _parsed(tomllib.loads, text, finite=False)


def _parsed(parse: Callable[[Any], Any], content: str | bytes, finite: bool) -> Any:
    """Return the value that a parser finds in `content`, checked by `_check`."""
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
"""Strings and comments of TOML, in which dots have no meaning; unterminated ones match too, in linear time."""
_KEYS = re.compile(r"[\w. \t-]+")
"""Bare dotted keys, once quoted strings have been replaced by `_`."""
_TOO_DEEP = f"it is nested more than {MAX_DEPTH} levels deep"
_TOO_LONG = f"a number has more than {MAX_DIGITS} digits"


def _in_plain_words(error: ValueError) -> ValueError:
    """Return an error about the content in place of Python's about its own settings."""
    return ValueError(_TOO_LONG) if "integer string conversion" in str(error) else error


def _check(value: Any, finite: bool) -> None:
    """Check all levels of plain values, without recursion.

    Args:
        value: Nested plain values.
        finite: If True, also refuse non-finite numbers, which JSON cannot represent.

    Raises:
        ValueError: If there are too many levels, or a value could not be printed, computed with or written again.
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
        value.encode()  # lone surrogates can be read but not written
    elif isinstance(value, int):
        if not -LARGEST < value < LARGEST:
            raise ValueError(_TOO_LONG)
        if not -(2**63) <= value < 2**64:
            raise ValueError("an integer has more than 64 bits")
    elif isinstance(value, float):
        if finite and not math.isfinite(value):
            raise ValueError("a number is not finite")
    elif value is not None:
        raise NotPlain(f"it contains a {type(value).__name__}, which is neither text nor a number; put it in quotes")
