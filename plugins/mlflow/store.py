"""Where MLflow keeps things."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from filelock import FileLock, Timeout

from trainer.errors import InkwellError
from trainer.runs.provenance import without_password

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
BUSY_SECONDS = 5.0
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Columns of MLflow's tables that hold absolute addresses of artifacts."""


@dataclass(frozen=True)
class Store:
    """Where MLflow keeps things.

    Attributes:
        uri: The tracking URI.
        database: The file of a SQLite store, beside which its lock and artifacts lie; else None.
        default: Whether it is the store of a run root, which moves with it.
    """

    uri: str
    database: Path | None
    default: bool = False

    @classmethod
    def at(cls, uri: str | None, root: Path) -> Store:
        """Return the store at `uri`, by default a SQLite file in `root`; a relative path is made absolute."""
        default = not uri
        uri = uri or f"sqlite:///{(root.absolute() / DATABASE).as_posix()}"
        if not uri.startswith("sqlite:///"):
            return cls(uri, None)
        database = Path(uri.removeprefix("sqlite:///")).absolute()
        return cls(f"sqlite:///{database.as_posix()}", database, default)

    @property
    def shown(self) -> str:
        """The URI without a password."""
        return without_password(self.uri)

    @property
    def artifacts(self) -> str | None:
        """Where a new experiment puts its artifacts; None where a server decides."""
        return None if self.database is None else (self.database.parent / ARTIFACTS).as_uri()

    @contextmanager
    def alone(self, root: Path, alive: Callable[[], None]) -> Iterator[None]:
        """Hold the lock under which a store is made and found ready: beside the database, else in the run root.

        Args:
            root: The run root.
            alive: Called every second while another process has the lock.

        Raises:
            OSError: If the lock cannot be made.
        """
        folder = self.database.parent if self.database is not None else root
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{DATABASE}.lock")
        while not _taken(lock):
            alive()
        try:
            yield
        finally:
            lock.release()

    def prepare(self) -> None:
        """Make a SQLite store if there is none, and see that it can be written to; the lock is held.

        MLflow itself would leave a half-made file behind on a full disk, and would wait for minutes for one that
        cannot be opened.

        Raises:
            InkwellError: If MLflow would take the path of the file for another one.
            OSError: If the disk is full or read-only.
            sqlite3.Error: If the file is damaged, locked for long, or may not be written to.
        """
        if self.database is None:
            return
        if "?" in str(self.database) or unquote(str(self.database)) != str(self.database):
            raise InkwellError(
                "cannot keep a SQLite file there: MLflow reads ? and % with two digits in its path as something else; "
                "name another with MLFLOW_TRACKING_URI, or put the runs elsewhere with --run-dir"
            )
        if not self.database.exists():
            _make(self.database, self.artifacts)
        with closing(sqlite3.connect(self.database, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            if self.default:
                _follow(connection, (self.database.parent / ARTIFACTS).as_uri())
            connection.execute("COMMIT")


def _taken(lock: FileLock) -> bool:
    """Return whether `lock` could be acquired within a second."""
    try:
        lock.acquire(timeout=1.0)
    except Timeout:
        return False
    return True


def _make(database: Path, artifacts: str | None) -> None:
    """Make a SQLite store aside, then give it its name; what a killed process left half-made is deleted."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    aside = database.with_name(f".tmp-{database.name}")
    leftovers = (aside, aside.with_name(f"{aside.name}-journal"))
    try:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        aside.touch()  # fails at once where no file can be made
        SqlAlchemyStore(f"sqlite:///{aside.as_posix()}", artifacts).engine.dispose()
        aside.replace(database)
    finally:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)


def _follow(connection: sqlite3.Connection, artifacts: str) -> None:
    """Rewrite the addresses of artifacts in a store that was moved together with them.

    MLflow keeps them absolute, and has no call that changes them. The default experiment, which `_make` had made,
    tells where the store was.
    """
    row = connection.execute("SELECT artifact_location FROM experiments ORDER BY experiment_id LIMIT 1").fetchone()
    before = row[0].rpartition("/")[0] if row and row[0] else ""
    if before == artifacts or not before.endswith(f"/{ARTIFACTS}"):
        return
    for table, column in PLACES:
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column} || '/', 1, ?) = ?",
            (artifacts, len(before) + 1, len(before) + 1, f"{before}/"),
        )
