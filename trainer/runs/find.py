"""Finding runs and their checkpoints: the newest one that is done, the one to resume, the one that a path names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainer.checkpoint import MANIFEST
from trainer.errors import CheckpointError, InkwellError, UsageError
from trainer.plugin import Plugin
from trainer.registry import plugins
from trainer.run import logger
from trainer.runs.files import CONFIG, RESULT, RunFiles, is_file, is_run
from trainer.runs.manifest import read_saved
from trainer.text import command, in_line


def newest_done(root: Path) -> Path:
    """Return the run under `root` whose `result.json` is the newest; damaged runs are passed over with a warning.

    Raises:
        UsageError: If no run is done.
    """
    return _newest(root, lambda folder: RunFiles(folder).finished())


def newest_checkpoint(root: Path) -> Path:
    """Return the checkpoint of the newest finished run under `root` that has a sound one, as `find_checkpoint` does.

    Runs that are damaged are passed over with a warning.

    Raises:
        UsageError: If no run is done.
    """
    return find_checkpoint(_newest(root, _check_whole))


def _check_whole(folder: Path) -> None:
    RunFiles(folder).finished()
    read_saved(find_checkpoint(folder))


def _newest(root: Path, check: Callable[[Path], object]) -> Path:
    """Return the run under `root` with the newest result whose check raises nothing."""
    refused = ""
    for path in sorted(root.glob(f"*/{RESULT}"), key=_changed, reverse=True):
        try:
            check(path.parent)
        except InkwellError as error:
            refused = refused or f"; the newest cannot be used: {error}"
            logger.warning("passed over: %s", error)
        else:
            return path.parent
    advice = f"; train one with {command('fit')}, or name one"
    raise UsageError(f"no {'sound ' if refused else ''}finished run under {root}{refused or advice}")


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint that `path` stands for: itself, or the best of a run, or its last if none is the best.

    Raises:
        UsageError: If `path` is neither a run directory nor a checkpoint.
        LayoutError: If it is a run of another layout.
        CheckpointError: If the run has no checkpoint, or the pointer to it is damaged.
    """
    if is_file(path / MANIFEST):
        return path
    if not is_run(path):
        raise UsageError(f"{in_line(path)} is neither a run directory nor a checkpoint")
    files = RunFiles(path)
    found = files.checkpoint("best") or files.checkpoint("last")
    if found is None:
        raise CheckpointError(f"run {path} has no checkpoint")
    if not is_file(found / MANIFEST):
        raise CheckpointError(f"checkpoint {found} is missing or damaged: it has no {MANIFEST}")
    return found


def find_run(root: Path, config: Mapping[str, Any]) -> Path:
    """Return the newest run under `root` that was started with the same configuration.

    Raises:
        UsageError: If there is none; the message says in what the newest differs.
    """
    folders = [path.parent for path in sorted(root.glob(f"*/{CONFIG}"), key=_changed, reverse=True)]
    runs, refused = [], []
    for folder in folders:
        try:
            run = RunFiles(folder)
            if not differences(run.config, config):
                return run.path
            runs.append(run)
        except InkwellError as error:
            refused.append(str(error))
            logger.warning("passed over: %s", error)
    if runs:
        newest = "; ".join(differences(runs[0].config, config))
        raise UsageError(
            f"no run under {root} has this configuration; the newest, {runs[0].path}, differs: {newest}; "
            "name the run to resume with --resume RUN_DIR"
        )
    raise UsageError(refused[0] if refused else f"there is no run under {root} to resume")


def _changed(path: Path) -> float:
    """Return when a file was changed; 0 for a link to nothing, or in a circle."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


FREE = (
    *("training.epochs", "training.steps", "training.min_steps", "training.max_time", "optimizer.schedule_steps"),
    *("data.folder", "imports"),
)
"""Keys of the configuration that may change when a run is resumed: how long, from where, and what is imported."""


OPEN = ("args", "plugins")
"""Tables that say nothing when they are empty, unlike the table of a plugin without arguments."""


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what makes `now` another run than `before`, as `training.seed: 0 → 1`; observers do not count.

    Args:
        before: A configuration as nested values, as in `config.toml`.
        now: Another.
    """
    old, new = _flat(before), _flat(now)
    keys = [key for key in dict.fromkeys([*old, *new]) if key not in FREE and old.get(key) != new.get(key)]
    return [f"{key}: {old.get(key, '-')} → {new.get(key, '-')}" for key in keys if not _is_observed(key)]


def _is_observed(key: str) -> bool:
    """Return whether a key such as `plugins.progress.mode` belongs to a plugin that only observes."""
    section, _, rest = key.partition(".")
    return section == "plugins" and _observes(rest.partition(".")[0])


def _observes(name: str) -> bool:
    """Return whether a name stands for a plugin that only observes; one that cannot be loaded may do anything."""
    try:
        plugin = plugins.resolve(name)
    except Exception:  # unknown here, or its module raises
        return False
    return isinstance(plugin, type) and issubclass(plugin, Plugin) and plugin.observer


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and (value or key in OPEN):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value
    return flat
