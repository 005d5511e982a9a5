"""Is a run that is told to stop saved, and does its exit status say so? Real processes, real signals."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, SILENT, Done, make_images, run_command

from trainer import checkpoint

SENDER = """
import os, signal
from trainer import Every, Plugin, Run
from trainer.registry import plugins

@plugins.register("sender")
class Sender(Plugin):
    every = Every(steps=3)
    def __init__(self, number: int, times: int = 1):
        self.number, self.times = number, times
    def on_step_end(self, run: Run) -> None:
        if run.step == 3:
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)
"""


def fit(folder: Path, *arguments: str) -> Done:
    images = make_images(200, side=28)
    np.savez(folder / "data.npz", x_train=images.images, y_train=images.labels)
    (folder / "sender.py").write_text(SENDER)
    quiet = [*SILENT, "--data", "data.npz", "--batch-size", "32"]
    command = [sys.executable, str(ROOT / "scripts" / "fit.py"), "--import", "sender", "--run-dir", "run", *quiet]
    return run_command([*command, *arguments], folder)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_weights_and_sets_the_exit_status(tmp_path, number, status):
    done = fit(tmp_path, "--plugin", f"sender:number={int(number)}")
    assert done.returncode == status
    assert done.stdout == ""
    assert "step 3 is saved; resume with --resume run" in done.stderr
    assert "Traceback" not in done.stderr
    run = tmp_path / "run"
    last = run / "checkpoints" / (run / "checkpoints" / "last").read_text().strip()
    assert checkpoint.read(last).manifest["step"] == 3
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    assert not (run / "result.json").exists()


def test_a_second_signal_ends_at_once(tmp_path):
    done = fit(tmp_path, "--plugin", f"sender:number={int(signal.SIGTERM)},times=2")
    assert done.returncode == -signal.SIGTERM
    assert not (tmp_path / "run" / "checkpoints").exists()
