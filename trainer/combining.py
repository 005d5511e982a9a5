"""Makes one run of several: an ensemble of their models, tested once, in a run directory like any other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import backend, checkpoint, resume
from trainer.assemble import build_model, load_data
from trainer.config import ModelConfig, OptimizerConfig
from trainer.errors import UsageError
from trainer.recorder import Recorder
from trainer.restore import Trained, load_trained
from trainer.result import make_result
from trainer.run import Run
from trainer.rundir import check_free

if TYPE_CHECKING:
    from trainer.data.split import Data
    from trainer.trainer import Trainer


def combine(runs: Sequence[Path], run_dir: Path, shift: int = 0) -> Run:
    """Write the ensemble of trained models as a finished run, with the first one's data and configuration.

    Args:
        runs: Run directories or checkpoints; of a run the weights that its validation chose.
        run_dir: Where the ensemble goes; must not exist.
        shift: Pixels of test-time augmentation; see `models.ensemble`.

    Returns:
        The run; its `result` has the numbers on the validation and test images.

    Raises:
        UsageError: If there is no run, one is none, or they were trained on other data than the first.
        DataError: If the data cannot be read any more.
        CheckpointError: If a checkpoint is damaged.
    """
    check_free(run_dir)
    started = time.perf_counter()
    members = [load_trained(path) for path in runs]
    _check(members)
    first = members[0]
    described = [{"name": member.config.model.name, "args": dict(member.config.model.args)} for member in members]
    model_config = ModelConfig(name="ensemble", args={"members": described, "shift": shift})
    config = dataclasses.replace(first.config, model=model_config, optimizer=OptimizerConfig(), plugins={})
    data = load_data(config.data, config.training.seed)
    model = build_model(config, data.input_shape, data.num_classes)
    for number, member in enumerate(members):
        model.get_layer(f"member{number}").set_weights(member.model.get_weights())

    from trainer.trainer import Trainer

    run = Run(seed=config.training.seed, config=config.to_dict(), model=model, data=data.facts(), steps_per_epoch=1)
    recorder = Recorder(run, run_dir)
    recorder.open()
    recorder.start(config.to_toml())
    _test(run, Trainer(model), data, recorder)
    run.result["wall_seconds"] = time.perf_counter() - started
    run.status = "done"
    recorder.finish()
    recorder.status()
    recorder.close()
    return run


def _check(members: Sequence[Trained]) -> None:
    if not members:
        raise UsageError("an ensemble needs runs")
    for member in members[1:]:
        for key in ("source_digest", "input_shape", "class_names"):
            if member.data[key] != members[0].data[key]:
                raise UsageError(f"{member.path} was trained on other data than {members[0].path}: their {key} differ")


def _test(run: Run, trainer: Trainer, data: Data, recorder: Recorder) -> None:
    """Save the weights, fit their temperature, look at the test images once."""
    from trainer.data.pipeline import InOrder

    run.logs = {f"val_{name}": trainer.evaluate(InOrder(data.validation))[name] for name in ("loss", "accuracy")}
    copy = checkpoint.snapshot("epoch=0000-step=0000000", run.model.variables, resume.facts(run, {}))  # type: ignore[union-attr]
    recorder.save(copy, ["best", "last"], [])
    recorder.check_saved()
    temperature = trainer.temperature(InOrder(data.validation))
    tested = trainer.evaluate(InOrder(data.test), temperature)
    run.result = make_result(run, recorder.best(), tested, 0.0, {"strategy": "none", **backend.facts()})
    run.result |= {"temperature": temperature, "bottleneck": ""}
