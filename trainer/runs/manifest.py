"""The manifest of a checkpoint: the state of a run besides its variables, and its restoration on resume."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, Field

from trainer import checkpoint
from trainer.checkpoint import Checkpoint, conform
from trainer.display.shown import Shown
from trainer.errors import CheckpointError, InkwellError
from trainer.files import read_bounded
from trainer.plugin import Plugin
from trainer.run import ONLY, Counters, Rewind, Run
from trainer.runs.files import HISTORY, MAX_HISTORY
from trainer.runs.history import parse_lines, whole_lines
from trainer.runs.numerics import Numerics
from trainer.runs.provenance import versions
from trainer.text import first_line, in_line

Whole = Annotated[int, Field(strict=True)]
Tally = Annotated[Whole, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Logged = Annotated[float, Field(strict=True)] | None
"""A logged number; None stands for a non-finite one, which JSON cannot represent."""


def _in_range(rewind: Rewind) -> Rewind:
    if not rewind.skip or not all(0 < step <= 2**53 for step in rewind.skip):
        raise ValueError("skip must contain steps, counted from 1")
    if not 0 < rewind.factor < math.inf:
        raise ValueError("factor must be a finite number greater than 0")
    return rewind


_STRICT: Mapping[Any, Any] = {
    int: Tally,
    float: Seconds,
    bool: Annotated[bool, Field(strict=True)],
    list[Rewind]: list[Annotated[Rewind, AfterValidator(_in_range)]],
}
"""Types that check a counter of a possibly forged file, by its declared type."""
_CheckedCounters: type[Any] = dataclasses.make_dataclass(
    "_CheckedCounters", [(name, _STRICT[kind]) for name, kind in get_type_hints(Counters).items()]
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Manifest(Shown):
    """The state of a run in a checkpoint.

    Attributes:
        counters: Progress of the run.
        stop_reason: Reason for the end of training; empty if it had not ended.
        seed: Seed of shuffling and augmentation.
        steps: Planned number of optimizer steps of the whole run.
        steps_per_epoch: Number of optimizer steps per epoch.
        learning_rate: Learning rate of the next step; None for a model that was not trained, such as an ensemble.
        history: Number of lines of `history.jsonl`.
        logs: Numbers of the latest epoch and validation.
        plugins: State of each plugin, by name.
        data: Name, digest, sizes and class names of the data, as far as known.
        config: The configuration as nested plain values; empty for a `Trainer` without configuration.
        numerics: The conditions that determine results bit for bit.
        versions: Versions of Python and packages.
        models: Names of the models, with which the names of their variables begin; empty if there is only one.
    """

    counters: Counters
    stop_reason: str
    seed: Whole
    steps: Tally
    steps_per_epoch: Annotated[Tally, Field(ge=1)]
    learning_rate: Logged
    history: Tally
    logs: dict[str, Logged]
    plugins: dict[str, Any]
    data: dict[str, Any]
    config: dict[str, Any]
    numerics: Numerics
    versions: dict[str, str]
    models: list[str]

    def _line(self) -> str:
        return f"epoch {self.counters.epoch}, step {self.counters.step:,}/{self.steps:,}"

    @classmethod
    def of(cls, run: Run, states: Mapping[str, Any]) -> Manifest:
        """Return the manifest of a run in its current state.

        Args:
            run: The run.
            states: The state of each plugin, by name.
        """
        outside = run.stop_reason == run.inbox.from_outside  # must not be restored on resume
        return cls(
            counters=Counters(**{name: getattr(run, name) for name in COUNTERS}),
            stop_reason="" if run.status != "running" or outside else run.stop_reason,
            seed=run.seed,
            steps=run.steps,
            steps_per_epoch=run.steps_per_epoch,
            learning_rate=run.learning_rate if run.optimizer is not None else None,
            history=len(run.history),
            logs=dict(run.logs),
            plugins=dict(states),
            data=dict(run.data),
            config=dict(run.config),
            numerics=Numerics.here(run.kernels),
            versions=versions(),
            models=[name for name in run.models if name != ONLY],
        )

    @classmethod
    def parse(cls, values: Mapping[str, Any], whose: str) -> Manifest:
        """Return the manifest from the values of `to_dict`.

        Args:
            values: The content of `manifest.json`, which may be forged.
            whose: Name of the checkpoint in messages.

        Raises:
            CheckpointError: If a value is missing, of the wrong type or out of range, or values contradict each other.
        """
        counters = Counters(**vars(conform(_CheckedCounters, values, whose)))
        manifest = conform(cls, {**values, "counters": counters}, whose)
        before = -(-counters.step // manifest.steps_per_epoch)  # epochs begun before this step
        fits = before <= counters.epoch <= counters.step // manifest.steps_per_epoch + 1
        if not fits or counters.validated > counters.step:
            place = f"epoch {counters.epoch}, step {counters.step} and validated {counters.validated}"
            raise CheckpointError(
                f"{whose} is invalid: {place} contradict each other; move its folder away to use another checkpoint"
            )
        return manifest

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest ready for JSON, with the counters at the top level."""
        values = dataclasses.asdict(self)
        return {**values.pop("counters"), **values}


COUNTERS = tuple(each.name for each in dataclasses.fields(Counters))


@dataclass(frozen=True, repr=False)
class Saved(Shown):
    """A verified checkpoint of a run.

    Attributes:
        checkpoint: The variables.
        manifest: The state of the run.
    """

    checkpoint: Checkpoint
    manifest: Manifest

    def _line(self) -> str:
        return f"{in_line(self.path)}: epoch {self.manifest.counters.epoch}, step {self.manifest.counters.step:,}"

    @property
    def path(self) -> Path:
        """The checkpoint's directory."""
        return self.checkpoint.path


def read_saved(path: Path) -> Saved:
    """Return a verified checkpoint of a run.

    Raises:
        CheckpointError: If it is damaged or its manifest is invalid.
        LayoutError: If another version wrote it.
    """
    found = checkpoint.read(path)
    return Saved(found, Manifest.parse(found.manifest, f"checkpoint {path}"))


def check(run: Run, manifest: Manifest, anyway: bool) -> None:
    """Refuse to resume a run under conditions that would make it a different run.

    Args:
        run: The run, planned.
        manifest: The manifest of the checkpoint to resume from.
        anyway: Accept different data and a different seed.

    Raises:
        CheckpointError: If the data, the seed or the number of steps per epoch differ (the last would change the
            meaning of the position in the checkpoint), or the history is shorter than the checkpoint says.
    """
    if manifest.data.get("digest") != run.data.get("digest") and not anyway:
        raise CheckpointError(
            f"cannot resume: the run was trained on {_named(manifest.data)}, not on {_named(run.data)}; "
            "add --resume-anyway to continue with the new data"
        )
    if manifest.steps_per_epoch != run.steps_per_epoch:
        raise CheckpointError(
            f"cannot resume: the checkpoint has {manifest.steps_per_epoch} steps per epoch, this run has "
            f"{run.steps_per_epoch}; use the same number of images and the same batch size as before"
        )
    if manifest.seed != run.seed and not anyway:
        raise CheckpointError(
            f"cannot resume: the run was started with seed {manifest.seed}, not {run.seed}; "
            "add --resume-anyway to continue with the new seed"
        )
    if run.directory is not None:
        _check_history(run.directory / HISTORY, manifest.history)


def _named(data: Mapping[str, Any]) -> str:
    """Return the name of data and the beginning of their digest."""
    name, digest = in_line(data.get("name") or "unnamed data"), in_line(data.get("digest") or "")
    return f"{name} ({digest[:12]}…)" if digest else f"{name} (unknown digest)"


def _check_history(path: Path, count: int) -> None:
    """Check that a history has as many valid lines as a checkpoint says.

    Raises:
        CheckpointError: If it has fewer.
    """
    try:
        lines = whole_lines(read_bounded(path, MAX_HISTORY))[:count]
        parse_lines(lines, path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {first_line(error)}") from error
    except InkwellError as error:
        raise CheckpointError(str(error)) from error
    if len(lines) < count:
        raise CheckpointError(
            f"cannot resume: {path} has {len(lines)} lines, but the checkpoint expects {count}; "
            "move the checkpoint's folder away to resume from an earlier one"
        )


def take_up(run: Run, manifest: Manifest, plugins: Sequence[Plugin], done: bool) -> None:
    """Restore a run and its plugins from a manifest, completely or, if an error is raised, not at all.

    Args:
        run: The run, planned.
        manifest: The manifest of the checkpoint to resume from.
        plugins: The run's plugins; those without a state in the manifest start afresh.
        done: True if the run had finished and is now being extended, in which case its stop reason is dropped.

    Raises:
        CheckpointError: If a plugin cannot restore its state.
    """
    _restore(plugins, manifest.plugins)
    for name, value in vars(copy.deepcopy(manifest.counters)).items():
        setattr(run, name, value)
    run.logs = {name: math.nan if value is None else value for name, value in manifest.logs.items()}
    run.stop_reason = "" if done else manifest.stop_reason


def _restore(plugins: Sequence[Plugin], states: Mapping[str, Any]) -> None:
    """Restore the states of all plugins, or of none if one fails."""
    before: list[tuple[Plugin, dict[str, Any]]] = []
    for plugin in plugins:
        if plugin.name not in states:
            continue
        try:
            before.append((plugin, copy.deepcopy(plugin.state())))
            plugin.restore(states[plugin.name])
        except Exception as error:  # a plugin may raise anything, and its state may be forged
            for changed, state in reversed(before):
                with suppress(Exception):
                    changed.restore(state)
            raise CheckpointError(
                f"plugin {plugin.name!r} cannot restore its state from the checkpoint: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error
