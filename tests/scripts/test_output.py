"""Does training end as usual, whatever happens to the readers of its output? Real pipes and terminals."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from conftest import ALONE, ROOT, make_images, run_command, small_net
from PIL import Image
from processes import process_class

from plugins.progress.plugin import Progress
from trainer import Plugin, Run
from trainer.checkpoint import STATE
from trainer.console import output

FULL = Path("/dev/full")
has_full_device = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
CLOCKS = ("seconds", "images_per_second", "time")


def fit(folder: Path, *arguments: str, **streams: Any) -> int:
    """Train in `folder`, with stdout and stderr as given; return the exit status."""
    flags = ["--model", "mlp", "--data", "tiny.npz", "--epochs", "6", "--augment", "none", *ALONE[:4], *arguments]
    command = [sys.executable, str(ROOT / "scripts" / "fit.py"), "--run-dir", "run", *flags]
    with process_class()(command, cwd=folder, **streams) as process:
        try:
            return process.wait(timeout=300)
        finally:
            process.kill()


def learnt(folder: Path) -> dict[str, Any]:
    """Return what a finished run has learnt: history and numbers without clocks, and the bytes of all weights."""
    run = folder / "run"
    lines = map(json.loads, (run / "history.jsonl").read_text().splitlines())
    last = run / "checkpoints" / (run / "checkpoints" / "last").read_text().strip() / STATE
    with np.load(last) as state:
        weights = {name: state[name].tobytes() for name in state.files}
    return {
        "status": json.loads((run / "run.json").read_text())["status"],
        "history": [{key: value for key, value in line.items() if key not in CLOCKS} for line in lines],
        "test": json.loads((run / "result.json").read_text())["test"],
        "weights": weights,
    }


@pytest.fixture(scope="module")
def undisturbed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose output is read to the end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.npz").symlink_to(tiny)
    assert fit(folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    return folder


@contextmanager
def head() -> Iterator[Mapping[str, int]]:
    """One pipe for both streams, whose reader leaves after the first bytes, as `2>&1 | head -1` does."""
    reader, writer = os.pipe()

    def leave() -> None:
        os.read(reader, 1)
        os.close(reader)

    thread = Thread(target=leave)
    thread.start()
    try:
        yield {"stdout": writer, "stderr": writer}
    finally:
        os.close(writer)
        thread.join(timeout=300)


@contextmanager
def full_disk() -> Iterator[Mapping[str, Any]]:
    with FULL.open("w") as file:
        yield {"stdout": file, "stderr": file}


@contextmanager
def closed_terminal() -> Iterator[Mapping[str, int]]:
    """A terminal whose window is closed once something was shown."""
    master, slave = pty.openpty()

    def close() -> None:
        os.read(master, 1)
        os.close(master)

    thread = Thread(target=close)
    thread.start()
    try:
        yield {"stdout": slave, "stderr": slave}
    finally:
        os.close(slave)
        thread.join(timeout=300)


@contextmanager
def stopped_reader() -> Iterator[Mapping[str, int]]:
    """A full pipe for stderr that nobody reads, like that of a pager waiting for a key."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"." * 4096)
    os.set_blocking(writer, True)
    try:
        yield {"stdout": subprocess.DEVNULL, "stderr": writer}
    finally:
        os.close(reader)
        os.close(writer)


READERS = [
    (head, "plain"),
    pytest.param(head, "rich", marks=pytest.mark.slow),
    pytest.param(full_disk, "rich", marks=has_full_device),
    pytest.param(closed_terminal, "rich", marks=pytest.mark.slow),
    pytest.param(stopped_reader, "rich", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("streams", "progress"), READERS, ids=lambda value: getattr(value, "__name__", value))
def test_a_run_learns_the_same_whoever_reads(undisturbed, tmp_path, streams, progress):
    (tmp_path / "tiny.npz").symlink_to(undisturbed / "tiny.npz")
    with streams() as given:
        status = fit(tmp_path, "--progress", progress, **given)
    assert status == 0
    assert learnt(tmp_path) == learnt(undisturbed)


@pytest.mark.slow
def test_a_run_learns_the_same_without_any_stream(undisturbed, tmp_path):
    (tmp_path / "tiny.npz").symlink_to(undisturbed / "tiny.npz")
    flags = [*ALONE[:4], "--model", "mlp", "--data", "tiny.npz", "--epochs", "6", "--augment", "none"]
    command = [sys.executable, str(ROOT / "scripts" / "fit.py"), "--run-dir", "run", *flags]
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    assert subprocess.run(shell, cwd=tmp_path, timeout=300).returncode == 0
    assert learnt(tmp_path) == learnt(undisturbed)


# Commands that only print


def commands(folder: Path) -> dict[str, list[str]]:
    Image.fromarray(make_images(1).images[0, :, :, 0]).save(folder / "picture.png")
    (folder / "spoilt.png").write_bytes(b"no picture")
    return {
        "runs": [".", "--format", "csv"],
        "predict": ["picture.png", "spoilt.png", "--run", "run"],
        "evaluate": ["run", "--out", "run/evaluated"],
    }


@pytest.mark.parametrize("name", ["runs", "predict", "evaluate"])
def test_a_command_whose_reader_has_gone_ends_without_a_word(undisturbed, name):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *commands(undisturbed)[name]]
    with process_class()(command, cwd=undisturbed, stdout=writer, stderr=subprocess.PIPE, text=True) as process:
        os.close(writer)
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (0, "")  # without reading pictures that nobody would hear about


@has_full_device
@pytest.mark.parametrize(("name", "last"), [("runs", []), ("predict", ["picture.png", "--run", "run"])])
def test_a_result_that_finds_no_room_is_a_failure(undisturbed, name, last):
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *(last or commands(undisturbed)[name])]
    with (
        FULL.open("w") as full,
        process_class()(command, cwd=undisturbed, stdout=full, stderr=subprocess.PIPE, text=True) as process,
    ):
        _, said = process.communicate(timeout=300)
    why = "cannot write to stdout: No space left on device; send the output elsewhere and run it again"
    assert (process.returncode, said) == (1, f"{name}.py: error: {why}\n")


# A separate process, without TensorFlow

GUARDED = """
import sys
from trainer.console import output
output.guard_streams()
"""


def in_shell(redirections: str, program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'exec "$@" {redirections}', "sh", sys.executable, "-X", "dev", "-c", GUARDED + program]
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=env, cwd=ROOT)


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path):
    program = f"""
with open({str(tmp_path / "weights")!r}, "w") as file:
    assert file.fileno() > 2
    print("to stdout"); print("to stderr", file=sys.stderr); output.say("said"); output.show("shown")
    import os
    os.write(2, b"from C++")
"""
    assert in_shell("<&- >&- 2>&-", program).returncode == 0
    assert (tmp_path / "weights").read_text() == ""


def test_what_a_terminal_cannot_show_is_escaped():
    done = in_shell("", 'output.say("é ✓ \\udcff \\x1b[2J"); output.show("\\x9b7m\\tö\\nü")', PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "\\xe9 \\u2713 \\xff \\x1b[2J\n")
    assert done.stdout == "\\x9b7m\\t\\xf6\n\\xfc\n"


@pytest.mark.parametrize("place", [pytest.param("/dev/full", marks=has_full_device), "&-"])
def test_the_interpreter_ends_without_a_complaint(place):
    # Without the guard it complains, and exits with status 120.
    done = in_shell(f">{place}", 'print("x")', PYTHONUNBUFFERED="")
    assert (done.returncode, done.stderr) == (0, "")


# From Python


class Broken(io.TextIOBase):
    """A stream that fails with a given error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


class Talker(Plugin):
    """Prints, and is not an observer."""

    def on_epoch_end(self, run: Run) -> None:
        print("epoch", run.epoch, flush=True)
        run.warn("this is printed too")


def test_a_trainer_in_python_is_as_safe(keras, images, monkeypatch):
    from trainer import Trainer

    class Refuses(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ValueError("I/O operation on closed file")

    gone, odd = Broken(OSError(errno.EPIPE, "Broken pipe")), Broken(RuntimeError("no kernel"))
    monkeypatch.setattr(sys, "stdout", gone)
    monkeypatch.setattr(sys, "stderr", odd)
    monkeypatch.setattr(logging.getLogger("trainer"), "handlers", [Refuses()])
    run = Trainer(small_net(keras), plugins=[Talker(), Progress("plain")]).fit(images, epochs=1)
    assert (run.status, run.epoch) == ("done", 1)
    assert (sys.stdout, sys.stderr) == (gone, odd)


def test_a_stream_that_recovers_is_written_to_again():
    class Once(io.StringIO):
        fails = True

        def write(self, text: str) -> int:
            if self.fails:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(text)

    stream = Once()
    guard: Callable[[str], bool] = output.GuardedStream(stream, None).put
    assert not guard("lost")
    stream.fails = False
    assert guard("kept")
    assert stream.getvalue() == "kept\n"


def test_a_log_record_that_does_not_fit_its_format_ends_nothing(tmp_path):
    (tmp_path / "mine.py").write_text("import logging\nlogging.getLogger('trainer').warning('%d', 'no number')\n")
    command = [sys.executable, str(ROOT / "scripts" / "fit.py"), "--list", "tasks", "--import", "mine"]
    done = run_command(command, tmp_path)
    assert (done.returncode, "classification" in done.stdout) == (0, True)
