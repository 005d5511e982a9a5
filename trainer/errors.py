"""What can go wrong by a user's hand, said in one line that tells what, where and what to do."""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Iterable, Mapping
from typing import Any


class InkwellError(Exception):
    """An error that a person can act on; scripts print it as one line and exit with `exit_status`."""

    exit_status = 1

    def _render_traceback_(self) -> list[str]:
        """Return what IPython and notebooks show: one line, as scripts print it."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(InkwellError):
    """A wrong flag, name, argument, path or configuration: nothing was started."""

    exit_status = 2


class HookError(UsageError, TypeError):
    """A plugin class with a method that looks like a hook and is none."""


class DataError(InkwellError):
    """Data that cannot be read or that contradicts itself."""


class CheckpointError(InkwellError):
    """A checkpoint that cannot be written, read or fitted to the model."""


class LayoutError(CheckpointError):
    """A run directory or checkpoint that an older or newer version wrote: not damaged, but not readable here."""


class PluginError(InkwellError):
    """A plugin that steers training failed; the message names the plugin and the hook."""

    def _render_traceback_(self) -> list[str]:
        """Return the traceback of the plugin, which its author needs, before the line."""
        cause = traceback.format_exception(self.__cause__) if self.__cause__ is not None else []
        return ["".join(cause), *super()._render_traceback_()]


class TrainingFailed(InkwellError):  # noqa: N818, the word for what happened
    """Training ended without a result, for a reason given by the run or one of its plugins."""


class Interrupted(KeyboardInterrupt):
    """Training was ended by Ctrl-C or the stop button of a notebook, whose other cells do not run then."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython and notebooks show."""
        return [f"{type(self).__name__}: {self}"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest of `known`, or an empty string if none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not among `known`: a suggestion first, then the list."""
    names = list(known)
    return UsageError(f"unknown {kind} {name!r}{did_you_mean(name, names)} (known: {', '.join(names) or 'none'})")


def explain(problem: Mapping[str, Any]) -> str:
    """Return a problem that pydantic reports (`ValidationError.errors`) in the words of a configuration file."""
    kind, message = problem["type"], problem["msg"].removeprefix("Value error, ")
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        return f"no such choice{did_you_mean(str(problem['input']), choices)} (choices: {', '.join(choices)})"
    if kind in ("dict_type", "dataclass_type"):
        return "must be a table"
    message = message.replace("Input should be", "must be").partition(", unable to")[0]
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    return message


_WORDS = {
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid string": "text",
    "a valid list": "a list",
    "a valid tuple": "a list",
}
"""How a person who writes TOML calls Python's types."""
