"""Names and ids: what `mlflow.json` may hold, and what MLflow takes for a model."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

LONGEST = 250
FORBIDDEN = r"[/:.%\"']"
"""Characters that MLflow does not take in the name of a logged model."""


def _printable(text: str) -> str:
    """Return a text that a terminal can show as it is.

    Raises:
        ValueError: If it has control characters, or such as turn the direction of writing.
    """
    if not text.isprintable():
        raise ValueError("not printable")
    return text


def registered_name(name: str) -> str:
    """Return a name that a registered model can have; it becomes a part of addresses, paths and queries.

    Raises:
        ValueError: If it cannot be one.
    """
    if not name.isprintable() or len(name) > LONGEST or set(name) & set("/:'\"") or name.strip(". ") != name:
        raise ValueError(
            f"a registered model cannot be named {name!r}: use up to {LONGEST} characters other than / : ' and "
            '", with no dot or blank at either end'
        )
    return name


def logged_name(title: str) -> str:
    """Return the title of a run as a name that a logged model can have."""
    return re.sub(FORBIDDEN, "-", title)


Text = Annotated[str, Field(max_length=2000), AfterValidator(_printable)]
ModelName = Annotated[str, AfterValidator(registered_name)]
MlflowId = Annotated[str, Field(max_length=256, pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]*)?$")]
