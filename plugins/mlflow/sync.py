"""Runs that are over and that MLflow does not know the end of: killed ones, and those that lost their store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import Timeout

from plugins.mlflow.destination import Destination
from plugins.mlflow.mirror import Mirror, is_current, lacks_model
from plugins.mlflow.state import State, mirror_lock
from plugins.mlflow.store import Store
from trainer.errors import InkwellError
from trainer.runs.files import RUN, RunFiles


class Busy(InkwellError):  # noqa: N818, a state and no fault
    """The run is still running, or another process mirrors it."""


ENDS = {"killed": "interrupted", "elsewhere": "interrupted", "no result": "done", "running": None}
"""How a run ended, for MLflow, by its status; None if it has not. The others mean the same in both."""


def how_ended(files: RunFiles) -> str | None:
    """Return how a run ended, as in `run.json`: `interrupted` if its process was killed; None if it is running."""
    status = files.status()
    return ENDS.get(status, status)


def behind(root: Path, models: bool) -> Iterator[Path]:
    """Yield the runs under `root` that are over and not, or not wholly, in the store that they were to be mirrored in.

    Runs of another machine, on a shared disk, that seem to be running are left alone: from here nobody can tell.

    Args:
        root: The run root.
        models: Count runs, too, that are only missing their model.
    """
    for path in sorted(root.glob(f"*/{RUN}")):
        run_dir, state = path.parent, State.read(path.parent)
        try:
            files = RunFiles(run_dir)
            ended = None if files.status() == "elsewhere" else how_ended(files)
        except InkwellError:
            continue
        if state is not None and ended is not None and _lacks(run_dir, state, ended, models):
            yield run_dir


def _lacks(run_dir: Path, state: State, ended: str, models: bool) -> bool:
    return not is_current(run_dir, state, ended) or (models and lacks_model(run_dir, state))


def bring_up_to_date(
    run_dir: Path,
    uri: str | None = None,
    experiment: str | None = None,
    models: bool = True,
    alive: Callable[[], None] = lambda: None,
) -> bool:
    """Send whatever MLflow is missing of a run that is over; return whether there was anything.

    Args:
        run_dir: The run directory.
        uri: A tracking URI; default: where the run is mirrored.
        experiment: Name of an experiment that the run is logged to instead of where it was to be logged.
        models: Whether its model is logged too; not while anything is trained in this process.
        alive: Called after each piece of work.

    Raises:
        Busy: If the run is running, or another process mirrors it.
        UsageError: If it is no run directory.
        InkwellError: If its files are damaged, or of another layout.
        Exception: Whatever MLflow, its store or its server raise.
    """
    ended = how_ended(RunFiles(run_dir))
    if ended is None:
        raise Busy(f"{run_dir} is still running, and mirrored by its own process")
    try:
        with mirror_lock(run_dir).acquire(timeout=0):
            state = State.read(run_dir) or State()
            if experiment is not None:
                state = state.to(Destination(experiment))
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
