"""Does MLflow show how a run ended, is a resumed run the same one there, and can many start at once? Real processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, run_command, run_script
from mlflow_stores import QUIET, assert_complete, lines_of, mirrored
from processes import process_class

pytestmark = pytest.mark.slow

FATE = """
import os, time
from pathlib import Path
from trainer import Every, Plugin, Run
from trainer.registry import plugins

@plugins.register("fate")
class Fate(Plugin):
    '''Ends the run in mid-epoch, once MLflow has part of it: by a signal, or by an exception for 0.'''
    every = Every(steps=1)
    def __init__(self, number: int):
        self.number = number
    def on_step_end(self, run: Run) -> None:
        if run.step != 10:
            return
        from plugins.mlflow.state import State
        deadline = time.monotonic() + 300
        while not State.read(run.directory).history.offset:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if not self.number:
            raise RuntimeError("no more")
        os.kill(os.getpid(), self.number)
"""
FLAGS = (
    *("--model", "lenet:dropout=0.2", "--epochs", "3", "--batch-size", "32", "--set", "training.log_every_steps=2"),
    *("--plugin", "mlflow:log_model=false", *QUIET),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("endings")
    (made / "fate.py").write_text(FATE)
    return made


@pytest.fixture(autouse=True)
def _no_tracking_server_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def command(tiny: Path, name: str, *flags: str) -> list[str]:
    script = [sys.executable, str(ROOT / "scripts" / "fit.py"), "--data", str(tiny), *FLAGS]
    return [*script, "--run-dir", f"runs/{name}", *flags]


def fit(folder: Path, tiny: Path, name: str, *flags: str) -> int:
    done = run_command(command(tiny, name, *flags), folder)
    assert "warning: mlflow" not in done.stderr, done.stderr
    return done.returncode


def resume(folder: Path, name: str) -> int:
    """Resume a run without the plugin that ended it."""
    flags = ("--resume", f"runs/{name}", "--resume-anyway", "--import", "fate", "--no-plugin", "fate")
    done = run_script(folder, "fit.py", *flags)
    assert "warning: mlflow" not in done.stderr, done.stderr
    return done.returncode


def store(folder: Path) -> str:
    return f"sqlite:///{folder}/runs/mlflow.db"


@pytest.mark.parametrize(
    ("number", "exit_status", "status"),
    [(0, 1, "FAILED"), (signal.SIGINT, 130, "KILLED"), (signal.SIGTERM, 143, "KILLED")],
)
def test_the_end_of_a_run_is_known_at_once_and_resuming_it_goes_on_in_the_same_run(
    folder, tiny, number, exit_status, status
):
    name, flags = f"ended-{int(number)}", ("--import", "fate", "--plugin", f"fate:number={int(number)}")
    assert fit(folder, tiny, name, *flags) == exit_status
    run_dir = folder / "runs" / name
    before = mirrored(store(folder), run_dir)
    assert_complete(before, run_dir, status)
    if number != signal.SIGTERM:
        return
    assert resume(folder, name) == 0
    found = mirrored(store(folder), run_dir)
    assert found["id"] == before["id"]
    assert_complete(found, run_dir)
    assert "superseded_steps" not in found["tags"]


def test_a_killed_run_is_closed_by_the_next_start_and_can_still_be_resumed(folder, tiny):
    flags = ("--import", "fate", "--plugin", f"fate:number={int(signal.SIGKILL)}")
    assert fit(folder, tiny, "killed", *flags) == -signal.SIGKILL
    run_dir = folder / "runs" / "killed"
    before = mirrored(store(folder), run_dir)
    assert before["status"] == "RUNNING"
    assert fit(folder, tiny, "next") == 0
    found = mirrored(store(folder), run_dir)
    assert_complete(found, run_dir, "KILLED")
    assert found["id"] == before["id"]

    assert lines_of(run_dir)[-1]["step"] == 10  # four steps after the checkpoint from which it resumes
    assert resume(folder, "killed") == 0
    found = mirrored(store(folder), run_dir)
    assert found["id"] == before["id"]
    assert found["status"] == "FINISHED"
    steps = [row[:2] for row in found["points"]]
    assert len(steps) == len(set(steps))
    values = {row[:3] for row in found["points"]}
    names = ("loss", "val_loss", "batch_loss", "accuracy")
    wanted = {(n, line["step"], line[n]) for line in lines_of(run_dir) for n in names if n in line}
    assert wanted <= values
    assert "superseded_steps" not in found["tags"]


def test_a_killed_run_is_closed_by_a_sync(folder, tiny):
    flags = ("--import", "fate", "--plugin", f"fate:number={int(signal.SIGKILL)}")
    assert fit(folder, tiny, "synced", *flags) == -signal.SIGKILL
    done = run_script(folder, "mlflow_sync.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "runs/synced: sent\n" in done.stdout
    assert_complete(mirrored(store(folder), folder / "runs" / "synced"), folder / "runs" / "synced", "KILLED")
    assert "has every finished run under runs" in run_script(folder, "mlflow_sync.py").stdout


def test_ten_processes_at_once_on_a_new_store_are_ten_complete_runs(tmp_path, tiny):
    names = [f"run{number}" for number in range(10)]
    flags = ("--plugin", "mlflow:parent=sweep")
    started = [
        process_class()(command(tiny, name, *flags), cwd=tmp_path, stdout=-3, stderr=subprocess.PIPE, text=True)
        for name in names
    ]
    try:
        said = [process.communicate(timeout=900)[1] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait(timeout=300)
    assert [process.returncode for process in started] == [0] * 10, said
    assert not any("warning" in text for text in said), said
    found = [mirrored(store(tmp_path), tmp_path / "runs" / name) for name in names]
    for name, run in zip(names, found, strict=True):
        assert_complete(run, tmp_path / "runs" / name)
    assert len({run["id"] for run in found}) == 10
    assert len({run["tags"]["mlflow.parentRunId"] for run in found}) == 1


def test_a_run_logs_its_model_once_and_says_nothing_of_it(folder, tiny):
    assert fit(folder, tiny, "model", "--plugin", "mlflow:log_model=true,system_metrics=true") == 0
    from mlflow_stores import client_of

    run_dir = folder / "runs" / "model"
    found = mirrored(store(folder), run_dir)
    run = client_of(store(folder)).get_run(found["id"])
    assert len(run.outputs.model_outputs) == 1
    assert run_script(folder, "mlflow_sync.py", run_dir).stdout == f"{run_dir}: nothing to send\n"
    assert "system/cpu_utilization_percentage" in {name for name, *_ in found["points"]}
    assert (run_dir / "system.jsonl").exists()
