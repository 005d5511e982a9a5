"""Finding runs and checkpoints: the newest finished one, the one to resume, the one at a path."""

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
    """Return the run in `root` with the newest `result.json`; damaged runs are skipped with a warning.

    Raises:
        UsageError: If there is no finished run.
    """
    return _newest(root, lambda folder: RunFiles(folder).finished())


def newest_checkpoint(root: Path) -> Path:
    """Return the checkpoint (see `find_checkpoint`) of the newest finished run in `root` whose checkpoint is intact.

    Damaged runs are skipped with a warning.

    Raises:
        UsageError: If there is no finished run.
    """
    return find_checkpoint(_newest(root, _check_whole))


def _check_whole(folder: Path) -> None:
    RunFiles(folder).finished()
    read_saved(find_checkpoint(folder))


def _newest(root: Path, check: Callable[[Path], object]) -> Path:
    """Return the run in `root` with the newest result that passes a check."""
    refused = ""
    for path in sorted(root.glob(f"*/{RESULT}"), key=_changed, reverse=True):
        try:
            check(path.parent)
        except InkwellError as error:
            refused = refused or f"; the newest cannot be used: {error}"
            logger.warning("skipped: %s", error)
        else:
            return path.parent
    advice = f"; train one with {command('fit')}, or give the path of a run"
    raise UsageError(f"no {'intact ' if refused else ''}finished run in {root}{refused or advice}")


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint at `path`: `path` itself, or the best checkpoint of a run, or failing that its last.

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
        raise CheckpointError(f"cannot read checkpoint {found}: {MANIFEST} is missing")
    return found


def find_run(root: Path, config: Mapping[str, Any]) -> Path:
    """Return the newest run in `root` that was started with the same configuration.

    Raises:
        UsageError: If there is none; the message lists the differences from the newest.
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
            logger.warning("skipped: %s", error)
    if runs:
        newest = "; ".join(differences(runs[0].config, config))
        raise UsageError(
            f"cannot resume: no run in {root} has this configuration; the newest, {runs[0].path}, differs: {newest}; "
            "name the run with --resume RUN_DIR"
        )
    raise UsageError(refused[0] if refused else f"cannot resume: there is no run in {root}")


def _changed(path: Path) -> float:
    """Return the modification time of a file; 0 for a broken or circular link."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


FREE = (
    *("training.epochs", "training.steps", "training.min_steps", "training.max_time", "optimizer.schedule_steps"),
    *("data.folder", "imports"),
)
"""Keys of the configuration that may change when a run is resumed: duration, data folder and imports."""


OPEN = ("args", "test_args", "plugins")
"""Tables that mean nothing when they are empty, unlike the table of a plugin without arguments."""


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the differences that make `now` a different run, as `training.seed: 0 → 1`; observers do not count.

    Args:
        before: A configuration as nested values, as in `config.toml`.
        now: Another configuration.
    """
    old, new = _flat(before), _flat(now)
    keys = [key for key in dict.fromkeys([*old, *new]) if key not in FREE and old.get(key) != new.get(key)]
    return [f"{key}: {old.get(key, '-')} → {new.get(key, '-')}" for key in keys if not _is_observed(key)]


def _is_observed(key: str) -> bool:
    """Return True if a key such as `plugins.progress.mode` belongs to a plugin that only observes."""
    section, _, rest = key.partition(".")
    return section == "plugins" and _observes(rest.partition(".")[0])


def _observes(name: str) -> bool:
    """Return True if the named plugin only observes; one that cannot be loaded may do anything."""
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
