"""What of a run goes into a checkpoint besides its variables, and how it is taken up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.config import read_toml
from trainer.errors import CheckpointError, UsageError
from trainer.plugin import Plugin
from trainer.result import versions
from trainer.run import Run
from trainer.rundir import CONFIG
from trainer.signals import REASONS

COUNTERS = ("epoch", "step", "images", "seconds", "epoch_seconds", "step_seconds", "validated", "unfinished")
"""Fields of `Run` that go on where they were."""


def facts(run: Run, states: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint's manifest says of a run, as JSON can hold it.

    Args:
        run: The run.
        states: What each plugin must remember, by name.
    """
    return {
        **{name: getattr(run, name) for name in COUNTERS},
        "stop_reason": "" if run.status != "running" or run.stop_reason in REASONS else run.stop_reason,
        "seed": run.seed,
        "steps_per_epoch": run.steps_per_epoch,
        "history": len(run.history),
        "logs": dict(run.logs),
        "plugins": dict(states),
        "data": dict(run.data),
        "config": dict(run.config),
        "versions": versions(),
    }


def check(run: Run, manifest: Mapping[str, Any], anyway: bool) -> None:
    """Refuse to go on where a run would not be the same.

    Args:
        run: The run, planned.
        manifest: What `facts` returned.
        anyway: Accept other data.

    Raises:
        CheckpointError: If the data are others, or an epoch has another number of steps, so that the position in the
            checkpoint means something else.
    """
    before, now = (data.get("digest") for data in (manifest["data"], run.data))
    if before != now and not anyway:
        raise CheckpointError(
            f"the run was trained on other data: {manifest['data'].get('name')} {str(before)[:12]}…, "
            f"now {run.data.get('name')} {str(now)[:12]}…; --resume-anyway goes on with these"
        )
    if manifest["steps_per_epoch"] != run.steps_per_epoch:
        raise CheckpointError(
            f"the checkpoint's epochs have {manifest['steps_per_epoch']} steps, those of this run {run.steps_per_epoch}"
        )


def take_up(run: Run, manifest: Mapping[str, Any], plugins: Sequence[Plugin], done: bool) -> None:
    """Set a run and its plugins as a checkpoint's manifest says.

    Args:
        run: The run, planned.
        manifest: What `facts` returned.
        plugins: Its plugins; one that the manifest does not know starts anew.
        done: Whether the run had a result, and more is asked of it now: then why it stopped is forgotten.
    """
    for name in COUNTERS:
        setattr(run, name, manifest[name])
    run.logs = dict(manifest["logs"])
    run.stop_reason = "" if done else manifest["stop_reason"]
    for plugin in plugins:
        if plugin.name in manifest["plugins"]:
            plugin.restore(manifest["plugins"][plugin.name])


FREE = ("training.epochs", "training.steps", "training.max_time", "data.folder", "imports")
"""Keys of the configuration that may change when a run is resumed, and the plugins that only watch."""
WATCHING = ("plugins.progress", "plugins.mlflow", "plugins.plots")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what makes `now` another run than `before`, as `training.seed: 0 → 1`.

    Args:
        before: A configuration as nested values, as in `config.toml`.
        now: Another.
    """
    old, new = _flat(before), _flat(now)
    keys = [key for key in dict.fromkeys([*old, *new]) if key not in FREE and not key.startswith(WATCHING)]
    return [f"{k}: {old.get(k, '-')} → {new.get(k, '-')}" for k in keys if old.get(k) != new.get(k)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and (value or key == "args"):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def find_run(root: Path, config: Mapping[str, Any]) -> Path:
    """Return the newest run under `root` that was started with the same configuration.

    Raises:
        UsageError: If there is none; the message says what is different in the newest.
    """
    runs = sorted(root.glob(f"*/{CONFIG}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in runs:
        if not differences(read_toml(path), config):
            return path.parent
    if not runs:
        raise UsageError(f"there is no run under {root} to resume")
    newest = "; ".join(differences(read_toml(runs[0]), config))
    raise UsageError(f"no run under {root} has this configuration; in the newest, {runs[0].parent}, differ: {newest}")
