"""`mlflow.json` of a run directory: where the run is mirrored, and how much of it.

It is a file of its own, since others than the run's process write it too: the next start of a run, `mlflow_sync.py`.

Nothing in it can be trusted: the directory may be somebody else's. It says how far a store got that the user named by
other means, and never where anything is sent.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

from filelock import FileLock
from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from plugins.mlflow.journal import Mark
from plugins.mlflow.store import Store
from trainer.errors import InkwellError
from trainer.files import read_json, to_json, write_atomic
from trainer.text import command

STATE, LOCK = "mlflow.json", ".mlflow.lock"
LONGEST_NAME = 250


def _printable(text: str) -> str:
    """Return a text that a terminal can show as it is.

    Raises:
        ValueError: If it has control characters, or such as turn the direction of writing.
    """
    if not text.isprintable():
        raise ValueError("not printable")
    return text


def model_name(name: str) -> str:
    """Return a name that a registered model can have; it becomes a part of addresses, paths and queries.

    Raises:
        ValueError: If it cannot be one.
    """
    if not name.isprintable() or len(name) > LONGEST_NAME or set(name) & set("/:'\"") or name.strip(". ") != name:
        raise ValueError(
            f"a registered model cannot be named {name!r}: use up to {LONGEST_NAME} characters other than / : ' and "
            '", with no dot or blank at either end'
        )
    return name


Text = Annotated[str, Field(max_length=2000), AfterValidator(_printable)]
ModelName = Annotated[str, AfterValidator(model_name)]
MlflowId = Annotated[str, Field(max_length=256, pattern=r"^([A-Za-z0-9][A-Za-z0-9_-]*)?$")]


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Attributes:
        experiment: Name of the MLflow experiment.
        parent: Name of the run under which this one is nested; empty for none.
        log_model: Whether the trained model is logged.
        register: Name of the registered model that it becomes a version of; empty for none.
    """

    experiment: Text = "inkwell"
    parent: Text = ""
    log_model: bool = True
    register: ModelName = ""


@dataclass(frozen=True)
class State:
    """Where a run is mirrored, and how much of it.

    Attributes:
        settings: What the user asked for.
        tracking_uri: The store, without a password; empty for the one of the run root.
        run_id: The MLflow run; empty before it exists.
        described: Whether parameters, tags and dataset were sent.
        history: Up to where `history.jsonl` was sent.
        system: Up to where `system.jsonl` was sent.
        superseded: Steps of which MLflow has points that the run took back.
        numbers: Status of the run when MLflow had all of its numbers, size and time of the history then.
        ended: Status of the run that MLflow was told last; empty while the run is running there.
        files: Size and time of each file that was sent, by its path below the run directory.
        model: Whether the trained model was logged.
        registered: Name of the registered model that it was made a version of; empty for none.
    """

    settings: Settings = field(default_factory=Settings)
    tracking_uri: Text = ""
    run_id: MlflowId = ""
    described: bool = False
    history: Mark = field(default_factory=Mark)
    system: Mark = field(default_factory=Mark)
    superseded: tuple[int, ...] = ()
    numbers: tuple[Text, int, int] = ("", 0, 0)
    ended: Text = ""
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    model: bool = False
    registered: ModelName = ""

    @classmethod
    def read(cls, run_dir: Path) -> State | None:
        """Return what `mlflow.json` says; None if it is missing or damaged: nothing depends on it."""
        try:
            return TypeAdapter(cls).validate_python(read_json(run_dir / STATE))
        except (InkwellError, ValidationError):
            return None

    @classmethod
    def of(cls, run_dir: Path, store: Store) -> State:
        """Return how much of a run `store` has, as `mlflow.json` says; nothing if that is about another store."""
        state = cls.read(run_dir) or cls()
        if state.is_at(store, run_dir.absolute().parent):
            return state
        return cls(state.settings, "" if store.default else store.shown)

    def write(self, run_dir: Path) -> None:
        """Write `mlflow.json`.

        Raises:
            OSError: If the disk is full or read-only.
        """
        write_atomic(run_dir / STATE, to_json(asdict(self)))

    def is_at(self, store: Store, root: Path) -> bool:
        """Return True if this is about a run of the run root `root` in `store`."""
        return Store.at(self.tracking_uri, root).is_same(store)

    def with_settings(self, settings: Settings) -> State:
        """Return the state of a run that is started or resumed; what was to be sent at its end is sent again."""
        anew = State(settings, self.tracking_uri, self.run_id)
        return replace(anew, history=self.history, system=self.system, superseded=self.superseded, files=self.files)


def mirror_lock(run_dir: Path) -> FileLock:
    """Return the lock of the one process that mirrors a run."""
    return FileLock(run_dir / LOCK)


def sync_command(run_dir: Path, store: Store, register: str) -> str:
    """Return the command that sends what `store` is missing of a run.

    It names whatever the run directory may not decide: a store that is not the environment's, and a registered model.
    """
    words = [str(run_dir)]
    if not Store.own(None, run_dir.absolute().parent).is_same(store):
        words += ["--uri", store.shown]
    if register:
        words += ["--register", register]
    return f"{command('mlflow_sync')} {shlex.join(words)}"


def ui_command(run_dir: Path, uri: str | None) -> str | None:
    """Return the command that shows a run in MLflow's pages; None if it is in no store of this machine.

    Args:
        run_dir: The run directory.
        uri: The tracking URI that the user named, if any; that of `mlflow.json` is not shown to anybody.
    """
    store = Store.own(uri, run_dir.absolute().parent)
    if store.database is None or not State.of(run_dir, store).run_id:
        return None
    return f"mlflow ui --backend-store-uri {shlex.quote(store.uri)}"
