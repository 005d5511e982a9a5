"""Runs that are over and that MLflow does not know the end of: killed ones, and those that lost their store."""

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


class Busy(InkwellError):  # noqa: N818, a state and no fault
    """The run is still running, or another process mirrors it."""


class Elsewhere(UsageError):  # noqa: N818, a state and no fault
    """The run directory names another store than the user does."""


ENDS = {
    **{"killed": "interrupted", "no checkpoint": "interrupted", "elsewhere": "interrupted"},
    **{"no result": "done", "running": None},
}
"""How a run ended, for MLflow, by its status; None if it has not. The others mean the same in both."""


def how_ended(files: RunFiles) -> str | None:
    """Return how a run ended, as in `run.json`: `interrupted` if its process was killed; None if it is running."""
    status = files.status()
    return ENDS.get(status, status)


def behind(root: Path, passed: Callable[[str], None] = lambda line: None) -> Iterator[Path]:
    """Yield the runs under `root` that are over and, as their directories say, not wholly in their store.

    Args:
        root: The run root.
        passed: Is told in one line of each run that is damaged.
    """

    def lacks(run_dir: Path, state: State, ended: str) -> bool:
        return bool(missing(run_dir, state, replace(state.settings, register=""), ended))

    return _over(root, lacks, passed)


def to_help(root: Path, store: Store, settings: Settings, wanted: Collection[str]) -> Iterator[Path]:
    """Yield the runs under `root` of which a run in `store` can send something that is missing there.

    They must be in the same store, and there already or of the same destination and parent: a directory, which may be
    somebody else's, decides neither where anything is sent nor what is made there.

    Args:
        root: The run root.
        store: Where the run is mirrored that helps.
        settings: How it is.
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
    """Yield the mirrored runs under `root` that are over and of which something is missing.

    Runs of another machine, on a shared disk, that seem to be running are left alone: from here nobody can tell.

    Args:
        root: The run root.
        lacks: Returns True if something is missing of a run with this state that ended like this.
        passed: Is told in one line of each run that is damaged.
    """
    for path in sorted(root.glob(f"*/{RUN}")):
        run_dir = path.parent
        try:
            files, state = RunFiles(run_dir), State.read(run_dir)
            ended = None if files.status() == "elsewhere" else how_ended(files)
            found = state is not None and ended is not None and lacks(run_dir, state, ended)
        except (InkwellError, OSError, ValueError) as error:
            passed(f"passed over: {first_line(error)}")
        else:
            if found:
                yield run_dir


def check_own(run_dir: Path, store: Store) -> None:
    """Refuse to send a run to `store` if its directory names another one; nothing is contacted.

    Raises:
        Elsewhere: With the flag that names the other one.
    """
    state = State.read(run_dir)
    if state is None or state.is_at(store, run_dir.absolute().parent):
        return
    named = Store.at(state.tracking_uri, run_dir.absolute().parent).shown
    theirs, own = (shlex.quote(uri) for uri in (named, store.shown))
    raise Elsewhere(
        f"cannot send {run_dir}: its mlflow.json names another store than yours, {named}; "
        f"add --uri {theirs} if you trust that one, or --uri {own} to send the run to yours"
    )


def asked(run_dir: Path, register: str) -> Settings:
    """Return how a run was to be mirrored, but for what its directory may not decide.

    That is the name under which its model is registered, which the user gives, and ids of an experiment or a run,
    which the environment must name, too. Of a run that was not to be mirrored, the environment decides all.
    """
    state = State.read(run_dir)
    settings = Settings() if state is None else state.settings
    where = destination(None) if state is None else confirmed(settings.destination)
    return replace(settings, destination=where, register=register)


def unregistered(run_dir: Path) -> str:
    """Return the name under which the model of a run was to be registered, and is not; empty if there is none."""
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
    """Send whatever a store is missing of a run that is over; return whether there was anything.

    Args:
        run_dir: The run directory.
        store: Where to.
        settings: How.
        wanted: The channels that are sent.
        alive: Called after each piece of work.
        imports: Modules that register parts of its model; see `trainer.runs.trained.load_trained`.
        experiment: Name of an experiment that the run is logged to, anew if it was logged elsewhere; empty for
            that of `settings`.

    Raises:
        Busy: If the run is running, or another process mirrors it.
        UsageError: If it is no run directory.
        InkwellError: If its files are damaged or of another layout, or not all of it could be sent.
        Exception: Whatever MLflow, its store or its server raise.
    """
    ended = how_ended(RunFiles(run_dir))
    if ended is None:
        raise Busy(f"{run_dir} is still running, and mirrored by its own process")
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
        raise Busy(f"{run_dir} is being mirrored by another process") from error
