"""Does a killed run continue as if nothing had happened?"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, make_images, small_net
from processes import process_class

from trainer import Every, Plugin, Run, checkpoint
from trainer.errors import CheckpointError, UsageError
from trainer.runs.lock import RunLock, is_held

TIMES = ("seconds", "images_per_second")


class Killer(Plugin):
    """Sends a signal to the process in a hook, after a step."""

    every = Every(steps=1)

    def __init__(self, step: int = 0, hook: str = "", number: int = signal.SIGTERM) -> None:
        self.step, self.hook, self.number = step, hook, number

    def _maybe(self, run: Run, hook: str) -> None:
        if (run.step, hook) == (self.step, self.hook):
            os.kill(os.getpid(), self.number)

    def on_step_end(self, run: Run) -> None:
        self._maybe(run, "on_step_end")

    def on_validation_start(self, run: Run) -> None:
        self._maybe(run, "on_validation_start")

    def on_validation_end(self, run: Run) -> None:
        self._maybe(run, "on_validation_end")

    def on_epoch_end(self, run: Run) -> None:
        self._maybe(run, "on_epoch_end")


def fit(keras, folder: Path, *plugins: Plugin, epochs: int = 4, resumed: bool = False, data=None, **arguments: Any):
    """Train with everything in use that resuming can lose; return the trainer and the run."""
    from plugins.checkpoint import Checkpoint
    from plugins.early_stopping import EarlyStopping
    from plugins.norm_statistics import NormStatistics
    from trainer.data.pipeline import EvaluationRows, TrainingRows
    from trainer.trainer import Trainer

    keras.utils.set_random_seed(0)
    model = small_net(keras)
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, 100)
    optimizer = keras.optimizers.Adam(schedule, use_ema=True)
    own = [EarlyStopping(), Checkpoint(), NormStatistics(50)]
    trainer = Trainer(model, optimizer=optimizer, plugins=[*own, *plugins], run_dir=folder, data=data or DATA)
    images = make_images(200)
    train, validation = TrainingRows(images, 32, 0, "strong"), EvaluationRows(make_images(60, seed=1), 20)
    verb = trainer.resume if resumed else trainer.fit
    run = verb(train, validation_data=validation, test_data=make_images(40, seed=2), epochs=epochs, **arguments)
    return trainer, run


DATA = {"name": "made", "digest": "0123"}


def state(trainer) -> bytes:
    return b"".join(np.asarray(variable).tobytes() for variable in trainer.loop.variables)


def timeless(value: Any) -> Any:
    """Return a history or a result without times, rates and the run's own location."""
    if isinstance(value, Mapping):
        left_out = (*TIMES, "time", "bottleneck", "run_dir", "train_seconds", "wall_seconds")
        return {key: timeless(item) for key, item in value.items() if key not in left_out}
    return [timeless(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def uninterrupted(keras, tmp_path_factory):
    trainer, run = fit(keras, tmp_path_factory.mktemp("runs") / "whole")
    return state(trainer), run


@pytest.mark.parametrize(
    ("step", "hook"),
    [
        (3, "on_step_end"),
        (7, "on_validation_start"),
        (14, "on_epoch_end"),
        *(
            pytest.param(step, hook, marks=pytest.mark.slow)
            for step, hook in (
                (7, "on_step_end"),
                (14, "on_validation_end"),
                (28, "on_validation_start"),
                (28, "on_epoch_end"),
            )
        ),
    ],
)
def test_a_run_that_was_stopped_anywhere_ends_as_if_it_had_not_been(keras, uninterrupted, tmp_path, step, hook):
    _, stopped = fit(keras, tmp_path / "run", Killer(step, hook))
    assert (stopped.status, stopped.step) == ("interrupted", step)
    trainer, run = fit(keras, tmp_path / "run", resumed=True)
    weights, whole = uninterrupted
    assert state(trainer) == weights
    assert timeless(run.history) == timeless(whole.history)
    assert timeless(run.result) == timeless(whole.result)
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == run.history


def test_a_finished_run_can_be_asked_for_more_epochs(keras, tmp_path):
    fit(keras, tmp_path / "run", epochs=2)
    trainer, run = fit(keras, tmp_path / "run", epochs=4, resumed=True)
    whole, expected = fit(keras, tmp_path / "other", epochs=4)
    assert state(trainer) == state(whole)
    assert timeless(run.history) == timeless(expected.history)


def test_a_run_that_is_asked_for_less_than_it_has_done_ends_where_it_is(keras, tmp_path):
    fit(keras, tmp_path / "run", Killer(17, "on_step_end"))
    _, run = fit(keras, tmp_path / "run", epochs=1, resumed=True)
    assert (run.status, run.step, run.result["steps"]) == ("done", 17, 17)


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(keras, uninterrupted, tmp_path, caplog):
    fit(keras, tmp_path / "run", Killer(14, "on_epoch_end"))
    last = tmp_path / "run" / "checkpoints" / (tmp_path / "run" / "checkpoints" / "last").read_text().strip()
    content = bytearray((last / "state.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (last / "state.npz").write_bytes(content)
    trainer, run = fit(keras, tmp_path / "run", resumed=True)
    assert "it is set aside and the previous one is used" in caplog.text
    assert last.with_name(f"damaged-{last.name}").is_dir()
    assert state(trainer) == uninterrupted[0]
    assert timeless(run.history) == timeless(uninterrupted[1].history)


def test_without_a_sound_checkpoint_nothing_is_resumed(keras, tmp_path):
    fit(keras, tmp_path / "run", Killer(3, "on_step_end"))
    for path in (tmp_path / "run" / "checkpoints").glob("*/manifest.json"):
        path.write_text("{}")
    with pytest.raises(CheckpointError, match="it has no intact checkpoint"):
        fit(keras, tmp_path / "run", resumed=True)


def test_other_data_are_refused_unless_asked_for(keras, tmp_path):
    fit(keras, tmp_path / "run", Killer(3, "on_step_end"))
    other = {"name": "other", "digest": "4567"}
    with pytest.raises(
        CheckpointError, match=r"trained on made \(0123…\), not on other \(4567…\); add --resume-anyway"
    ):
        fit(keras, tmp_path / "run", resumed=True, data=other)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    assert fit(keras, tmp_path / "run", resumed=True, data=other, anyway=True)[1].status == "done"


def test_a_run_that_is_alive_is_left_alone(keras, tmp_path):
    fit(keras, tmp_path / "run", Killer(3, "on_step_end"))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with RunLock(tmp_path / "run"), pytest.raises(UsageError, match="is still running in this process; wait until"):
        fit(keras, tmp_path / "run", resumed=True)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_the_id_of_the_process_that_died_may_be_taken_by_another(keras, tmp_path):
    fit(keras, tmp_path / "run", Killer(3, "on_step_end"), epochs=1)
    record = json.loads((tmp_path / "run" / "run.json").read_text()) | {"status": "running", "pid": os.getppid()}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    assert fit(keras, tmp_path / "run", epochs=1, resumed=True)[1].status == "done"
    assert is_held(tmp_path / "run") is False


def test_the_run_directory_is_let_go_of_however_a_run_ends(keras, tmp_path):
    with pytest.raises(Exception, match="ZeroDivisionError"):
        fit(keras, tmp_path / "run", Breaker(), epochs=2)
    assert is_held(tmp_path / "run") is False
    with pytest.raises(CheckpointError, match="the run was trained on made"):
        fit(keras, tmp_path / "run", resumed=True, data={"name": "other", "digest": "4567"})
    assert is_held(tmp_path / "run") is False


class Asker(Plugin):
    """Asks, in every hook at the start and the end, who holds the run directory."""

    def __init__(self) -> None:
        self.held: list[bool | None] = []

    def on_fit_start(self, run: Run) -> None:
        self.held.append(is_held(run.directory))

    def on_fit_end(self, run: Run) -> None:
        self.held.append(is_held(run.directory))


def test_the_run_directory_is_held_from_the_first_plugin_to_the_last(keras, tmp_path):
    asker = Asker()
    fit(keras, tmp_path / "run", Killer(3, "on_step_end"), asker, epochs=1)
    fit(keras, tmp_path / "run", asker, epochs=1, resumed=True)
    assert asker.held == [True] * 4


def test_sigusr1_saves_and_training_continues(keras, tmp_path):
    _, run = fit(keras, tmp_path / "run", Killer(10, "on_step_end", signal.SIGUSR1))
    assert (run.status, run.saved["last"]) == ("done", 28)
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


class Stopper(Plugin):
    """Creates the file STOP."""

    def on_epoch_end(self, run: Run) -> None:
        if run.epoch == 2:
            (run.directory / "STOP").touch()


def test_a_file_named_stop_ends_a_run_that_can_be_resumed(keras, uninterrupted, tmp_path):
    _, run = fit(keras, tmp_path / "run", Stopper())
    assert (run.status, run.stop_reason) == ("interrupted", "stopped by the file STOP")
    assert not (tmp_path / "run" / "STOP").exists()
    trainer, _ = fit(keras, tmp_path / "run", resumed=True)
    assert state(trainer) == uninterrupted[0]


class Breaker(Plugin):
    """Raises in mid-epoch."""

    every = Every(steps=1)

    def on_step_end(self, run: Run) -> None:
        if run.step == 10:
            raise ZeroDivisionError


def test_an_exception_leaves_a_checkpoint_to_resume_from(keras, uninterrupted, tmp_path):
    with pytest.raises(Exception, match="ZeroDivisionError"):
        fit(keras, tmp_path / "run", Breaker())
    last = tmp_path / "run" / "checkpoints" / (tmp_path / "run" / "checkpoints" / "last").read_text().strip()
    assert checkpoint.read(last).manifest["step"] == 10
    trainer, _ = fit(keras, tmp_path / "run", resumed=True)
    assert state(trainer) == uninterrupted[0]


READY = """
import os
from trainer import Plugin, Run
from trainer.registry import plugins

@plugins.register("ready")
class Ready(Plugin):
    def on_fit_start(self, run: Run) -> None:
        open("ready", "w").write(str(os.getpid()))
"""

FIT = [
    *("--import", "ready", "--plugin", "ready", "--data", "data.npz", "--model", "lenet:dropout=0.3"),
    *("--epochs", "60", "--batch-size", "16", "--augment", "strong", "--optimizer", "adamw"),
    *("--set", "optimizer.args.use_ema=true", "--plugin", "early_stopping:patience=50"),
    *("--plugin", "checkpoint:every_steps=25", "--no-plugin", "mlflow", "--no-plugin", "report", "--progress", "none"),
]


def process(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "scripts" / "fit.py"), *FIT, *arguments]
    return process_class()(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def last_state(run: Path) -> list[np.ndarray]:
    return list(checkpoint.read(run / "checkpoints" / (run / "checkpoints" / "last").read_text().strip()).arrays)


def kill_at_random(folder: Path, number: int, wait: random.Random) -> int:
    """Start or resume the run, kill it a random time after its first step, and return its exit status."""
    resume = ["--resume", "run"] if (folder / "run" / "checkpoints" / "last").exists() else []
    if not resume and (folder / "run").exists():  # killed before its first checkpoint: it cannot be resumed
        (folder / "run").rename(folder / f"nothing{time.monotonic_ns()}")
    (folder / "ready").unlink(missing_ok=True)
    running = process(folder, *(resume or ["--run-dir", "run"]))
    deadline = time.monotonic() + 300
    while not (folder / "ready").exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    try:
        running.wait(wait.uniform(0.0, 1.5))
    except subprocess.TimeoutExpired:
        running.send_signal(number)
    _, errors = running.communicate(timeout=300)
    assert "Traceback" not in errors
    return running.returncode


@pytest.mark.slow
def test_forty_kills_at_random_moments_change_no_bit(tmp_path):
    images = make_images(600, classes=10, side=28)
    np.savez(tmp_path / "data.npz", x_train=images.images, y_train=images.labels)
    (tmp_path / "ready.py").write_text(READY)
    whole = process(tmp_path, "--run-dir", "whole")
    _, errors = whole.communicate(timeout=300)
    assert whole.returncode == 0, errors
    wait, statuses = random.Random(0), []
    for number in [signal.SIGKILL] * 30 + [signal.SIGTERM] * 10:
        statuses.append(kill_at_random(tmp_path, number, wait))
        if statuses[-1] == 0:  # it finished before it was killed: start another
            check_equal(tmp_path / "run", tmp_path / "whole")
            (tmp_path / "run").rename(tmp_path / f"done{len(statuses)}")
    if not (tmp_path / "run" / "checkpoints" / "last").exists():
        return
    final = process(tmp_path, "--resume", "run")
    _, errors = final.communicate(timeout=300)
    assert final.returncode == 0, errors
    check_equal(tmp_path / "run", tmp_path / "whole")
    assert {-signal.SIGKILL, 143} <= set(statuses)


def check_equal(ours: Path, theirs: Path) -> None:
    for mine, other in zip(last_state(ours), last_state(theirs), strict=True):
        np.testing.assert_array_equal(mine, other)
    histories = [
        [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()] for run in (ours, theirs)
    ]
    assert timeless(histories[0]) == timeless(histories[1])
    results = [json.loads((run / "result.json").read_text()) for run in (ours, theirs)]
    for result in results:  # a folder has a number if one of its name was left behind by a kill
        result["best"]["checkpoint"] = re.sub(r"(step=\d+)-\d+$", r"\1", result["best"]["checkpoint"])
    assert timeless(results[0]) == timeless(results[1])


@pytest.mark.slow
def test_the_command_line_resumes_by_name_and_by_likeness(tmp_path):
    images = make_images(200, classes=10, side=28)
    np.savez(tmp_path / "data.npz", x_train=images.images, y_train=images.labels)
    (tmp_path / "ready.py").write_text(READY)
    short = ["--epochs", "2", "--batch-size", "32"]
    done = process(tmp_path, *short, "--run-dir", "runs/one")
    assert done.communicate(timeout=300)[1] == "training lenet on data.npz; run directory: runs/one\n"
    asked_again = process(tmp_path, *short, "--resume")
    output, errors = asked_again.communicate(timeout=300)
    again = "fit.py: runs/one is finished; add --epochs or --steps to train it for longer\n"
    assert (asked_again.returncode, errors) == (0, again)
    assert "training        2 epochs" in output
    longer = process(tmp_path, *short, "--epochs", "3", "--resume", "runs/one")
    output, _ = longer.communicate(timeout=300)
    assert "training        3 epochs" in output
    other = process(tmp_path, *short, "--seed", "1", "--resume", "runs/one")
    _, errors = other.communicate(timeout=300)
    assert other.returncode == 2
    said = "cannot resume runs/one: its configuration differs (training.seed: 0 → 1); --resume-anyway accepts that"
    assert errors == f"fit.py: error: {said}\n"
