"""Can a failing MLflow store harm a run or lose any of it? Real processes, stores and servers."""

from __future__ import annotations

import ctypes
import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT, run_command, run_script
from mlflow_stores import QUIET, Door, assert_complete, assert_same_run, end, free_port, mirrored, serving, until
from processes import process_class

pytestmark = pytest.mark.slow
ATTEMPTS = 8
"""Attempts of a two-minute run to reach a failing server: after 5, 10, 20, 40 and 60 s, and at its end."""
SHORT = ("--model", "lenet", "--epochs", "2", "--batch-size", "32", "--set", "training.log_every_steps=2")


@dataclass
class Workshop:
    """A folder with a run without MLflow, and a server behind a door."""

    folder: Path
    tiny: Path
    door: Door

    def fit(self, name: str, uri: str, *flags: str, before: Callable[[], None] | None = None) -> Fit:
        """Train in the same way as the run without MLflow."""
        command = [str(ROOT / "scripts" / "fit.py"), "--data", str(self.tiny), *SHORT, *QUIET, "--run-dir", name]
        plugin = ["--plugin", f'mlflow:log_model=false,tracking_uri="{uri}"'] if uri else []
        done = run_command([sys.executable, *command, *plugin, *flags], self.folder, 600, before=before)
        return Fit(done, self.folder / name)

    def sync(self, *arguments: str | Path) -> str:
        """Run `mlflow_sync.py` and return its output."""
        done = run_script(self.folder, "mlflow_sync.py", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@dataclass
class Fit:
    """A finished run."""

    done: subprocess.CompletedProcess[str]
    run_dir: Path

    @property
    def said(self) -> list[str]:
        """Its lines about MLflow on stderr."""
        return [line for line in self.done.stderr.splitlines() if "mlflow" in line]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Workshop]:
    folder, port = tmp_path_factory.mktemp("faults"), free_port()
    (folder / "server").mkdir()
    with pytest.MonkeyPatch.context() as patch, serving(folder / "server", port):
        for name in [name for name in os.environ if name.startswith("MLFLOW")]:
            patch.delenv(name)
        made = Workshop(folder, tiny, Door(port))
        plain = made.fit("plain", "", "--no-plugin", "mlflow")
        assert plain.done.returncode == 0, plain.done.stderr
        yield made
        made.door.set("closed")


def assert_unhurt(workshop: Workshop, fit: Fit) -> None:
    """Assert that a run with a failing store ended as without MLflow, with a single warning."""
    assert fit.done.returncode == 0, fit.done.stderr
    assert_same_run(fit.run_dir, workshop.folder / "plain")
    lines = fit.done.stderr.splitlines()
    assert sum(line.startswith("warning:") for line in lines) == 1, fit.done.stderr
    assert f"python scripts/mlflow_sync.py {fit.run_dir}" in fit.said[-1]
    assert "Traceback" not in fit.done.stderr


def assert_caught_up(workshop: Workshop, fit: Fit, uri: str) -> None:
    """Assert that one sync, as suggested by the run, sends everything exactly once, and a second one nothing."""
    *_, run_dir, flag, named = shlex.split(fit.said[-1])
    assert (run_dir, flag, named) == (str(fit.run_dir), "--uri", uri)
    assert workshop.sync(fit.run_dir, "--uri", uri) == f"{fit.run_dir}: sent\n"
    found = mirrored(uri, fit.run_dir)
    assert_complete(found, fit.run_dir)
    assert workshop.sync(fit.run_dir, "--uri", uri) == f"{fit.run_dir}: nothing to send\n"
    assert mirrored(uri, fit.run_dir) == found


@pytest.mark.parametrize(
    ("mode", "reason"), [("closed", "Connection refused"), ("silent", "not done within"), ("refusing", "401")]
)
def test_a_server_that_is_away_silent_or_refuses_is_asked_a_few_times_and_costs_nothing_else(workshop, mode, reason):
    workshop.door.set(mode)
    fit = workshop.fit(mode, workshop.door.uri)
    assert_unhurt(workshop, fit)
    assert reason in fit.done.stderr or "timed out" in fit.done.stderr
    assert mode == "closed" or 0 < workshop.door.guests <= ATTEMPTS
    workshop.door.set("open")
    assert_caught_up(workshop, fit, workshop.door.uri)


@pytest.mark.parametrize("uri", ["nowhere://me:secret@x", "http://[", "sqlite:////dev/null/x/mlflow.db"])
def test_a_wrong_address_costs_one_warning_and_the_run_can_be_sent_elsewhere(workshop, uri):
    fit = workshop.fit(f"wrong-{uri[:4]}", uri)
    assert_unhurt(workshop, fit)
    assert "secret" not in fit.done.stderr
    if uri.startswith("nowhere"):
        workshop.door.set("open")
        assert workshop.sync("--uri", workshop.door.uri, fit.run_dir) == f"{fit.run_dir}: sent\n"
        found = mirrored(workshop.door.uri, fit.run_dir)
        assert all("secret" not in text for text in (*found["params"].values(), *found["tags"].values()))


@pytest.mark.parametrize("existing", [False, True])
def test_a_full_disk_under_the_store_costs_one_warning(workshop, tmp_path, existing):
    uri, full = f"sqlite:///{tmp_path}/mlflow.db", 800_000
    if existing:
        assert workshop.fit(f"before-{existing}", uri).done.returncode == 0
        full = (tmp_path / "mlflow.db").stat().st_size
    fit = workshop.fit(f"full-{existing}", uri, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (full, full)))
    assert_unhurt(workshop, fit)
    assert_caught_up(workshop, fit, uri)


def without_override() -> None:
    """Make file permissions apply to root too, in the program that is executed next."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def test_a_read_only_store_costs_one_warning(workshop, tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert workshop.fit("before-read-only", uri).done.returncode == 0
    (tmp_path / "mlflow.db").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        fit = workshop.fit("read-only", uri, before=without_override)
    finally:
        tmp_path.chmod(0o755)
        (tmp_path / "mlflow.db").chmod(0o644)
    assert_unhurt(workshop, fit)
    assert_caught_up(workshop, fit, uri)


GATE = """
import time
from pathlib import Path
from trainer import Plugin, Run
from trainer.registry import plugins

@plugins.register("gate")
class Gate(Plugin):
    '''Waits for a file at the end of each epoch but the last, for at most ten minutes.'''
    def on_epoch_end(self, run: Run) -> None:
        (Path.cwd() / f"reached-{run.epoch}").touch()
        deadline = time.monotonic() + 600
        while run.epoch < run.epochs and not (Path.cwd() / f"go-{run.epoch}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
"""


def test_a_server_that_is_killed_and_comes_back_has_everything_when_the_run_ends(tmp_path, tiny):
    (tmp_path / "gate.py").write_text(GATE)
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    flags = ["--data", str(tiny), *SHORT, *QUIET, "--epochs", "4", "--run-dir", "run"]
    plugin = ["--import", "gate", "--plugin", "gate", "--plugin", f"mlflow:log_model=false,tracking_uri={uri}"]
    command = [sys.executable, str(ROOT / "scripts" / "fit.py"), *flags, *plugin]
    with serving(tmp_path, port) as server:
        fit = process_class()(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        try:
            until(lambda: has_points(tmp_path / "run"), 300)
            end(server)
            (tmp_path / "go-1").touch()
            until(lambda: (tmp_path / "reached-2").exists(), 300)
            time.sleep(4)  # the worker looks every three seconds, and finds nobody
            (tmp_path / "go-2").touch()
            until(lambda: (tmp_path / "reached-3").exists(), 300)
            with serving(tmp_path, port):
                (tmp_path / "go-3").touch()
                _, said = fit.communicate(timeout=300)
                assert fit.returncode == 0
                assert [line for line in said.splitlines() if line.startswith("warning:")] == [
                    f"warning: mlflow: {uri}: cannot send numbers: [Errno 111] Connection refused; "
                    "training continues, and what is missing is sent when MLflow is back"
                ]
                assert "mlflow_sync" not in said
                assert_complete(mirrored(uri, tmp_path / "run"), tmp_path / "run")
        finally:
            fit.kill()
            fit.wait(timeout=300)


def has_points(run_dir: Path) -> bool:
    from plugins.mlflow.state import State

    state = State.read(run_dir)
    return state is not None and state.history.offset > 0
