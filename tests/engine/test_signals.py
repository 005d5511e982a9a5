"""Is a run saved when it is told to stop, and does its exit status say so? Real processes, real signals."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, SILENT, Done, make_images, run_command
from processes import process_class

from trainer import Run, checkpoint
from trainer.engine.signals import ask_to_stop, check_notice, listening, look_outside
from trainer.errors import UsageError

SENDER = """
import os, resource, signal, time
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

@plugins.register("early")
class Early(Plugin):
    def check(self, run: Run) -> None:
        os.kill(os.getpid(), signal.SIGINT)

@plugins.register("limit")
class Limit(Plugin):
    def on_epoch_start(self, run: Run) -> None:
        if run.epoch == 2:
            resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1, resource.RLIM_INFINITY))

if "IGNORED" in os.environ:
    signal.signal(int(os.environ["IGNORED"]), signal.SIG_IGN)
"""


def write(folder: Path) -> None:
    """Write the data and the plugin."""
    images = make_images(200, side=28)
    np.savez(folder / "data.npz", x_train=images.images, y_train=images.labels)
    (folder / "sender.py").write_text(SENDER)


def command(*arguments: str) -> list[str]:
    quiet = [*SILENT, "--no-plugin", "early_stopping", "--data", "data.npz", "--batch-size", "32"]
    script = [sys.executable, str(ROOT / "scripts" / "fit.py"), "--import", "sender", "--run-dir", "run"]
    return [*script, *quiet, *arguments]


def fit(folder: Path, *arguments: str) -> Done:
    write(folder)
    return run_command(command(*arguments), folder)


def assert_saved(run: Path, step: int | None = None) -> dict[str, Any]:
    """Assert that a run was interrupted and has a sound last checkpoint without the signal; return `run.json`."""
    last = run / "checkpoints" / (run / "checkpoints" / "last").read_text().strip()
    manifest = checkpoint.read(last).manifest
    assert step in (None, manifest["step"])
    assert manifest["stop_reason"] == ""
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert not (run / "result.json").exists()
    return record


STATUSES = [
    *((signal.SIGINT, 130, "stopped by Ctrl-C"), (signal.SIGTERM, 143, "stopped by SIGTERM")),
    (signal.SIGHUP, 129, "stopped by SIGHUP, as its terminal was closed"),
    (signal.SIGUSR2, 140, "stopped by SIGUSR2"),
    (signal.SIGXCPU, 152, "stopped by SIGXCPU, as its limit of processor time was reached"),
]


@pytest.mark.parametrize(("number", "status", "reason"), STATUSES, ids=[str(status) for _, status, _ in STATUSES])
def test_a_signal_saves_the_weights_and_sets_the_exit_status(tmp_path, number, status, reason):
    done = fit(tmp_path, "--plugin", f"sender:number={int(number)}")
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.endswith(f"fit.py: {reason}; step 3 is saved; resume with python scripts/fit.py --resume run\n")
    assert "Traceback" not in done.stderr
    assert assert_saved(tmp_path / "run", 3)["stop_reason"] == reason


def test_ctrl_c_before_training_leaves_nothing(tmp_path):
    done = fit(tmp_path, "--plugin", "early")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.endswith("fit.py: stopped by Ctrl-C before training; nothing was saved\n")
    assert not (tmp_path / "run").exists()


def test_what_a_signal_asks_for_is_answered_and_passed_on_to_who_listened_before(caplog):
    caplog.set_level("INFO", "trainer")
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with ours, theirs:
        before = signal.set_wakeup_fd(theirs.fileno())  # as the event loop of a notebook does
        try:
            with listening(run := Run(steps=10)):
                signal.raise_signal(signal.SIGUSR1)
                signal.raise_signal(signal.SIGTERM)
            assert signal.set_wakeup_fd(theirs.fileno()) == theirs.fileno()
        finally:
            signal.set_wakeup_fd(before)
        assert list(ours.recv(10)) == [signal.SIGUSR1, signal.SIGTERM]
    stopping = "stopping after this step and saving; send SIGTERM again to quit now"
    assert caplog.messages == ["saving after this step", stopping]
    assert (run.inbox.saves, run.signal) == (["last"], signal.SIGTERM)


def test_a_second_signal_ends_at_once(tmp_path):
    done = fit(tmp_path, "--plugin", f"sender:number={int(signal.SIGTERM)},times=2")
    assert done.returncode == -signal.SIGTERM
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_what_the_system_sends_again_and_again_does_not_end_the_saving(tmp_path):
    done = fit(tmp_path, "--plugin", f"sender:number={int(signal.SIGHUP)},times=3")
    assert done.returncode == 129
    assert_saved(tmp_path / "run", 3)


def test_a_limit_of_processor_time_saves_the_run(tmp_path):
    done = fit(tmp_path, "--epochs", "100000", "--plugin", "limit")
    assert done.returncode == 128 + signal.SIGXCPU
    assert done.stderr.endswith("; resume with python scripts/fit.py --resume run\n")
    assert_saved(tmp_path / "run")


def test_the_limit_is_ignored_once_it_was_noticed_since_it_comes_every_second():
    run = Run()
    with listening(run):
        signal.raise_signal(signal.SIGXCPU)
    try:
        assert (run.signal, signal.getsignal(signal.SIGXCPU)) == (signal.SIGXCPU, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_is_ignored_stays_so(tmp_path, number):
    write(tmp_path)
    flags = ("--epochs", "1", "--plugin", f"sender:number={int(number)}")
    done = run_command(command(*flags), tmp_path, env={"IGNORED": str(int(number))})
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "done"


@pytest.mark.slow
def test_nohup_is_respected(tmp_path):
    write(tmp_path)
    flags = ("--epochs", "1", "--plugin", f"sender:number={int(signal.SIGHUP)}")
    done = subprocess.run(["nohup", *command(*flags)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_terminal_that_is_closed_saves_the_run(tmp_path):
    write(tmp_path)
    master, terminal = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            command("--epochs", "100000"),
            **{"cwd": tmp_path, "preexec_fn": take_terminal, "stdin": terminal, "stdout": out, "stderr": out},
        )
    os.close(terminal)
    try:
        wait_for(tmp_path / "run" / "checkpoints" / "last", process)
        os.close(master)
        assert process.wait(timeout=300) == 129
    finally:
        process.kill()
    assert "stopped by SIGHUP, as its terminal was closed; step" in (tmp_path / "out").read_text()
    assert_saved(tmp_path / "run")


def wait_for(path: Path, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


# The notice of a machine that is about to be reclaimed


def test_a_file_that_appears_ends_the_run_as_sigterm_does(tmp_path):
    write(tmp_path)
    flags = ("--epochs", "100000", "--stop-when", "notice")
    with process_class()(command(*flags), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(tmp_path / "run" / "checkpoints" / "last", process)
            (tmp_path / "notice").touch()
            _, said = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 143
    assert "fit.py: stopped by the file notice; step " in said
    assert_saved(tmp_path / "run")
    assert (tmp_path / "notice").exists()  # it belongs to somebody else


def test_a_notice_that_is_there_already_is_reported_before_anything_happens(tmp_path):
    (tmp_path / "notice").touch()
    done = fit(tmp_path, "--stop-when", "notice")
    said = "cannot train until notice appears: it exists; delete it, or name another file"
    assert (done.returncode, done.stderr) == (2, f"fit.py: error: {said}\n")
    assert not (tmp_path / "run").exists()


def test_a_notice_that_can_never_appear_is_reported():
    with pytest.raises(UsageError) as caught:
        check_notice(Path("x" * 5000))
    assert str(caught.value).endswith("… appears: File name too long; name another file")
    assert len(str(caught.value)) < 200


def test_a_disk_that_does_not_answer_does_not_end_a_run(tmp_path):
    run = Run(directory=tmp_path / ("x" * 5000))  # the system refuses to look there
    look_outside(run, Path("x" * 5000))
    assert (run.signal, run.stop_reason) == (None, "")


def test_the_first_reason_to_stop_is_kept(tmp_path):
    (tmp_path / "STOP").touch()
    run = Run(directory=tmp_path)
    ask_to_stop(run, signal.SIGHUP, "stopped by SIGHUP")
    look_outside(run, tmp_path)
    assert (run.signal, run.stop_reason) == (signal.SIGHUP, "stopped by SIGHUP")
