"""The manifest of a checkpoint: what a run saves besides its variables, and how a resumed run takes it up."""

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
from trainer.run import Counters, Rewind, Run
from trainer.runs.files import HISTORY, MAX_HISTORY
from trainer.runs.history import parse_lines, whole_lines
from trainer.runs.numerics import Numerics
from trainer.runs.provenance import versions
from trainer.text import first_line, in_line

Whole = Annotated[int, Field(strict=True)]
Tally = Annotated[Whole, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Logged = Annotated[float, Field(strict=True)] | None
"""A number of the logs; None is one that is not finite, which JSON has no word for."""


def _in_range(rewind: Rewind) -> Rewind:
    if not rewind.skip or not all(0 < step <= 2**53 for step in rewind.skip):
        raise ValueError("skip must hold steps, counted from 1")
    if not 0 < rewind.factor < math.inf:
        raise ValueError("factor must be a finite number greater than 0")
    return rewind


_STRICT: Mapping[Any, Any] = {
    int: Tally,
    float: Seconds,
    bool: Annotated[bool, Field(strict=True)],
    list[Rewind]: list[Annotated[Rewind, AfterValidator(_in_range)]],
}
"""What a counter may be in a file that may be forged, by its type."""
_CheckedCounters: type[Any] = dataclasses.make_dataclass(
    "_CheckedCounters", [(name, _STRICT[kind]) for name, kind in get_type_hints(Counters).items()]
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Manifest(Shown):
    """What a checkpoint says of its run.

    Attributes:
        counters: How far the run had come.
        stop_reason: Reason for the end of training; empty if it was not over.
        seed: Seed of data order and augmentation.
        steps: Planned optimizer steps over the whole run.
        steps_per_epoch: Optimizer steps in one epoch.
        learning_rate: Learning rate of the next step; None for what was not trained here, such as an ensemble.
        history: Lines of `history.jsonl`.
        logs: Numbers of the latest epoch and validation.
        plugins: State of each plugin, by name.
        data: Name, digest, sizes and class names of the data, as far as they are known.
        config: The configuration as nested plain values; empty for a `Trainer` without configuration.
        numerics: What decides the last bits of what it computes.
        versions: Versions of Python and packages.
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

    def _line(self) -> str:
        return f"epoch {self.counters.epoch}, step {self.counters.step:,}/{self.steps:,}"

    @classmethod
    def of(cls, run: Run, states: Mapping[str, Any]) -> Manifest:
        """Return the manifest of a run as it stands.

        Args:
            run: The run.
            states: The state of each plugin, by name.
        """
        outside = run.stop_reason == run.inbox.from_outside  # a run that is resumed does not remember that
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
        )

    @classmethod
    def parse(cls, values: Mapping[str, Any], whose: str) -> Manifest:
        """Return the manifest that `to_dict` once returned.

        Args:
            values: The content of `manifest.json`, which may be forged.
            whose: The checkpoint, for messages.

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
                f"{whose} does not hold what a run writes: {place} contradict one another; "
                "move its folder away to use another"
            )
        return manifest

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as JSON can hold it, the counters beside the rest."""
        values = dataclasses.asdict(self)
        return {**values.pop("counters"), **values}


COUNTERS = tuple(each.name for each in dataclasses.fields(Counters))


@dataclass(frozen=True, repr=False)
class Saved(Shown):
    """A verified checkpoint of a run.

    Attributes:
        checkpoint: Its variables.
        manifest: What it says of the run.
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
        CheckpointError: If it is damaged, or does not say of its run what a run writes.
        LayoutError: If another version wrote it.
    """
    found = checkpoint.read(path)
    return Saved(found, Manifest.parse(found.manifest, f"checkpoint {path}"))


def check(run: Run, manifest: Manifest, anyway: bool) -> None:
    """Refuse to resume where the run would become another.

    Args:
        run: The run, planned.
        manifest: The manifest of the checkpoint to resume from.
        anyway: Accept other data, and another seed.

    Raises:
        CheckpointError: If the data or the seed are others, an epoch has another number of steps, so that the position
            in the checkpoint means something else, or the history is shorter than the checkpoint counts.
    """
    if manifest.data.get("digest") != run.data.get("digest") and not anyway:
        raise CheckpointError(
            f"the run was trained on other data: {_named(manifest.data)}, now {_named(run.data)}; "
            "--resume-anyway resumes it with these"
        )
    if manifest.steps_per_epoch != run.steps_per_epoch:
        raise CheckpointError(
            f"the checkpoint's epochs have {manifest.steps_per_epoch} steps, those of this run {run.steps_per_epoch}; "
            "give it as many images and the same batch size as before"
        )
    if manifest.seed != run.seed and not anyway:
        raise CheckpointError(
            f"the run was started with seed {manifest.seed}, now it is {run.seed}; --resume-anyway resumes it with this"
        )
    if run.directory is not None:
        _check_history(run.directory / HISTORY, manifest.history)


def _named(data: Mapping[str, Any]) -> str:
    """Return the name of data and the beginning of their digest."""
    name, digest = in_line(data.get("name") or "data without a name"), in_line(data.get("digest") or "")
    return f"{name} {digest[:12]}…" if digest else f"{name} of no known content"


def _check_history(path: Path, count: int) -> None:
    """Look if a history has as many sound lines as a checkpoint counts.

    Raises:
        CheckpointError: If it has not.
    """
    try:
        lines = whole_lines(read_bounded(path, MAX_HISTORY))[:count]
        parse_lines(lines, path)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {first_line(error)}") from error
    except InkwellError as error:
        raise CheckpointError(str(error)) from error
    if len(lines) < count:
        raise CheckpointError(
            f"{path} has {len(lines)} lines, the checkpoint counts {count}; "
            "move the checkpoint's folder away to resume from an earlier one"
        )


def take_up(run: Run, manifest: Manifest, plugins: Sequence[Plugin], done: bool) -> None:
    """Set a run and its plugins as a manifest says: all of it, or nothing if an error is raised.

    Args:
        run: The run, planned.
        manifest: The manifest of the checkpoint to resume from.
        plugins: The run's plugins; one that the manifest does not know starts anew.
        done: True if the run had a result, and more is asked of it now: then why it stopped is forgotten.

    Raises:
        CheckpointError: If a plugin cannot take back its state.
    """
    _restore(plugins, manifest.plugins)
    for name, value in vars(copy.deepcopy(manifest.counters)).items():
        setattr(run, name, value)
    run.logs = {name: math.nan if value is None else value for name, value in manifest.logs.items()}
    run.stop_reason = "" if done else manifest.stop_reason


def _restore(plugins: Sequence[Plugin], states: Mapping[str, Any]) -> None:
    """Have plugins take back their states: all of them, or none."""
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
