"""Runs that are over and that MLflow does not know the end of: killed ones, and those that lost their store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import Timeout

from plugins.mlflow.mirror import Mirror, is_current, lacks_model
from plugins.mlflow.state import State, mirror_lock
from plugins.mlflow.store import Store
from trainer.errors import InkwellError
from trainer.runs.files import RUN, RunFiles
from trainer.text import first_line


class Busy(InkwellError):  # noqa: N818, a state and no fault
    """The run is still running, or another process mirrors it."""


ENDS = {"killed": "interrupted", "elsewhere": "interrupted", "no result": "done", "running": None}
"""How a run ended, for MLflow, by its status; None if it has not. The others mean the same in both."""


def how_ended(files: RunFiles) -> str | None:
    """Return how a run ended, as in `run.json`: `interrupted` if its process was killed; None if it is running."""
    status = files.status()
    return ENDS.get(status, status)


def behind(root: Path, models: bool, passed: Callable[[str], None] = lambda line: None) -> Iterator[Path]:
    """Yield the runs under `root` that are over and not, or not wholly, in the store that they were to be mirrored in.

    Runs of another machine, on a shared disk, that seem to be running are left alone: from here nobody can tell.

    Args:
        root: The run root.
        models: Count runs, too, that are only missing their model.
        passed: Is told in one line of each run that is damaged.
    """
    for path in sorted(root.glob(f"*/{RUN}")):
        run_dir = path.parent
        try:
            if _is_behind(run_dir, models):
                yield run_dir
        except (InkwellError, OSError) as error:
            passed(f"passed over: {first_line(error)}")


def _is_behind(run_dir: Path, models: bool) -> bool:
    """Return whether a run is over and not wholly in its store."""
    files, state = RunFiles(run_dir), State.read(run_dir)
    ended = None if files.status() == "elsewhere" else how_ended(files)
    return state is not None and ended is not None and _lacks(run_dir, state, ended, models)


def _lacks(run_dir: Path, state: State, ended: str, models: bool) -> bool:
    return not is_current(run_dir, state, ended) or (models and lacks_model(run_dir, state))


def bring_up_to_date(
    run_dir: Path,
    uri: str | None = None,
    models: bool = True,
    alive: Callable[[], None] = lambda: None,
    imports: Sequence[str] = (),
) -> bool:
    """Send whatever MLflow is missing of a run that is over; return whether there was anything.

    Args:
        run_dir: The run directory.
        uri: A tracking URI; default: where the run is mirrored.
        models: Whether its model is logged too; not while anything is trained in this process.
        alive: Called after each piece of work.
        imports: Modules that register parts of its model; see `trainer.runs.trained.load_trained`.

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
            store = Store.at(uri, run_dir.absolute().parent) if uri else state.store(run_dir)
            mirror = Mirror(run_dir.absolute(), store, state, alive)
            if not _lacks(run_dir, mirror.state, ended, models):
                return False
            if not is_current(run_dir, mirror.state, ended):
                mirror.update(ended)
            if models:
                mirror.log_model(imports)
            return True
    except Timeout as error:
        raise Busy(f"{run_dir} is being mirrored by another process") from error
