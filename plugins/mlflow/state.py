"""`mlflow.json` of a run directory: where the run is mirrored, and how much of it.

It is a file of its own, since others than the run's process write it too: the next start of a run, `mlflow_sync.py`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from plugins.mlflow import page
from plugins.mlflow.destination import Destination
from plugins.mlflow.journal import Mark
from plugins.mlflow.store import Store
from trainer.errors import InkwellError
from trainer.files import read_json, to_json, write_atomic

STATE, LOCK = "mlflow.json", ".mlflow.lock"


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Attributes:
        destination: The experiment, and the MLflow run if the environment named one.
        parent: Name of the run under which this one is nested; empty for none.
        log_model: Whether the trained model is logged.
        register: Name of the registered model that it becomes a version of; empty for none.
    """

    destination: Destination = field(default_factory=Destination)
    parent: str = ""
    log_model: bool = True
    register: str = ""


@dataclass(frozen=True)
class State:
    """Where a run is mirrored, and how much of it.

    Attributes:
        settings: What the user asked for.
        tracking_uri: The store, without a password; empty for the one of the run root.
        run_id: The MLflow run; empty before it exists.
        experiment_id: Its experiment.
        history: Up to where `history.jsonl` was sent.
        system: Up to where `system.jsonl` was sent.
        files: Size and time of each file that was sent, by its path below the run directory.
        superseded: Steps of which MLflow has points that the run took back.
        model: Whether the trained model was logged.
        complete: Status of the run when MLflow had all of it; empty while it has not.
    """

    settings: Settings = field(default_factory=Settings)
    tracking_uri: str = ""
    run_id: str = ""
    experiment_id: str = ""
    history: Mark = field(default_factory=Mark)
    system: Mark = field(default_factory=Mark)
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    superseded: tuple[int, ...] = ()
    model: bool = False
    complete: str = ""

    @classmethod
    def read(cls, run_dir: Path) -> State | None:
        """Return what `mlflow.json` says; None if it is missing or damaged: nothing depends on it."""
        try:
            return TypeAdapter(cls).validate_python(read_json(run_dir / STATE))
        except (InkwellError, ValidationError):
            return None

    def write(self, run_dir: Path) -> None:
        """Write `mlflow.json`.

        Raises:
            OSError: If the disk is full or read-only.
        """
        write_atomic(run_dir / STATE, to_json(asdict(self)))

    def at(self, store: Store) -> State:
        """Return the state for `store`: this one if the run is mirrored there, else one of which nothing was sent."""
        uri = "" if store.default else store.shown
        return self if uri == self.tracking_uri else State(self.settings, uri)

    def store(self, run_dir: Path) -> Store:
        """Return where the run is mirrored; a password that is not written down is looked for in the environment."""
        known = os.environ.get("MLFLOW_TRACKING_URI")
        store = Store.at(self.tracking_uri, run_dir.absolute().parent)
        if known and Store.at(known, run_dir).shown == store.shown:
            return Store.at(known, run_dir)
        return store

    def to(self, destination: Destination) -> State:
        """Return the state for `destination`: this one if it is the same, else one of which nothing was sent."""
        if self.settings.destination == destination:
            return self
        return State(replace(self.settings, destination=destination), self.tracking_uri)

    def with_settings(self, settings: Settings) -> State:
        """Return the state of a run that is started or resumed; what was to be logged once is logged again."""
        return replace(self, settings=settings, complete="", model=False)


def mirror_lock(run_dir: Path) -> FileLock:
    """Return the lock of the one process that mirrors a run."""
    return FileLock(run_dir / LOCK)


def in_the_browser(run_dir: Path) -> tuple[str, str] | None:
    """Return the command that shows a run in MLflow's pages and the address to open then.

    None if the run is in no store of this machine.
    """
    state = State.read(run_dir)
    if state is None or not state.run_id:
        return None
    store = state.store(run_dir)
    if store.database is None:
        return None
    return f"mlflow ui --backend-store-uri {shlex.quote(store.uri)}", page.address(state.experiment_id)
