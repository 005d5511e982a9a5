"""Runs that are over and that MLflow does not know the end of: killed ones, and those that lost their store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import Timeout

from plugins.mlflow.mirror import Mirror, is_current, lacks_model
from plugins.mlflow.state import State, mirror_lock
from plugins.mlflow.store import Store
from trainer.errors import InkwellError
from trainer.runs.directory import RUN, is_alive, read_json


class Busy(InkwellError):  # noqa: N818, a state and no fault
    """The run is still going on, or another process mirrors it."""


def how_ended(known: Mapping[str, Any]) -> str | None:
    """Return the last status of a run, `interrupted` if its process was killed; None if it goes on.

    Args:
        known: What `run.json` says.
    """
    if known.get("status") != "running":
        return str(known.get("status"))
    return None if is_alive(known) else "interrupted"


def behind(root: Path, host: str, models: bool) -> Iterator[Path]:
    """Yield the runs under `root` that are over and not, or not wholly, in the store that they were to be mirrored in.

    Args:
        root: The run root.
        host: This machine. Whether a run of another one, on a shared disk, goes on cannot be told from here.
        models: Whether those count that lack nothing but their model.
    """
    for path in sorted(root.glob(f"*/{RUN}")):
        run_dir, state = path.parent, State.read(path.parent)
        try:
            known = read_json(path)
        except InkwellError:
            continue
        elsewhere = known.get("status") == "running" and known.get("host") != host
        ended = how_ended(known)
        if state is not None and ended is not None and not elsewhere and _lacks(run_dir, state, ended, models):
            yield run_dir


def _lacks(run_dir: Path, state: State, ended: str, models: bool) -> bool:
    return not is_current(run_dir, state, ended) or (models and lacks_model(run_dir, state))


def bring_up_to_date(
    run_dir: Path, uri: str | None = None, models: bool = True, alive: Callable[[], None] = lambda: None
) -> bool:
    """Send what MLflow has not of a run that is over; return whether there was anything.

    Args:
        run_dir: The run directory.
        uri: A tracking URI; default: where the run is mirrored.
        models: Whether its model is logged too; not while anything is trained in this process.
        alive: Called after each piece of work.

    Raises:
        Busy: If the run goes on, or another process mirrors it.
        InkwellError: If the directory is none of a run.
        Exception: Whatever MLflow, its store or its server raise.
    """
    lock = mirror_lock(run_dir)
    ended = how_ended(read_json(run_dir / RUN))
    if ended is None:
        raise Busy(f"{run_dir} is still running, and mirrored by its own process")
    try:
        with lock.acquire(timeout=0):
            state = State.read(run_dir) or State()
            store = Store.at(uri, run_dir.absolute().parent) if uri else state.store(run_dir)
            mirror = Mirror(run_dir.absolute(), store, state, alive)
            if not _lacks(run_dir, mirror.state, ended, models):
                return False
            if not is_current(run_dir, mirror.state, ended):
                mirror.update(ended)
            if models:
                mirror.log_model()
            return True
    except Timeout as error:
        raise Busy(f"{run_dir} is being mirrored by another process") from error
