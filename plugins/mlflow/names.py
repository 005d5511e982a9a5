"""Valid names and ids: in `mlflow.json`, and for models in MLflow."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

LONGEST = 250
FORBIDDEN = r"[/:.%\"']"
"""Characters that MLflow rejects in the name of a logged model."""


def _printable(text: str) -> str:
    """Return a text that a terminal can show verbatim.

    Raises:
        ValueError: If it has control characters, including those that change the writing direction.
    """
    if not text.isprintable():
        raise ValueError("not printable")
    return text


def registered_name(name: str) -> str:
    """Return a valid name of a registered model; it becomes part of addresses, paths and queries.

    Raises:
        ValueError: If the name is invalid.
    """
    if not name.isprintable() or len(name) > LONGEST or set(name) & set("/:'\"") or name.strip(". ") != name:
        raise ValueError(
            f"a registered model cannot be named {name!r}: use up to {LONGEST} characters other than / : ' and "
            '", with no leading or trailing dot or space'
        )
    return name


def logged_name(title: str) -> str:
    """Return the title of a run as a valid name of a logged model."""
    return re.sub(FORBIDDEN, "-", title)


Text = Annotated[str, Field(max_length=2000), AfterValidator(_printable)]
ModelName = Annotated[str, AfterValidator(registered_name)]
MlflowId = Annotated[str, Field(max_length=256, pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]*)?$")]
