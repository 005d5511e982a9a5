"""The MLflow store: a tracking URI, and a SQLite file with its artifacts if it is local."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from filelock import FileLock, Timeout

from trainer.errors import InkwellError
from trainer.runs.inside import leads_inside
from trainer.runs.provenance import without_password
from trainer.text import in_line, printable

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
BUSY_SECONDS = 5.0
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Columns of MLflow's tables that contain absolute artifact addresses."""


@dataclass(frozen=True)
class Store:
    """A place where MLflow keeps runs.

    Attributes:
        uri: The tracking URI.
        database: The file of a SQLite store, next to its lock and artifacts; None for other stores.
        default: True for the store in a run root, which moves along with it.
    """

    uri: str
    database: Path | None
    default: bool = False

    @classmethod
    def at(cls, uri: str | None, root: Path) -> Store:
        """Return the store at `uri`, by default a SQLite file in `root`; relative paths are made absolute."""
        default = not uri
        uri = uri or f"sqlite:///{(root.absolute() / DATABASE).as_posix()}"
        if not uri.startswith("sqlite:///"):
            return cls(uri, None)
        database = Path(uri.removeprefix("sqlite:///")).absolute()
        return cls(f"sqlite:///{database.as_posix()}", database, default)

    @classmethod
    def own(cls, uri: str | None, root: Path) -> Store:
        """Return the user's store: at `uri`, else as set in the environment, else the one in `root`."""
        return cls.at(uri or os.environ.get("MLFLOW_TRACKING_URI"), root)

    def is_same(self, other: Store) -> bool:
        """Return True if both are the same store; passwords are ignored."""
        if self.database is None or other.database is None:
            return self.database is other.database and self.shown.rstrip("/") == other.shown.rstrip("/")
        return os.path.realpath(self.database) == os.path.realpath(other.database)

    def uri_from_here(self) -> str:
        """Return the tracking URI for a command line in the current folder: short if the database is below it."""
        if self.database is not None:
            with suppress(OSError, ValueError):  # the current folder is gone, or is not above the database
                return f"sqlite:///{self.database.relative_to(Path.cwd()).as_posix()}"
        return self.uri

    @property
    def shown(self) -> str:
        """The URI with any password removed."""
        return without_password(self.uri)

    @property
    def artifacts(self) -> str | None:
        """The artifact location for new experiments; None if a server decides."""
        return None if self.database is None else (self.database.parent / ARTIFACTS).as_uri()

    def check_artifacts(self, address: str) -> None:
        """Refuse to send files outside the run root if the store is the one in the run root.

        The folder may come from somebody else, and its database may contain any address.

        Raises:
            InkwellError: If the artifacts would go elsewhere.
        """
        if not self.default or self.database is None:
            return
        parts = urlsplit(address)
        if parts.scheme != "file" or not leads_inside(Path(url2pathname(parts.path)), self.database.parent / ARTIFACTS):
            raise InkwellError(
                f"{self.database} keeps files at {in_line(address)}, not in {ARTIFACTS} beside it; "
                f"to send them there anyway, name the store: --uri {self.uri}"
            )

    @contextmanager
    def alone(self, root: Path, alive: Callable[[], None]) -> Iterator[None]:
        """Hold the lock for creating and checking a store: next to the database, else in the run root.

        Args:
            root: The run root.
            alive: Called every second while another process holds the lock.

        Raises:
            OSError: If the lock cannot be created.
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
        """Create a SQLite store if there is none, and check that it is writable; the caller holds the lock.

        MLflow itself would leave a half-written file behind on a full disk, and would wait minutes for a file that
        cannot be opened.

        Raises:
            InkwellError: If MLflow would misread the path of the file.
            OSError: If the disk is full or read-only.
            sqlite3.Error: If the file is damaged, stays locked, or is not writable.
        """
        if self.database is None:
            return
        if "?" in str(self.database) or unquote(str(self.database)) != str(self.database):
            raise InkwellError(
                f"cannot create a SQLite file at {printable(self.database)}: MLflow interprets ? and percent escapes "
                "in paths; set MLFLOW_TRACKING_URI to another path, or move the runs with --run-dir"
            )
        if not self.database.exists():
            _make(self.database, self.artifacts)
        with closing(sqlite3.connect(self.database, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            if self.default:
                _follow(connection, (self.database.parent / ARTIFACTS).as_uri())
            connection.execute("COMMIT")


def _taken(lock: FileLock) -> bool:
    """Return True if `lock` could be acquired within a second."""
    try:
        lock.acquire(timeout=1.0)
    except Timeout:
        return False
    return True


def _make(database: Path, artifacts: str | None) -> None:
    """Create a SQLite store under a temporary name, then rename it; leftovers of a killed process are deleted."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    aside = database.with_name(f".tmp-{database.name}")
    leftovers = (aside, aside.with_name(f"{aside.name}-journal"))
    try:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        aside.touch()  # fails at once where no file can be created
        SqlAlchemyStore(f"sqlite:///{aside.as_posix()}", artifacts).engine.dispose()
        aside.replace(database)
    finally:
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)


def _follow(connection: sqlite3.Connection, artifacts: str) -> None:
    """Rewrite the artifact addresses of a store that was moved together with its artifacts.

    MLflow stores absolute addresses and has no call to change them. The default experiment, which `_make` created,
    tells where the store used to be.
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
