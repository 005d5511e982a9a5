"""What of a run goes into a checkpoint besides its variables, and how it is taken up again."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from trainer.checkpoint import conform
from trainer.config.merge import read_toml
from trainer.engine.signals import REASONS
from trainer.errors import CheckpointError, UsageError
from trainer.plugin import Plugin
from trainer.run import Rewind, Run
from trainer.runs.directory import CONFIG, HISTORY
from trainer.runs.result import versions
from trainer.text import first_line, in_line

Whole = Annotated[int, Field(strict=True)]
Count = Annotated[Whole, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Number = Annotated[float, Field(strict=True)] | None
"""A number of the logs; None is one that is not finite, which JSON has no word for."""


def _in_range(rewind: Rewind) -> Rewind:
    if not rewind.skip or not all(0 < step <= 2**53 for step in rewind.skip):
        raise ValueError("skip must hold steps, counted from 1")
    if not 0 < rewind.factor < math.inf:
        raise ValueError("factor must be a finite number greater than 0")
    return rewind


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counters:
    """Fields of `Run` that go on where they were."""

    epoch: Count
    step: Count
    images: Count
    seconds: Seconds
    epoch_seconds: Seconds
    step_seconds: Seconds
    validated: Count
    unfinished: Annotated[bool, Field(strict=True)]
    recoveries: list[Annotated[Rewind, AfterValidator(_in_range)]]


COUNTERS = tuple(field.name for field in dataclasses.fields(Counters))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts(Counters):
    """What a checkpoint's manifest says of a run besides its variables.

    Attributes:
        stop_reason: Why training was over; empty if it was to go on.
        history: Lines of `history.jsonl`.
        plugins: What each plugin must remember, by name.
    """

    stop_reason: str
    seed: Whole
    steps_per_epoch: Annotated[Count, Field(ge=1)]
    history: Count
    logs: dict[str, Number]
    plugins: dict[str, Any]
    data: dict[str, Any]
    config: dict[str, Any]
    versions: dict[str, str]


def facts(run: Run, states: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint's manifest says of a run, as JSON can hold it.

    Args:
        run: The run.
        states: What each plugin must remember, by name.
    """
    known = Facts(
        **{name: getattr(run, name) for name in COUNTERS},
        stop_reason="" if run.status != "running" or run.stop_reason in REASONS else run.stop_reason,
        seed=run.seed,
        steps_per_epoch=run.steps_per_epoch,
        history=len(run.history),
        logs=dict(run.logs),
        plugins=dict(states),
        data=dict(run.data),
        config=dict(run.config),
        versions=versions(),
    )
    return dataclasses.asdict(known)


def _read(run: Run, manifest: Mapping[str, Any]) -> Facts:
    """Return what `facts` said.

    Raises:
        CheckpointError: If the manifest holds anything else, or the run directory has not the history that it counts.
    """
    whose = "the checkpoint" + (f" of {run.directory}" if run.directory is not None else "")
    known = conform(Facts, manifest, whose)
    before = -(-known.step // known.steps_per_epoch)  # epochs begun before this step
    if not before <= known.epoch <= known.step // known.steps_per_epoch + 1 or known.validated > known.step:
        place = f"epoch {known.epoch}, step {known.step} and validated {known.validated}"
        raise CheckpointError(
            f"{whose} does not hold what a run writes: {place} contradict one another; "
            "move its folder away to use another"
        )
    if run.directory is not None:
        _check_history(run.directory / HISTORY, known.history)
    return known


def _check_history(path: Path, count: int) -> None:
    try:
        lines = path.read_bytes().splitlines()[:count]
        for line in lines:
            json.loads(line)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {first_line(error)}") from error
    if len(lines) < count:
        raise CheckpointError(
            f"{path} has {len(lines)} lines, the checkpoint counts {count}; "
            "move the checkpoint's folder away to go on from one before it"
        )


def check(run: Run, manifest: Mapping[str, Any], anyway: bool) -> None:
    """Refuse to go on where a run would not be the same.

    Args:
        run: The run, planned.
        manifest: What `facts` returned.
        anyway: Accept other data, and another seed.

    Raises:
        CheckpointError: If the manifest is not what `facts` returns, the data or the seed are others, or an epoch has
            another number of steps, so that the position in the checkpoint means something else.
    """
    known = _read(run, manifest)
    if known.data.get("digest") != run.data.get("digest") and not anyway:
        raise CheckpointError(
            f"the run was trained on other data: {_named(known.data)}, now {_named(run.data)}; "
            "--resume-anyway goes on with these"
        )
    if known.steps_per_epoch != run.steps_per_epoch:
        raise CheckpointError(
            f"the checkpoint's epochs have {known.steps_per_epoch} steps, those of this run {run.steps_per_epoch}"
        )
    if known.seed != run.seed and not anyway:
        raise CheckpointError(
            f"the run was started with seed {known.seed}, now it is {run.seed}; --resume-anyway goes on with this"
        )


def _named(data: Mapping[str, Any]) -> str:
    """Return the name of data and the beginning of their digest."""
    name, digest = in_line(data.get("name") or "data without a name"), in_line(data.get("digest") or "")
    return f"{name} {digest[:12]}…" if digest else f"{name} of no known content"


def take_up(run: Run, manifest: Mapping[str, Any], plugins: Sequence[Plugin], done: bool) -> None:
    """Set a run and its plugins as a checkpoint's manifest says: all of it, or nothing if an error is raised.

    Args:
        run: The run, planned.
        manifest: What `facts` returned.
        plugins: Its plugins; one that the manifest does not know starts anew.
        done: Whether the run had a result, and more is asked of it now: then why it stopped is forgotten.

    Raises:
        CheckpointError: If the manifest is not what `facts` returns, or a plugin cannot take back its state.
    """
    known = _read(run, manifest)
    _restore(plugins, known.plugins)
    for name in COUNTERS:
        setattr(run, name, getattr(known, name))
    run.logs = {name: math.nan if value is None else value for name, value in known.logs.items()}
    run.stop_reason = "" if done else known.stop_reason


def _restore(plugins: Sequence[Plugin], states: Mapping[str, Any]) -> None:
    """Have plugins take back what they remembered: all of them, or none."""
    before: list[tuple[Plugin, dict[str, Any]]] = []
    for plugin in plugins:
        if plugin.name not in states:
            continue
        try:
            before.append((plugin, copy.deepcopy(plugin.state())))
            plugin.restore(states[plugin.name])
        except Exception as error:  # a plugin may raise anything, and what it is given may be forged
            for changed, state in reversed(before):
                with suppress(Exception):
                    changed.restore(state)
            raise CheckpointError(
                f"plugin {plugin.name!r} cannot take back what the checkpoint says of it: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error


FREE = ("training.epochs", "training.steps", "training.max_time", "data.folder", "imports")
"""Keys of the configuration that may change when a run is resumed, and the plugins that only watch."""
WATCHING = ("progress", "mlflow", "plots")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what makes `now` another run than `before`, as `training.seed: 0 → 1`.

    Args:
        before: A configuration as nested values, as in `config.toml`.
        now: Another.
    """
    old, new = _flat(before), _flat(now)
    keys = [key for key in dict.fromkeys([*old, *new]) if key not in FREE and not _watches(key)]
    return [f"{k}: {old.get(k, '-')} → {new.get(k, '-')}" for k in keys if old.get(k) != new.get(k)]


def _watches(key: str) -> bool:
    """Return whether a key such as `plugins.progress.mode` is about a plugin that only watches."""
    section, _, rest = key.partition(".")
    return section == "plugins" and rest.partition(".")[0] in WATCHING


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
