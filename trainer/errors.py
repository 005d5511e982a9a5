"""Errors that users can cause, each with a message of one line: what failed, where, and what to do."""

from __future__ import annotations

import difflib
import re
import traceback
from collections.abc import Iterable, Mapping
from typing import Any


class InkwellError(Exception):
    """An error that the user can resolve; scripts print it as one line and exit with `exit_status`."""

    exit_status = 1

    def _render_traceback_(self) -> list[str]:
        """Return what IPython and notebooks show: one line, as scripts print it."""
        return [f"{type(self).__name__}: {self}"]


class UsageError(InkwellError):
    """A wrong flag, name, argument, path or configuration, found before anything was started."""

    exit_status = 2


class HookError(UsageError, TypeError):
    """A plugin class with an invalid hook."""


class DataError(InkwellError):
    """Data that are unreadable or inconsistent."""


class CheckpointError(InkwellError):
    """A checkpoint that cannot be written or read, or does not match the model."""


class LayoutError(CheckpointError):
    """A run directory or checkpoint of an older or newer version, which is intact but not readable by this one."""


class PluginError(InkwellError):
    """A failure of a plugin that steers training; the message names the plugin and the hook."""

    def _render_traceback_(self) -> list[str]:
        """Return the traceback of the plugin, which its author needs, before the line."""
        cause = traceback.format_exception(self.__cause__) if self.__cause__ is not None else []
        return ["".join(cause), *super()._render_traceback_()]


class TrainingFailed(InkwellError):  # noqa: N818, the name says what happened
    """Training that ended without a result, for a reason given by the run or one of its plugins."""


class Interrupted(KeyboardInterrupt):
    """Training was ended by Ctrl-C or the stop button of a notebook, whose other cells do not run then."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython and notebooks show."""
        return [f"{type(self).__name__}: {self}"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the most similar of `known`, or an empty string if none is similar."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that is not in `known`, with a suggestion and the list."""
    names = list(known)
    return UsageError(f"unknown {kind} {name!r}{did_you_mean(name, names)} (known: {', '.join(names) or 'none'})")


def explain(problem: Mapping[str, Any]) -> str:
    """Return a problem reported by pydantic (`ValidationError.errors`) in terms of a configuration file."""
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
"""Python's types in terms of TOML."""
