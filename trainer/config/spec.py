"""Values and specs on the command line, such as `0.2` and `lenet:dropout=0.2`."""

from __future__ import annotations

import os
import re
from tomllib import TOMLDecodeError
from typing import Any

from trainer.bounds.plain import NotPlain, parse_toml
from trainer.errors import UsageError
from trainer.text import in_line

_WORD = re.compile(r"""("[^"]*"|'[^']*')|(?<![\w.+-])(?!(?:true|false|inf|nan)\b)[A-Za-z_][\w./-]*(?!\s*=|[\w./-])""")
"""A text in quotes, or a word without them that is a value."""
SPEC = "NAME[:key=value,…]"
"""A name with arguments on the command line; see `parse_spec`."""
SOURCE = "NAME[:key=value,…]|PATH"
"""Data on the command line; see `parse_source`."""


def parse_value(text: str) -> Any:
    """Return `text` as a TOML value, or unchanged if it is none; dates and times stay text.

    Words in lists and tables need no quotes, since a shell removes them: `[mae, mse]`, `{digit=huber}`.

    Raises:
        UsageError: If the value is out of bounds, such as a number with too many digits.
    """
    nested = text.strip().startswith(("[", "{"))
    quoted = _WORD.sub(lambda found: found[1] or f'"{found[0]}"', text) if nested else text
    try:
        return parse_toml(f"value = {quoted}")["value"]
    except (TOMLDecodeError, NotPlain):
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
    """Return the name and the arguments of `NAME[:key=value,…]`; a value with a comma must be quoted.

    Raises:
        UsageError: If the text has another form.
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


def parse_source(text: str) -> tuple[str, dict[str, Any]]:
    r"""Return the name and the arguments of data: `NAME[:key=value,…]`, or a name or path that may contain colons.

    `mnist:3.0.1`, `C:\images` and the path of anything that exists are names as a whole.

    Raises:
        UsageError: If the arguments have another form.
    """
    _, _, rest = text.partition(":")
    if re.match(r"\s*[A-Za-z_]\w*\s*=", rest) and not os.path.lexists(text):
        return parse_spec(text)
    return text, {}
