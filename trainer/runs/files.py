"""The reading side of a run directory; `trainer.runs.directory` says what lies in one, and writes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from trainer.bounds.plain import MAX_TOML
from trainer.bounds.regular import read_bounded
from trainer.checkpoint import Checkpoints, check_layout
from trainer.config.merge import read_toml
from trainer.errors import InkwellError, UsageError, explain
from trainer.files import read_json
from trainer.result import Result
from trainer.runs.history import parse_lines, whole_lines
from trainer.runs.process import is_alive, this_host
from trainer.text import first_line, in_line, printable

CONFIG, RUN, HISTORY, RESULT, MODEL = "config.toml", "run.json", "history.jsonl", "result.json", "model.json"
CHECKPOINTS, REPORT = "checkpoints", "report"
MAX_MODEL = 4 * 2**20
"""Limit of `model.json` in bytes."""
MAX_HISTORY = 256 * 2**20
"""Limit of `history.jsonl` in bytes; a line has about 200."""
TAIL = 2**16
"""Bytes at the end of a history in which the last validation is looked for."""

Standing = Literal["running", "done", "failed", "interrupted", "killed", "elsewhere", "no result"]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The content of `run.json`.

    Attributes:
        id: Identity of the run, the same in all of its processes.
        name: Name of the run directory when the run was last active.
        started: Local time of the first start, ISO 8601.
        status: Status that the run's process wrote last; see `RunFiles.status` for what has become of it since.
        stop_reason: Reason for the end of training; empty if there is none.
        ended: Unix seconds of the end; None while the run is running.
        pid: Process id; None if unknown.
        host: Name of the machine.
        boot_id: Identity of the machine's boot; empty where the system has none.
        command: Command line, without passwords.
        git_commit: Commit of the script's folder; empty outside git.
        user: Name of the user.
        versions: Versions of Python and packages.
        data: Name, digest, sizes and class names of the data, as far as they are known.
        notes: Values that plugins keep, by their name.
    """

    id: str = ""
    name: str = ""
    started: str = ""
    status: str = "unknown"
    stop_reason: str = ""
    ended: float | None = None
    pid: int | None = None
    host: str = ""
    boot_id: str = ""
    command: str = ""
    git_commit: str = ""
    user: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


class RunFiles:
    """The files of one run directory, each read when it is first asked for and kept.

    Another look at a run that is changing needs another `RunFiles`.

    Args:
        path: The run directory.

    Attributes:
        path: The run directory.
        run: The content of `run.json`.

    Raises:
        UsageError: If `path` is no run directory.
        LayoutError: If an older or newer version wrote it.
        InkwellError: If its `run.json` is damaged.
    """

    def __init__(self, path: Path) -> None:
        if not is_run(path):
            raise UsageError(f"{in_line(path)} is not a run directory: it has no {RUN}")
        self.path = path
        written = read_json(path / RUN)
        check_layout(str(path), written)
        self.run = _record(path / RUN, written)

    @property
    def name(self) -> str:
        """The name of the run: that of its directory, as it is shown."""
        return printable(self.path.absolute().name)

    @cached_property
    def config_text(self) -> str:
        """The text of `config.toml`; empty for a run of a `Trainer` without configuration.

        Raises:
            InkwellError: If it cannot be read.
        """
        try:
            return read_bounded(self.path / CONFIG, MAX_TOML).decode()
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            raise InkwellError(f"{self.path / CONFIG} cannot be read: {error}") from error

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration as nested plain values; empty for a run of a `Trainer` without configuration.

        Raises:
            UsageError: If `config.toml` is damaged.
        """
        return read_toml(self.path / CONFIG) if (self.path / CONFIG).is_file() else {}

    @cached_property
    def result(self) -> Result | None:
        """The result of the run; None if the run has no result.

        Raises:
            InkwellError: If it is damaged.
        """
        return Result(read_json(self.path / RESULT)) if self.has_result else None

    @property
    def has_result(self) -> bool:
        """True if the run has a result."""
        return (self.path / RESULT).is_file()

    def finished(self) -> Result:
        """Return the result of a run that is done.

        Raises:
            UsageError: If it has none.
            InkwellError: If it is damaged.
        """
        if self.result is None:
            raise UsageError(f"{self.path} is not a finished run: it has no {RESULT}; resume it with fit.py --resume")
        return self.result

    @cached_property
    def model_text(self) -> str:
        """The Keras config of the model, JSON; empty if the run has none. Nothing in it can be trusted.

        Raises:
            InkwellError: If it cannot be read, or has more than 4 MiB.
        """
        try:
            return read_bounded(self.path / MODEL, MAX_MODEL).decode()
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            raise InkwellError(f"{self.path / MODEL} cannot be read: {error}") from error

    def status(self) -> Standing:
        """Return how the run stands now.

        Its process wrote `done`, `failed`, `interrupted` or `running`. A running one whose process is gone was
        `killed`; one that another machine runs is `elsewhere`; one that is done but has lost its result has `no
        result`.

        Raises:
            InkwellError: If `run.json` holds a status that no run writes.
        """
        run = self.run
        if run.status == "running":
            if is_alive(run.pid, run.host, run.boot_id):
                return "running"
            return "killed" if run.host == this_host() else "elsewhere"
        if run.status == "done":
            return "done" if self.has_result else "no result"
        if run.status in ("failed", "interrupted"):
            return run.status  # type: ignore[return-value]  # mypy does not narrow by `in`
        raise InkwellError(f"{self.path / RUN} is damaged: no run has the status {in_line(run.status)!r}")

    def history(self) -> list[dict[str, Any]]:
        """Return the lines of `history.jsonl`, oldest first; a last line that is half written is left out.

        Raises:
            InkwellError: If the file is damaged.
        """
        path = self.path / HISTORY
        try:
            content = read_bounded(path, MAX_HISTORY)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise InkwellError(f"{path} cannot be read: {first_line(error)}") from error
        return parse_lines(whole_lines(content), path)

    def last(self, name: str) -> Any:
        """Return the last value of a name in the history, looked for in its last 64 KiB; None if there is none.

        Raises:
            InkwellError: If these are damaged.
        """
        path = self.path / HISTORY
        if not is_file(path):  # a pipe would be waited for
            return None
        try:
            with path.open("rb") as file:
                start = max(0, file.seek(0, os.SEEK_END) - TAIL)
                file.seek(start)
                lines = whole_lines(file.read())
        except OSError:
            return None
        values = parse_lines(lines[1:] if start else lines, path)
        return next((line[name] for line in reversed(values) if name in line), None)

    def checkpoint(self, role: str) -> Path | None:
        """Return the checkpoint with a role (`"best"`, `"last"`); None if there is none.

        Raises:
            CheckpointError: If the pointer to it is damaged.
        """
        return Checkpoints(self.path / CHECKPOINTS).role(role)

    @property
    def report(self) -> Path:
        """The folder of pictures and tables, which may not exist."""
        return self.path / REPORT


def is_run(path: Path) -> bool:
    """Return whether a path is a run directory."""
    return is_file(path / RUN)


def is_file(path: Path) -> bool:
    """Return whether a path is a file; one that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, a folder that may not be looked into
        return False


_KNOWN = {each.name for each in fields(RunRecord)} - {"notes"}


def _record(path: Path, written: Mapping[str, Any]) -> RunRecord:
    """Return the content of `run.json`; what it holds besides is a plugin's.

    Raises:
        InkwellError: If a value is of the wrong type.
    """
    known = {key: value for key, value in written.items() if key in _KNOWN}
    notes = {key: value for key, value in written.items() if key not in {*_KNOWN, "layout"}}
    try:
        return TypeAdapter(RunRecord).validate_python({**known, "notes": notes})
    except ValidationError as error:
        problem = error.errors()[0]
        key = in_line(".".join(map(str, problem["loc"])))
        raise InkwellError(f"{path} is damaged: {key}: {explain(problem)}") from None
