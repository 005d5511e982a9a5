"""Reading of run directories; `trainer.runs.directory` describes and writes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from trainer.bounds.plain import MAX_TOML
from trainer.bounds.regular import read_bounded
from trainer.checkpoint import Checkpoints, check_layout
from trainer.config.merge import read_toml, resolve
from trainer.display.shown import Shown
from trainer.errors import InkwellError, UsageError
from trainer.files import read_json
from trainer.result import Result
from trainer.runs.history import parse_lines, whole_lines
from trainer.runs.inside import check_inside, leads_inside
from trainer.runs.lock import LOCK, is_held
from trainer.runs.process import this_host
from trainer.runs.schema import Data, Moment, Name, Outcome, Seconds, Text, Whole, conform, lacking
from trainer.text import first_line, in_line, printable

if TYPE_CHECKING:
    from trainer.data.seen import Seen

CONFIG, RUN, HISTORY, RESULT, MODEL = "config.toml", "run.json", "history.jsonl", "result.json", "model.json"
SEEN = "seen.bin"
CHECKPOINTS, REPORT = "checkpoints", "report"
MAX_MODEL, MAX_HISTORY, MAX_SEEN = 4 * 2**20, 256 * 2**20, 2**30
"""Size limits of `model.json`, `history.jsonl` and `seen.bin` (119 million images) in bytes."""
TAIL = 2**16
"""Number of bytes at the end of a history that are searched for the last validation."""

Standing = Literal["running", "done", "failed", "interrupted", "killed", "no checkpoint", "elsewhere", "no result"]


@dataclass(frozen=True, kw_only=True, repr=False)
class RunRecord(Shown):
    """The content of `run.json`.

    Attributes:
        id: Identity of the run, the same in all of its processes.
        name: Name of the run directory when the run was last active.
        started: Local time of the first start, ISO 8601.
        status: Last status that the run's process wrote; see `RunFiles.status` for the current one.
        stop_reason: Reason for the end of training; empty if there is none.
        ended: Unix seconds of the end; None while the run is running.
        pid: Process id; None if unknown.
        host: Name of the machine.
        command: Command line, without passwords.
        git_commit: Commit of the script's folder; empty outside git.
        user: Name of the user.
        versions: Versions of Python and packages.
        classifies: True if the task is classification.
        data: Name, digest, sizes and class names of the data, as far as known.
        notes: Values stored by plugins, by plugin name.
    """

    id: Name = ""
    name: Name = ""
    started: Moment = ""
    status: Name = "unknown"
    stop_reason: Text = ""
    ended: Seconds | None = None
    pid: Whole | None = None
    host: Name = ""
    command: Annotated[str, Field(strict=True, max_length=2**20)] = ""
    git_commit: Name = ""
    user: Name = ""
    versions: dict[Name, Name] = field(default_factory=dict)
    classifies: Annotated[bool, Field(strict=True)] = True
    data: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def _line(self) -> str:
        return f"{in_line(self.name)}: {in_line(self.status)}, started {in_line(self.started)}"


class RunFiles(Shown):
    """The files of one run directory, each read on first access and cached.

    To see later changes of a run, create another `RunFiles`.

    Args:
        path: The run directory.

    Attributes:
        path: The run directory.
        run: The content of `run.json`.

    Raises:
        UsageError: If `path` is not a run directory.
        LayoutError: If an older or newer version wrote it.
        InkwellError: If its `run.json` is damaged, or it contains a link to the outside.
    """

    def __init__(self, path: Path) -> None:
        if not is_run(path):
            begun = is_file(path / LOCK)
            hint = "; the run was killed while starting: delete the folder and start it again" if begun else ""
            raise UsageError(f"{in_line(path)} is not a run directory: {RUN} is missing{hint}")
        check_inside(path, (CHECKPOINTS, REPORT))
        self.path = path
        written = read_json(path / RUN)
        check_layout(str(path), written)
        self.run = _record(path / RUN, written)

    def _line(self) -> str:
        headline = f"; {self.result.headline}" if self.result is not None else ""
        return f"{self.name}: {self.status()}{headline}"

    def _card(self) -> str:
        from trainer.runs.card import run_card

        return run_card(self)

    @property
    def name(self) -> str:
        """The name of the run (that of its directory), printable."""
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
            raise InkwellError(f"cannot read {self.path / CONFIG}: {error}") from error

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration as nested plain values; empty for a run of a `Trainer` without configuration.

        Raises:
            UsageError: If `config.toml` is damaged or invalid.
            InkwellError: If it cannot be read.
        """
        if not self.config_text:
            return {}
        values = read_toml(self.path / CONFIG)
        resolve([values], str(self.path / CONFIG))
        return values

    @cached_property
    def result(self) -> Result | None:
        """The result of the run; None if the run has no result.

        Raises:
            InkwellError: If it is damaged.
        """
        if not self.has_result:
            return None
        values = read_json(self.path / RESULT)
        conform(Outcome, values, self.path / RESULT)
        return Result(values)

    @property
    def has_result(self) -> bool:
        """True if the run has a result."""
        return os.path.lexists(self.path / RESULT)

    def finished(self) -> Result:
        """Return the result of a finished run, with every key that a run writes.

        Raises:
            UsageError: If there is no result.
            InkwellError: If it is damaged.
        """
        if self.result is None:
            raise UsageError(f"{self.path} is not a finished run: {RESULT} is missing; resume it with fit.py --resume")
        if (key := lacking(Outcome, self.result)) is not None:
            raise InkwellError(f"{self.path / RESULT} is damaged: {key} is missing")
        return self.result

    @cached_property
    def model_text(self) -> str:
        """The Keras config of the model as untrusted JSON; empty if the run has none.

        Raises:
            InkwellError: If it cannot be read, or is larger than 4 MiB.
        """
        try:
            return read_bounded(self.path / MODEL, MAX_MODEL).decode()
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            raise InkwellError(f"cannot read {self.path / MODEL}: {error}") from error

    @cached_property
    def seen(self) -> Seen | None:
        """The images that the run was trained and validated on; None if unknown, for example for streamed data.

        Raises:
            InkwellError: If the record cannot be read, or is larger than 1 GiB.
        """
        from trainer.data.seen import Seen  # imports NumPy

        try:
            return Seen.from_bytes(read_bounded(self.path / SEEN, MAX_SEEN))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InkwellError(
                f"cannot read {self.path / SEEN}: {first_line(error)}; delete it to evaluate without it"
            ) from error

    def status(self) -> Standing:
        """Return the current status of the run.

        Its process wrote `done`, `failed`, `interrupted` or `running`. A run counts as running as long as its process
        holds the lock of the run directory. Otherwise it was `killed`, or has `no checkpoint` if it was killed before
        the first one was written. The status is `elsewhere` if it cannot be determined here, because the run belongs to
        another machine or the file system has no locks. A finished run whose result was deleted has `no result`.

        Raises:
            InkwellError: If the status in `run.json` is invalid.
        """
        run = self.run
        if run.status == "running":
            return self._standing_of_running()
        if run.status == "done":
            return "done" if self.has_result else "no result"
        if run.status in ("failed", "interrupted"):
            return run.status  # type: ignore[return-value]  # mypy does not narrow by `in`
        raise InkwellError(f"{self.path / RUN} is damaged: unknown status '{in_line(run.status)}'")

    def _standing_of_running(self) -> Standing:
        """Return the current status of a run whose last recorded status is `running`."""
        held = is_held(self.path)
        if held:
            return "running"
        if held is None or self.run.host != this_host():
            return "elsewhere"
        return "killed" if any(Checkpoints(self.path / CHECKPOINTS).newest()) else "no checkpoint"

    def history(self) -> list[dict[str, Any]]:
        """Return the lines of `history.jsonl`, oldest first, without an incomplete last line.

        Raises:
            InkwellError: If the file is damaged.
        """
        path = self.path / HISTORY
        try:
            content = read_bounded(path, MAX_HISTORY)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise InkwellError(f"cannot read {path}: {first_line(error)}") from error
        return parse_lines(whole_lines(content), path)

    @property
    def history_size(self) -> int:
        """Bytes of `history.jsonl`; 0 if there is none."""
        try:
            return (self.path / HISTORY).stat().st_size
        except OSError:
            return 0

    def last(self, name: str) -> Any:
        """Return the last value of a name within the last 64 KiB of the history; None if there is none.

        Raises:
            InkwellError: If these lines are damaged.
        """
        path = self.path / HISTORY
        if not is_file(path):  # opening a pipe would block until something is written to it
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
        """Return the checkpoint with a role (`"best"`, `"last"`), or None if there is none.

        Raises:
            CheckpointError: If the pointer to it is damaged.
        """
        return Checkpoints(self.path / CHECKPOINTS).role(role)

    @property
    def report(self) -> Path:
        """The folder of pictures and tables, which may not exist.

        Raises:
            InkwellError: If it is a link that leads out of the run directory.
        """
        return self.inside(self.path / REPORT)

    def inside(self, path: Path) -> Path:
        """Return a path after checking that it stays in the run directory when links are resolved.

        Raises:
            InkwellError: If it leads out of the run directory.
        """
        if not leads_inside(path, self.path):
            raise InkwellError(f"{path} is a link that leads out of the run directory; remove it")
        return path


def is_run(path: Path) -> bool:
    """Return True if a path is a run directory."""
    return is_file(path / RUN)


def is_file(path: Path) -> bool:
    """Return True if a path is a file; False for invalid paths."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # the name is too long, or the folder is not readable
        return False


_KNOWN = {each.name for each in fields(RunRecord)} - {"notes"}


def _record(path: Path, written: Mapping[str, Any]) -> RunRecord:
    """Return the content of `run.json`; unknown keys belong to plugins.

    Raises:
        InkwellError: If a value is of the wrong type.
    """
    known = {key: value for key, value in written.items() if key in _KNOWN}
    notes = {key: value for key, value in written.items() if key not in {*_KNOWN, "layout"}}
    record: RunRecord = conform(RunRecord, {**known, "notes": notes}, path)
    conform(Data, record.data, path)
    return record
