"""Types with a range, for configuration keys and arguments of builders: each name means the same everywhere.

Values out of range are refused before anything is built, and so are texts that look like numbers.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field


def parse_duration(value: Any) -> Any:
    """Return the seconds of a text such as `"90s"`, `"10m"` or `"1h30m"`; return anything else unchanged.

    Raises:
        ValueError: If a text has another form.
    """
    if not isinstance(value, str):
        return value
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", value.strip())
    if not parts or not any(parts.groups()):
        raise ValueError(f"{value!r} is not a duration such as 90s, 10m or 1h30m")
    return sum(float(number or 0) * unit for number, unit in zip(parts.groups(), (3600, 60, 1), strict=True))


def _module(name: str) -> str:
    if not all(part.isidentifier() for part in name.split(".")) or len(name) > LONGEST_MODULE:
        raise ValueError("must be the name of a module, such as package.module")
    return name


LONGEST_MODULE = 200

Count = Annotated[int, Field(ge=1, lt=2**31, strict=True)]
"""A whole number from 1."""
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
"""A whole number from 0 that fits into 32 bits."""
Switch = Annotated[bool, Field(strict=True)]
"""True or false, and nothing that merely resembles them."""
Positive = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
"""A number above 0."""
Amount = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
"""A number from 0."""
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
"""A number from 0 to 1."""
BelowOne = Annotated[float, Field(ge=0, lt=1, strict=True)]
"""A number from 0 to below 1: a share that is dropped and must leave something."""
Seconds = Annotated[float, BeforeValidator(parse_duration), Field(gt=0, strict=True, allow_inf_nan=False)]
"""A time above 0 in seconds, or as text such as "10m"."""
ModuleName = Annotated[str, AfterValidator(_module)]
"""The dotted name of a module, which needs no quotes on a command line."""
