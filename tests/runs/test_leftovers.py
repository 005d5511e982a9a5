"""Are leftovers of killed processes cleaned up, and does a run without a checkpoint say what to do? Real kills."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, SILENT, Done, run_command, run_script
from processes import process_class

from scripts.page.inbox import tidy
from trainer.errors import InkwellError
from trainer.export.exporting import drafting
from trainer.files import sweep
from trainer.runs.files import RunFiles

KILLER = """
import os, signal
from trainer import Every, Plugin, Run
from trainer.registry import plugins

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

@plugins.register("killer")
class Killer(Plugin):
    '''Kills the process after the first step, in the second epoch, or while a file is written after that.'''
    every = Every(steps=1)
    def __init__(self, when: str):
        self.when = when
    def on_step_end(self, run: Run) -> None:
        if self.when == "first":
            die()
    def on_validation_start(self, run: Run) -> None:
        if run.epoch == 2 and self.when == "second":
            die()
        if run.epoch == 2 and self.when == "writing":
            os.fsync = die  # the checkpoint of the first epoch has been written by now
"""
HALF = """
import os, signal, sys
from pathlib import Path
from trainer.files import write_atomic
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
write_atomic(Path(sys.argv[1]), "half")
"""


def fit(folder: Path, tiny: Path, *flags: str) -> Done:
    (folder / "killer.py").write_text(KILLER)
    quiet = (*SILENT, "--import", "killer", "--data", str(tiny), "--epochs", "2", "--batch-size", "32")
    return run_script(folder, "fit.py", *quiet, *flags)


def leave_half(path: Path) -> None:
    """Kill a process while it writes a file."""
    path.parent.mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-c", HALF, str(path)], timeout=300)
    assert done.returncode == -signal.SIGKILL


def left(folder: Path) -> list[str]:
    return sorted(path.name.partition("-")[2].partition("-")[2] for path in folder.rglob(".tmp-*"))


@pytest.mark.slow
def test_what_killed_processes_left_half_written_goes_when_the_run_is_resumed(tmp_path, tiny):
    killed = fit(tmp_path, tiny, "--run-dir", "run", "--plugin", "killer:when=writing")
    assert killed.returncode == -signal.SIGKILL
    run = tmp_path / "run"
    leave_half(run / "run.json")
    leave_half(run / "report" / "curves.csv")
    others = run / f".tmp-{os.getpid()}-mlflow.json"
    others.touch()  # a living process is writing this file
    assert len(left(run)) == 4
    done = fit(tmp_path, tiny, "--resume", "run", "--resume-anyway", "--no-plugin", "killer")
    assert done.returncode == 0, done.stderr
    assert list(run.rglob(".tmp-*")) == [others]


def test_only_what_nobody_writes_any_more_is_swept(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(timeout=300)
    kept = (f".tmp-{os.getppid()}-a", ".tmp-notes", ".tmp-x-a", "a", f"tmp-{gone.pid}-a")
    swept = (f".tmp-{gone.pid}-a", f".tmp-{gone.pid}-a\nb", f".tmp-{os.getpid()}-b", f".tmp-{os.getppid()}-old")
    for name in (*kept, *swept):
        (tmp_path / name).touch()
    os.utime(tmp_path / swept[-1], (0, 0))  # the process id belongs to another process by now
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    (tmp_path / f".tmp-{gone.pid}-link").symlink_to(outside)
    sweep(tmp_path)
    sweep(tmp_path / "nothing")
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "outside"}
    assert (outside / "file").exists()


def test_an_export_that_was_killed_goes_with_the_next_one_of_its_name(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(timeout=300)
    for name in ("exported", "other"):
        (tmp_path / f".tmp-{gone.pid}-{name}").mkdir()
        (tmp_path / f".tmp-{gone.pid}-{name}" / "model").touch()
    with drafting(tmp_path / "exported") as draft:
        (draft / "model").touch()
    assert {path.name for path in tmp_path.iterdir()} == {"exported", f".tmp-{gone.pid}-other"}


@pytest.mark.slow
def test_a_run_that_was_killed_before_its_first_checkpoint_says_how_to_start_again(tmp_path, tiny):
    assert fit(tmp_path, tiny, "--run-dir", "run", "--plugin", "killer:when=first").returncode == -signal.SIGKILL
    assert RunFiles(tmp_path / "run").status() == "no checkpoint"
    table = run_script(tmp_path, "runs.py", ".", "--format", "jsonl")
    assert json.loads(table.stdout)["status"] == "no checkpoint"
    resumed = fit(tmp_path, tiny, "--resume", "run", "--no-plugin", "killer", "--resume-anyway")
    said = "fit.py: error: cannot resume run run: it ended before its first checkpoint; start it again: "
    assert (resumed.returncode, resumed.stderr.partition(said)[0]) == (1, "")
    (line,) = resumed.stderr.splitlines()
    _, script, *arguments = shlex.split(line.removeprefix(said))
    assert (ROOT / script).is_file()
    anew = [sys.executable, str(ROOT / script), *arguments, "--import", "killer", "--no-plugin", "killer"]
    done = run_command(anew, tmp_path)
    assert done.returncode == 0, done.stderr


NO_FILES = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (0, 0))
"""Makes the system refuse every write, including those to the temporary folder."""


def test_without_a_folder_for_temporary_files_one_line_says_what_to_do(tmp_path, tiny):
    command = [sys.executable, str(ROOT / "scripts" / "fit.py"), "--dry-run", "--data", str(tiny)]
    done = run_command(command, tmp_path, before=NO_FILES)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("fit.py: error: cannot start TensorFlow: there is no folder for temporary files (tried: ")
    assert line.endswith("; set TMPDIR to a writable folder with enough space")


SCRATCH = "import trainer.files; trainer.files.scratch().__enter__()"


def test_a_temporary_folder_that_cannot_be_made_is_reported_with_what_to_do(tmp_path):
    command = [sys.executable, "-c", SCRATCH]
    done = subprocess.run(command, preexec_fn=NO_FILES, capture_output=True, text=True, timeout=300)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"trainer.errors.{InkwellError.__name__}: cannot create a temporary folder: No usable ")
    assert last.endswith("; set TMPDIR to a writable folder with enough space")


def test_a_missing_temporary_folder_does_no_harm(tmp_path, tiny):
    done = run_script(tmp_path, "fit.py", *SILENT, "--data", tiny, "--dry-run", env={"TMPDIR": "/nowhere"})
    assert done.returncode == 0, done.stderr


def test_a_picture_that_a_killed_page_left_half_written_goes_from_the_inbox(tmp_path):
    leave_half(tmp_path / "7" / "picture.png")
    (tmp_path / "7" / "kept.png").touch()
    assert left(tmp_path) == ["picture.png"]
    tidy(tmp_path)
    tidy(tmp_path / "nothing")
    assert [path.name for path in (tmp_path / "7").iterdir()] == ["kept.png"]


@pytest.mark.slow
def test_of_two_that_resume_at_once_one_trains_and_the_other_is_told(tmp_path, tiny):
    stopped = fit(tmp_path, tiny, "--run-dir", "stopped", "--plugin", "killer:when=second")
    assert stopped.returncode == -signal.SIGKILL
    script = [sys.executable, str(ROOT / "scripts" / "fit.py"), "--import", "killer", "--no-plugin", "killer"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    for number in range(10):
        run = Path(f"run{number}")
        shutil.copytree(tmp_path / "stopped", tmp_path / run)
        command = [*script, "--resume-anyway", "--resume", str(run)]
        both = [process_class()(command, cwd=tmp_path, **pipes) for _ in range(2)]
        said = {process.communicate(timeout=300)[1]: process.returncode for process in both}
        assert sorted(said.values()) == [0, 2], said
        (refused,) = [text for text, status in said.items() if status == 2]
        assert refused.startswith(f"fit.py: error: run {run} is still running as process ")
        steps = [line["step"] for line in RunFiles(tmp_path / run).history() if line["kind"] == "epoch"]
        assert steps == [6, 12]
