"""What a user types in one word: a value, or a name with arguments such as `lenet:dropout=0.2`."""

from __future__ import annotations

import re
from tomllib import TOMLDecodeError
from typing import Any

from trainer.bounds.plain import parse_toml
from trainer.errors import UsageError
from trainer.text import in_line


def parse_value(text: str) -> Any:
    """Return `text` read as a TOML value, else as it is.

    Raises:
        UsageError: If it is a value out of bounds, such as a number of too many digits.
    """
    try:
        return parse_toml(f"value = {text}")["value"]
    except TOMLDecodeError:
        return text.strip()
    except ValueError as error:
        raise UsageError(f"cannot read the value {in_line(text)}: {error}; shorten it") from error


_ARGUMENT = re.compile(
    r"""\s*([A-Za-z_]\w*)\s*=\s*                                 # key =
        ("[^"]*" | '[^']*'                                      # text in quotes
        | (?:\[.*?\]|\{.*?\})(?=\s*(?:,\s*[A-Za-z_]\w*\s*=|$))  # a list or table, up to the next key or the end
        | [^,]*?)\s*(?:,|$)                                     # or anything without a comma
    """,
    re.VERBOSE,
)


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of `NAME[:key=value,…]`; a value with a comma is quoted.

    Raises:
        UsageError: If the text is not of that form.
    """
    name, colon, rest = spec.partition(":")
    args: dict[str, Any] = {}
    position = 0
    while position < len(rest):
        match = _ARGUMENT.match(rest, position)
        if match is None:
            raise UsageError(f"{spec!r}: write NAME:key=value,key=value; cannot read {rest[position:]!r}")
        args[match[1]] = parse_value(match[2])
        position = match.end()
    if not name or (colon and not args):
        raise UsageError(f"{spec!r}: write NAME or NAME:key=value,key=value")
    return name.strip(), args
