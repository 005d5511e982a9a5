"""Finished runs that MLflow has not seen the end of: they were killed, or could not reach their store."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from filelock import Timeout

from plugins.mlflow.destination import Destination, confirmed, destination
from plugins.mlflow.mirror import CHANNELS, Mirror, missing
from plugins.mlflow.state import Settings, State, mirror_lock
from plugins.mlflow.store import Store
from trainer.errors import InkwellError, UsageError
from trainer.runs.files import RUN, RunFiles
from trainer.text import first_line


class Busy(InkwellError):  # noqa: N818, a state rather than an error
    """The run is still running, or another process mirrors it."""


class Elsewhere(UsageError):  # noqa: N818, a state rather than an error
    """The run directory names a different store than the user does."""


ENDS = {
    **{"killed": "interrupted", "no checkpoint": "interrupted", "elsewhere": "interrupted"},
    **{"no result": "done", "running": None},
}
"""Final status of a run for MLflow, by its status; None if it is still active. Other statuses map to themselves."""


def how_ended(files: RunFiles) -> str | None:
    """Return the final status as in `run.json`: `interrupted` if the process was killed, None if the run is active."""
    status = files.status()
    return ENDS.get(status, status)


def behind(root: Path, passed: Callable[[str], None] = lambda line: None) -> Iterator[Path]:
    """Yield the finished runs under `root` that, according to their directories, MLflow is missing something of.

    Args:
        root: The run root.
        passed: Called with one line for each damaged run.
    """

    def lacks(run_dir: Path, state: State, ended: str) -> bool:
        return bool(missing(run_dir, state, replace(state.settings, register=""), ended))

    return _over(root, lacks, passed)


def to_help(root: Path, store: Store, settings: Settings, wanted: Collection[str]) -> Iterator[Path]:
    """Yield the finished runs under `root` for which a run in `store` can send something that is missing.

    They must be in the same store, and either be there already or have the same destination and parent: a directory,
    which may come from somebody else, decides neither where anything is sent nor what is created there.

    Args:
        root: The run root.
        store: The store of the helping run.
        settings: Settings of the helping run.
        wanted: The channels that it can send.
    """

    def lacks(run_dir: Path, state: State, ended: str) -> bool:
        theirs = state.settings
        known = bool(state.run_id) or (theirs.destination, theirs.parent) == (settings.destination, settings.parent)
        return known and state.is_at(store, root) and bool({*wanted} & {*missing(run_dir, state, settings, ended)})

    return _over(root, lacks)


def _over(
    root: Path, lacks: Callable[[Path, State, str], bool], passed: Callable[[str], None] = lambda line: None
) -> Iterator[Path]:
    """Yield the mirrored runs under `root` that have ended and of which something is missing.

    Runs of another machine, on a shared disk, that seem to be active are skipped: their state cannot be checked here.

    Args:
        root: The run root.
        lacks: Returns True if something is missing of a run with this state and final status.
        passed: Called with one line for each damaged run.
    """
    for path in sorted(root.glob(f"*/{RUN}")):
        run_dir = path.parent
        try:
            files, state = RunFiles(run_dir), State.read(run_dir)
            ended = None if files.status() == "elsewhere" else how_ended(files)
            found = state is not None and ended is not None and lacks(run_dir, state, ended)
        except (InkwellError, OSError, ValueError) as error:
            passed(f"skipped: {first_line(error)}")
        else:
            if found:
                yield run_dir


def check_own(run_dir: Path, store: Store) -> None:
    """Refuse to send a run to `store` if its directory names another one; no store is contacted.

    Raises:
        Elsewhere: If it names another one; the message gives the flag to use.
    """
    state = State.read(run_dir)
    if state is None or state.is_at(store, run_dir.absolute().parent):
        return
    named = Store.at(state.tracking_uri, run_dir.absolute().parent).shown
    theirs, own = (shlex.quote(uri) for uri in (named, store.shown))
    raise Elsewhere(
        f"cannot send {run_dir}: its mlflow.json names a different store than yours, {named}; "
        f"add --uri {theirs} if you trust that one, or --uri {own} to send the run to yours"
    )


def asked(run_dir: Path, register: str) -> Settings:
    """Return the settings of a run's mirror, except for what its directory may not decide.

    The user decides the name under which its model is registered, and the environment the ids of experiments and runs.
    For a run that was not mirrored, the environment decides everything.
    """
    state = State.read(run_dir)
    settings = Settings() if state is None else state.settings
    where = destination(None) if state is None else confirmed(settings.destination)
    return replace(settings, destination=where, register=register)


def unregistered(run_dir: Path) -> str:
    """Return the name under which the model of a run has yet to be registered; empty if there is none."""
    state = State.read(run_dir)
    return "" if state is None or state.settings.register == state.registered else state.settings.register


def bring_up_to_date(
    run_dir: Path,
    store: Store,
    settings: Settings,
    wanted: Collection[str] = CHANNELS,
    alive: Callable[[], None] = lambda: None,
    imports: Sequence[str] = (),
    experiment: str = "",
) -> bool:
    """Send whatever a store is missing of a finished run; return True if there was anything to send.

    Args:
        run_dir: The run directory.
        store: The store to send to.
        settings: What to send, and where in the store.
        wanted: The channels to send.
        alive: Called after each unit of work.
        imports: Modules that register parts of its model; see `trainer.runs.trained.load_trained`.
        experiment: Name of the experiment to log to, starting over if the run was logged elsewhere; empty for the one
            in `settings`.

    Raises:
        Busy: If the run is active, or another process is mirroring it.
        UsageError: If `run_dir` is not a run directory.
        InkwellError: If its files are damaged or have another layout, or some of it could not be sent.
        Exception: Whatever MLflow, its store or its server raises.
    """
    ended = how_ended(RunFiles(run_dir))
    if ended is None:
        raise Busy(f"cannot send {run_dir}: it is still running, and its own process mirrors it")
    run_dir = run_dir.absolute()
    try:
        with mirror_lock(run_dir).acquire(timeout=0):
            state = State.of(run_dir, store)
            if experiment:
                settings = replace(settings, destination=Destination(experiment))
                state = state.to(settings.destination)
            if not {*wanted} & {*missing(run_dir, state, settings, ended)}:
                return False
            Mirror(run_dir, store, state, settings, alive, imports).update(ended, wanted)
            return True
    except Timeout as error:
        raise Busy(f"cannot send {run_dir}: another process is mirroring it") from error
