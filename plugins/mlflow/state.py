"""`mlflow.json` of a run directory: where the run is mirrored, and how much of it.

It is a separate file because processes other than the run's write it too: the next run, and `mlflow_sync.py`.

Its content is untrusted: the directory may come from somebody else. It says how much was sent to a store that the
user named by other means, and never decides where anything is sent.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from plugins.mlflow import page
from plugins.mlflow.destination import Destination
from plugins.mlflow.journal import Mark
from plugins.mlflow.names import MlflowId, ModelName, Text
from plugins.mlflow.store import Store
from trainer.errors import InkwellError
from trainer.files import read_json, to_json, write_atomic
from trainer.text import command

STATE, LOCK = "mlflow.json", ".mlflow.lock"


@dataclass(frozen=True)
class Settings:
    """The user's choices.

    Attributes:
        destination: The experiment, and the MLflow run if the environment named one.
        parent: Name of the run to nest this one under; empty for none.
        log_model: True to log the trained model.
        register: Name of the registered model that gets it as a version; empty for none.
    """

    destination: Destination = field(default_factory=Destination)
    parent: Text = ""
    log_model: bool = True
    register: ModelName = ""


@dataclass(frozen=True)
class State:
    """The mirror of a run: its place, and how much was sent.

    Attributes:
        settings: The user's choices.
        tracking_uri: The store, without a password; empty for the default one in the run root.
        run_id: The MLflow run; empty before it exists.
        experiment_id: Its experiment.
        described: Status of the run when parameters, tags, dataset and description were sent; empty if they were not.
        history: Position up to which `history.jsonl` was sent.
        system: Position up to which `system.jsonl` was sent.
        superseded: Steps for which MLflow has points that no longer hold.
        numbers: Status of the run when all its numbers had been sent, and size and time of the history at that point.
        ended: Final status last sent to MLflow; empty while the run is active there.
        files: Size and modification time of each file that was sent, by its path relative to the run directory.
        model: True if the trained model was logged.
        registered: Name of the registered model that has it as a version; empty for none.
    """

    settings: Settings = field(default_factory=Settings)
    tracking_uri: Text = ""
    run_id: MlflowId = ""
    experiment_id: MlflowId = ""
    described: Text = ""
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
        """Return the content of `mlflow.json`; None if it is missing or damaged, which does no harm."""
        try:
            return TypeAdapter(cls).validate_python(read_json(run_dir / STATE))
        except (InkwellError, ValidationError):
            return None

    @classmethod
    def of(cls, run_dir: Path, store: Store) -> State:
        """Return how much of a run `store` has according to `mlflow.json`; nothing if the file names another store."""
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
        """Return True if this state is about a run of run root `root` in `store`."""
        return Store.at(self.tracking_uri, root).is_same(store)

    def to(self, destination: Destination) -> State:
        """Return the state for `destination`: this one if unchanged, else one with nothing sent."""
        if self.settings.destination == destination:
            return self
        return State(replace(self.settings, destination=destination), self.tracking_uri)

    def with_settings(self, settings: Settings) -> State:
        """Return the state of a run that starts or resumes; what is sent at its end will be sent again."""
        anew = State(settings, self.tracking_uri, self.run_id, self.experiment_id)
        return replace(anew, history=self.history, system=self.system, superseded=self.superseded, files=self.files)


def mirror_lock(run_dir: Path) -> FileLock:
    """Return the lock that allows one process to mirror a run."""
    return FileLock(run_dir / LOCK)


def sync_command(run_dir: Path, store: Store, register: str) -> str:
    """Return the command that sends what `store` is missing of a run.

    It spells out what the run directory may not decide: a store other than the environment's, and a registered model.
    """
    words = [str(run_dir)]
    if not Store.own(None, run_dir.absolute().parent).is_same(store):
        words += ["--uri", store.shown]
    if register:
        words += ["--register", register]
    return f"{command('mlflow_sync')} {shlex.join(words)}"


def in_the_browser(run_dir: Path, uri: str | None) -> tuple[str, str] | None:
    """Return the command that serves a run in MLflow's web interface, and the address to open.

    Args:
        run_dir: The run directory.
        uri: The tracking URI that the user named, if any; the one in `mlflow.json` is never shown.

    Returns:
        None if the run is not in a store on this machine.
    """
    store = Store.own(uri, run_dir.absolute().parent)
    state = State.of(run_dir, store)
    if store.database is None or not state.run_id:
        return None
    return f"mlflow ui --backend-store-uri {shlex.quote(store.uri_from_here())}", page.address(state.experiment_id)
