"""Does a run survive a disk that is read-only, full, or fills up?"""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT, SILENT, Done, Script, files_no_longer_than

from trainer import Run, checkpoint
from trainer.checkpoint import Checkpoints
from trainer.errors import InkwellError
from trainer.result import Result
from trainer.runs.directory import RunDirectory
from trainer.runs.recorder import Recorder

EPOCHS = 24  # enough for history.jsonl to need a second page of the disk

SCENE = 'mount -t tmpfs -o "$1" tmpfs "$2" && eval "$4" && { "${@:5}"; status=$?; cp -a "$2/." "$3"; exit $status; }'
"""Mounts a small disk, prepares it, runs a command and copies what it left; the mount ends with the namespace."""

FILLER = """
import os

from trainer import Plugin
from trainer.registry import plugins

@plugins.register("filler")
class Filler(Plugin):
    "Fill the disk when the first checkpoint is on it, and free it before the last epoch if requested."

    def __init__(self, freed: bool = False):
        self.freed = freed

    def on_validation_start(self, run):
        if run.epoch == 2:
            with (run.directory.parent / "ballast").open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(4096)):
                        pass
                except OSError:
                    pass

    def on_epoch_start(self, run):
        if run.epoch == run.epochs and self.freed:
            (run.directory.parent / "ballast").unlink()
"""


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """Return a command that runs another with permission to mount; skips where nobody has that permission."""
    said = "no unshare"
    for command in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        probe = [*command, "mount", "-t", "tmpfs", "tmpfs", "/tmp"]
        try:
            done = subprocess.run(probe, capture_output=True, text=True, timeout=300)
        except FileNotFoundError:
            break
        if done.returncode == 0:
            return command
        said = done.stderr.strip()
    pytest.skip(f"mounting is not permitted: {said}")


@dataclass
class Disk:
    """A small separate disk for one run of `fit.py`."""

    folder: Path
    namespace: list[str]
    data: Path

    def fit(self, options: str, *arguments: str, prepare: str = "true") -> Done:
        """Run `fit.py` with the run directory `disk/run` on a tmpfs with these options; `left` gets what it leaves."""
        disk, left = self.folder / "disk", self.folder / "left"
        for folder in (self.folder, disk, left):
            folder.mkdir()
        (self.folder / "filler.py").write_text(FILLER)
        script = [sys.executable, str(ROOT / "scripts" / "fit.py"), "--data", str(self.data), *SILENT]
        command = [*script, "--run-dir", "disk/run", *arguments]
        return subprocess.run(
            [*self.namespace, "bash", "-c", SCENE, "scene", options, disk, left, prepare, *command],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
        )


@dataclass
class Scene:
    """The end of a run, and what it left on its disk."""

    done: Done
    left: Path

    @property
    def run(self) -> Path:
        return self.left / "run"

    @property
    def history(self) -> list[dict]:
        text = (self.run / "history.jsonl").read_text()
        assert text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]

    def said(self, word: str) -> list[str]:
        """Return the lines on stderr that contain a word."""
        return [line for line in self.done.stderr.splitlines() if word in line]


SCENES = {
    "full at the start": ("size=4k", "--epochs", "1", "--no-plugin", "checkpoint"),
    "too small": ("size=500k", "--epochs", "1"),
    "fills up": ("size=2m", "--epochs", str(EPOCHS), "--no-plugin", "early_stopping", "--import", "filler"),
}
RUNS = {
    "full at the start": SCENES["full at the start"],
    "too small": SCENES["too small"],
    "stays full": (*SCENES["fills up"], "--plugin", "filler"),
    "freed in time": (*SCENES["fills up"], "--plugin", "filler:freed=true"),
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, namespace: list[str], tiny: Path):
    """Every run of `RUNS`, two at a time."""
    root = tmp_path_factory.mktemp("scenes")
    with ThreadPoolExecutor(2) as pool:
        disks = {name: Disk(root / name.replace(" ", "-"), namespace, tiny) for name in RUNS}
        runs: dict[str, Future[Done]] = {name: pool.submit(disk.fit, *RUNS[name]) for name, disk in disks.items()}
    return {name: Scene(run.result(), disks[name].folder / "left") for name, run in runs.items()}


# Reported before TensorFlow is loaded


def refusal(done: Done, status: int) -> str:
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1), done.stderr
    return done.stderr.strip().removeprefix("fit.py: error: ")


def test_a_run_directory_under_a_file_is_refused(script: Script, tmp_path: Path, tiny: Path):
    (tmp_path / "taken").write_text("mine")
    assert refusal(script("fit.py", "--data", tiny, "--run-dir", "taken/run"), 2) == (
        f"cannot create run directory taken/run: {tmp_path / 'taken'} is not a folder; choose another with --run-dir"
    )
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_a_run_directory_that_exists_is_refused_and_untouched(script: Script, tmp_path: Path, tiny: Path, kind):
    run = tmp_path / "run"
    if kind == "folder":
        run.mkdir()
    elif kind == "file":
        run.write_text("mine")
    else:
        run.symlink_to("nowhere")
    before = run.lstat()
    said = refusal(script("fit.py", "--data", tiny, "--run-dir", "run"), 2)
    assert said == "cannot create run directory run: it already exists; choose another with --run-dir"
    assert run.lstat().st_mtime_ns == before.st_mtime_ns
    assert list(tmp_path.iterdir()) == [run]


def test_a_run_directory_on_a_read_only_disk_is_refused(tmp_path: Path, namespace: list[str], tiny: Path):
    disk = Disk(tmp_path / "scene", namespace, tiny)
    done = disk.fit("size=1m", prepare='mount -o remount,ro "$2"')
    where = tmp_path / "scene" / "disk"
    assert refusal(done, 1) == (
        f"cannot create run directory disk/run: {where} is not writable; choose another with --run-dir"
    )


# A disk that is full or fills up


@pytest.mark.slow
def test_no_disk_fault_ends_in_a_traceback(scenes):
    for scene in scenes.values():
        assert "Traceback" not in scene.done.stderr


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_start_is_an_error_and_nothing_is_left(scenes):
    scene = scenes["full at the start"]
    assert (scene.done.returncode, scene.done.stdout) == (1, "")
    assert scene.done.stderr.splitlines()[-1].endswith("disk/run: No space left on device")
    assert list(scene.left.iterdir()) == []


@pytest.mark.slow
def test_a_disk_too_small_for_the_checkpoints_is_reported_before_step_0(scenes):
    scene = scenes["too small"]
    assert (scene.done.returncode, scene.done.stdout) == (1, "")
    assert re.search(
        r"error: cannot train: checkpoints need \d+\.\d kB \(\d+\.\d kB each, at most 4 at a time\), "
        r"but .*disk has only \d+\.\d kB free; free some space or choose another folder$",
        scene.done.stderr.strip(),
    )
    assert list(scene.left.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stays full", "freed in time"])
def test_a_disk_that_fills_up_costs_one_warning_for_each_kind_of_file(scenes, name):
    warned = scenes[name].said("warning: ")
    assert all("training continues" in line for line in warned[:2])
    kinds = [line.removeprefix("warning: ").removeprefix("cannot write ").split()[0] for line in warned]
    assert kinds[:2] == ["checkpoint", "history.jsonl"]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.slow
def test_a_run_on_a_disk_that_stays_full_fails_without_a_result(scenes):
    scene = scenes["stays full"]
    assert (scene.done.returncode, scene.done.stdout) == (1, "")
    last = f"epoch={EPOCHS:04d}-step={2 * EPOCHS:07d}"
    assert scene.done.stderr.splitlines()[-1].startswith(
        f"fit.py: error: cannot write the last checkpoint ({last}) to "
    )
    assert not (scene.run / "result.json").exists()


@pytest.mark.slow
def test_what_was_written_before_the_disk_was_full_is_whole(scenes):
    scene = scenes["stays full"]
    lines = scene.history
    assert 1 < len(lines) < EPOCHS
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    saved = Checkpoints(scene.run / "checkpoints")
    for role in ("best", "last"):
        path = saved.role(role)
        assert path is not None
        assert checkpoint.read(path).manifest["epoch"] == 1
    assert json.loads((scene.run / "run.json").read_text())["status"] in ("running", "failed")
    assert not list(scene.run.rglob(".tmp-*"))


@pytest.mark.slow
def test_a_run_whose_disk_is_freed_in_time_is_done_and_complete(scenes):
    scene = scenes["freed in time"]
    assert scene.done.returncode == 0, scene.done.stderr
    assert [line["epoch"] for line in scene.history] == list(range(1, EPOCHS + 1))
    result = json.loads((scene.run / "result.json").read_text())
    assert (result["epochs"], result["data"]["test"]) == (EPOCHS, 40)
    last = Checkpoints(scene.run / "checkpoints").role("last")
    assert last is not None
    assert checkpoint.read(last).manifest["epoch"] == EPOCHS
    assert json.loads((scene.run / "run.json").read_text())["status"] == "done"
    assert not list(scene.run.rglob(".tmp-*"))


# The same without a mount, in this process


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    recorder = Recorder(Run(), tmp_path / "run")
    recorder.open()
    recorder.start("text = 1\n")
    return recorder


@pytest.mark.parametrize("room", [0, 1, 10, 30])
def test_a_line_that_fits_in_part_is_held_back_and_written_whole_later(recorder: Recorder, tmp_path: Path, room):
    history = tmp_path / "run" / "history.jsonl"
    recorder.history("epoch", {"loss": 1.0})
    first = history.read_text()
    with files_no_longer_than(len(first) + room):
        recorder.history("epoch", {"loss": 0.5})
        assert history.read_text() == first
        recorder.history("epoch", {"loss": 0.25})
        assert history.read_text() == first
    recorder.history("epoch", {"loss": 0.125})
    assert [json.loads(line)["loss"] for line in history.read_text().splitlines()] == [1.0, 0.5, 0.25, 0.125]
    assert [line["loss"] for line in recorder.run.history] == [1.0, 0.5, 0.25, 0.125]


def test_a_result_that_cannot_be_written_is_an_error_and_leaves_no_result(recorder: Recorder, tmp_path: Path):
    recorder.run.result = Result({"model": "lenet"})
    with files_no_longer_than(10), pytest.raises(InkwellError, match=r"^cannot write the result to .*File too la"):
        recorder.finish()
    assert not [path for path in (tmp_path / "run").iterdir() if "result" in path.name]


def test_history_that_was_held_back_is_written_at_the_end(recorder: Recorder, tmp_path: Path):
    with files_no_longer_than(0):
        recorder.history("epoch", {"loss": 1.0})
        with pytest.raises(InkwellError, match=r"^cannot write the result to "):
            recorder.finish()
    assert not (tmp_path / "run" / "result.json").exists()
    recorder.finish()
    assert json.loads((tmp_path / "run" / "history.jsonl").read_text())["loss"] == 1.0


def test_a_run_directory_that_cannot_be_written_is_removed_again(tmp_path: Path):
    directory, lock = RunDirectory.create(tmp_path / "runs" / "run")
    with (
        lock,
        files_no_longer_than(20),
        pytest.raises(InkwellError, match=r"cannot write run directory .*: File too large$"),
    ):
        directory.start(Run(name="run"), "text = 1\n")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_directory_that_appeared_meanwhile_is_not_taken(tmp_path: Path):
    RunDirectory.create(tmp_path / "run")[1].release()
    with pytest.raises(InkwellError, match=r"run: it already exists; choose another with --run-dir$"):
        RunDirectory.create(tmp_path / "run")


def test_the_limit_of_these_tests_is_a_limit(tmp_path: Path):
    with files_no_longer_than(3), (tmp_path / "f").open("wb", buffering=0) as file:
        assert file.write(b"12345") == 3
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            file.write(b"45")
