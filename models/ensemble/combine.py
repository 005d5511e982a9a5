"""Combines several runs into one: an ensemble of their models, tested once, in an ordinary run directory."""

from __future__ import annotations

import dataclasses
import functools
import operator
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trainer import checkpoint
from trainer.config.build import build_model
from trainer.config.schema import Config, ModelConfig, OptimizerConfig, TaskConfig
from trainer.data import load
from trainer.data.seen import Seen
from trainer.errors import UsageError
from trainer.evaluation.overlap import overlap
from trainer.result import Result, Scores
from trainer.run import Run
from trainer.runs.directory import check_free
from trainer.runs.manifest import Manifest
from trainer.runs.recorder import Recorder
from trainer.runs.result import make_result
from trainer.runs.trained import Trained, load_trained

if TYPE_CHECKING:
    import keras

    from trainer.data.split import Data


def combine(runs: Sequence[Path], run_dir: Path, shift: int = 0, imports: Sequence[str] = ()) -> Run:
    """Write the ensemble of trained models as a finished run, with the data and configuration of the first.

    Runs with different seeds have different validation images; the ensemble is then not validated and has no
    temperature. An ensemble among the runs contributes its members, without its own shifts.

    Args:
        runs: Run directories or checkpoints; a run contributes the weights selected by validation.
        run_dir: Directory of the new run, which must not exist.
        shift: Pixels of test-time augmentation; see `models.ensemble.model`.
        imports: Modules that register parts of the models; see `trainer.runs.trained.load_trained`.

    Returns:
        The run; its `result` has the metrics on the test images, and on the validation images if no member has seen
        them.

    Raises:
        UsageError: If `runs` is empty or contains something else, or the runs were trained on different data.
        DataError: If the data can no longer be read.
        CheckpointError: If a checkpoint is damaged.
    """
    check_free(run_dir)
    started = time.perf_counter()
    members = [load_trained(path, imports) for path in runs]
    _check(members)
    nets = [net for member in members for net in _nets(member)]
    config = _configuration(members, nets, shift)
    own, seed = config.data, config.training.seed
    data = load(own.name, own.folder, seed, own.test, args=own.args, test_args=own.test_args)
    model = build_model(config, data.input_shape, data.num_classes)
    for number, net in enumerate(nets):
        model.get_layer(f"member{number}").set_weights(net.model.get_weights())
    run = Run(seed=config.training.seed, config=config.to_dict(), model=model, data=data.describe(), steps_per_epoch=1)
    # With different seeds, one run's validation images are another's training images.
    unseen = len({member.config.training.seed for member in members}) == 1
    temperature, tested = _test(run, data, unseen)
    seen = _seen(members)
    with closing(Recorder(run, run_dir)) as recorder:
        recorder.open()
        recorder.start(config.to_toml())
        if seen is not None:
            recorder.remember(lambda: seen)
            right = run.predictions.right if run.predictions is not None else None
            tested = Scores({**tested, "overlap": overlap(seen, data.test, right).to_dict()})
        saved = checkpoint.snapshot("epoch=0000-step=0000000", model.variables, Manifest.of(run, {}).to_dict())
        recorder.save(saved, ["best", "last"], [])
        recorder.check_saved()
        made = make_result(run, recorder.best(), tested, 0.0, temperature)
        run.result = Result({**made, "wall_seconds": time.perf_counter() - started})
        run.status = "done"
        recorder.finish()
        recorder.status()
    return run


def _check(members: Sequence[Trained]) -> None:
    if not members:
        raise UsageError("cannot build an ensemble: no runs were given")
    for member in members:
        if not member.from_config:
            raise UsageError(
                f"{member.path} cannot join an ensemble: its run was started from Python, without a configuration that "
                "names model and data; train it with scripts/fit.py"
            )
        member.check_classifies("combine")
    for member in members[1:]:
        for key in ("source_digest", "input_shape", "class_names"):
            if member.data[key] != members[0].data[key]:
                raise UsageError(f"{member.path} was trained on other data than {members[0].path}: their {key} differ")


class _Net(NamedTuple):
    """One network of the ensemble: its configuration, and a model with its weights."""

    described: Mapping[str, Any]
    model: keras.Model


def _nets(member: Trained) -> list[_Net]:
    config, model = member.config.model, member.model
    if config.name == "ensemble" and "members" in config.args:
        inner = config.args["members"]
        return [_Net(net, model.get_layer(f"member{number}")) for number, net in enumerate(inner)]
    return [_Net({"name": config.name, "args": dict(config.args)}, model)]


def _configuration(members: Sequence[Trained], nets: Sequence[_Net], shift: int) -> Config:
    """Return the first member's configuration, with the ensemble of all networks as its model."""
    return dataclasses.replace(
        members[0].config,
        model=ModelConfig(name="ensemble", args={"members": [net.described for net in nets], "shift": shift}),
        task=TaskConfig(),
        optimizer=OptimizerConfig(),
        imports=tuple(dict.fromkeys(name for member in members for name in member.config.imports)),
        plugins={},
    )


def _seen(members: Sequence[Trained]) -> Seen | None:
    """Return the images that any member has seen; None if this is unknown for one of them."""
    known = [member.seen for member in members if member.seen is not None]
    return functools.reduce(operator.or_, known) if len(known) == len(members) else None


def _test(run: Run, data: Data, unseen: bool) -> tuple[float | None, Scores]:
    """Validate and fit the temperature if the validation images are `unseen`; evaluate the test images once.

    Returns:
        The temperature, and the metrics on the test images.
    """
    from trainer.evaluator import Evaluator

    evaluator, temperature = Evaluator(run.model), None
    if unseen:
        numbers = evaluator.evaluate(data.validation)
        run.logs = {f"val_{name}": numbers[name] for name in ("loss", "accuracy")}
        temperature = evaluator.temperature(data.validation)
    tested, run.predictions = evaluator.assess(evaluator.pipeline(data.test), temperature)
    return temperature, tested
