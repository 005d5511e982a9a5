"""Does a user at a terminal see what is happening, from the first moment to the last? Real terminals, real Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from processes import process_class
from terminal import Terminal

from trainer.console import stages, style
from trainer.console.line import width_of
from trainer.stage import Stage, in_progress

FIT = str(ROOT / "scripts" / "fit.py")
LONG = "this warning has many words and is longer than a terminal of eighty columns, where it wraps between two words"
GATES = f"""
import pathlib, time
from trainer import Plugin, Run
from trainer.registry import plugins

@plugins.register("gates")
class Gates(Plugin):
    def on_epoch_end(self, run: Run) -> None:
        if run.epoch == 1:
            run.warn({LONG!r})
            self.wait("epoch")
    def on_test_end(self, run: Run) -> None:
        self.wait("test")
    def wait(self, name: str) -> None:
        while not pathlib.Path(name).exists():
            time.sleep(0.02)
"""
SPINNERS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def fit(folder: Path, tiny: Path, columns: int, **environment: str) -> Terminal:
    """Begin a run of three epochs that waits for the file `epoch` in the first, and for `test` after its test."""
    (folder / "gates.py").write_text(GATES)
    (folder / "tiny.npz").symlink_to(tiny)
    quiet = ["--no-plugin", "mlflow", "--no-plugin", "report", "--augment", "none"]
    what = ["--data", "tiny.npz", "--model", "mlp", "--epochs", "3", "--run-dir", "run"]
    command = [sys.executable, FIT, "--import", "gates", "--plugin", "gates", *what, *quiet]
    return Terminal(command, folder, columns, process_class(), **environment)


@pytest.fixture(scope="module", params=[80, 120])
def screens(request, tiny, tmp_path_factory) -> Iterator[tuple[int, Terminal, list[str], list[str]]]:
    """The width of a terminal, a run that has ended in it, and what was on the screen in its midst and at the end."""
    folder = tmp_path_factory.mktemp("terminal")
    with fit(folder, tiny, request.param) as terminal:
        terminal.wait_for("run 33 %, epoch 1/3")
        midst = terminal.wait_for("plugin gates")
        (folder / "epoch").touch()
        terminal.wait_for("epoch 3/3  val_loss")
        terminal.wait_for("plugin gates")
        (folder / "test").touch()
        assert terminal.finish() == 0
        yield request.param, terminal, midst, terminal.lines


def test_the_line_says_how_far_the_run_is(screens):
    columns, terminal, _, _ = screens
    shown = {lines[-1] for lines in terminal.lines_seen if lines and "run 33 %, epoch 1/3" in lines[-1]}
    bar = re.compile(rf"[{SPINNERS}] run 33 %, epoch 1/3 ━{{20}}  \d:\d\d left.*")
    assert any(map(bar.fullmatch, shown)), shown
    assert all(width_of(line) < columns for line in shown)


def test_what_is_printed_is_above_the_line_and_whole(screens):
    columns, _, midst, _ = screens
    assert re.fullmatch(rf"[{SPINNERS}] plugin gates.*", midst[-1])
    assert f"warning: {LONG}" in " ".join(midst)  # broken between words, if at all
    assert all(f"warning: {LONG}" not in line for line in midst) == (columns == 80)


def test_a_narrow_terminal_shows_fewer_columns_of_an_epoch_and_each_in_its_place(screens):
    columns, _, _, end = screens
    epochs = [line for line in end if re.match(r"epoch \d/3", line)]
    assert [line[:9] for line in epochs] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    all_columns = ("val_loss", "val_accuracy", " loss", " accuracy", " s", "images/s")
    seen = [name for name in all_columns if name in epochs[0]]
    assert seen == (list(all_columns) if columns == 120 else ["val_loss", "val_accuracy", " s"])
    for name in seen:
        ends = {line.index(name) + len(name) for line in epochs}
        assert len(ends) == 1, epochs


def test_nothing_of_the_line_is_left_in_the_end(screens):
    *_, end = screens
    assert not [line for line in end if set(line) & set(SPINNERS) or "plugin gates" in line or "run 100 %" in line]
    assert any("test images (95 %: " in line for line in end)


def test_warnings_are_yellow_and_nothing_is_red(screens):
    _, terminal, _, _ = screens
    assert b"\x1b[33mwarning: " in terminal.received
    assert not re.search(rb"\x1b\[(1;)?31m|\x1b\[38;5;197m|\x1b\[38;2;249;38;114m", terminal.received)


def test_who_wants_no_colours_gets_none(tmp_path, tiny):
    (tmp_path / "epoch").touch()
    (tmp_path / "test").touch()
    with fit(tmp_path, tiny, 80, NO_COLOR="1") as terminal:
        assert terminal.finish() == 0
    assert b"\x1b[K" in terminal.received  # the line is there, without colours
    assert not re.search(rb"\x1b\[[\d;]*m", terminal.received)


# Ctrl-C


def test_ctrl_c_is_answered_at_once_and_the_run_is_saved(tmp_path, tiny):
    with fit(tmp_path, tiny, 80) as terminal:
        terminal.wait_for("plugin gates")
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for("stopping after this step and saving; press Ctrl-C again to quit now")  # while it still waits
        (tmp_path / "epoch").touch()
        assert terminal.finish() == 130
    last = " ".join(terminal.lines[-2:])
    assert "fit.py: stopped by Ctrl-C; step " in last
    assert last.endswith("is saved; resume with python scripts/fit.py --resume run")


def test_a_second_ctrl_c_quits_at_once(tmp_path, tiny):
    with fit(tmp_path, tiny, 80) as terminal:
        terminal.wait_for("plugin gates")
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for("press Ctrl-C again")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 130
    assert terminal.lines[-1] == "fit.py: stopped by Ctrl-C"
    assert "Traceback" not in " ".join(terminal.lines)


def test_the_first_moment_is_shown_and_ctrl_c_ends_it(tmp_path):
    with Terminal([sys.executable, FIT], tmp_path) as terminal:
        terminal.wait_for("starting")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 130
    assert terminal.lines == ["fit.py: stopped by Ctrl-C"]


WAITS = """
import sys, time
from trainer.console.cli import run_script
from trainer.stage import Stage
sys.argv = ["waits.py"]

def main():
    with Stage("waiting"):
        try:
            print("working", flush=True)  # the stage is drawn by a thread, perhaps before this block is entered
            time.sleep(300)
        except KeyboardInterrupt:
            while TIDY:  # whatever happens
                try:
                    time.sleep(300)
                except KeyboardInterrupt:
                    pass
            raise
    return 0

run_script(main)
"""


@pytest.mark.parametrize("tidy", [False, True])
def test_ctrl_c_ends_any_command_with_a_line(tmp_path, tidy):
    with Terminal([sys.executable, "-c", WAITS.replace("TIDY", str(tidy))], tmp_path) as terminal:
        terminal.wait_for("working")
        terminal.wait_for("waiting")
        terminal.process.send_signal(signal.SIGINT)
        if tidy:  # it takes its time: told at once, and the second time it ends at once
            terminal.wait_for("stopping; press Ctrl-C again to quit now")
            terminal.process.send_signal(signal.SIGINT)
        assert terminal.finish() == 130
    assert terminal.lines == ["working", "waits.py: stopped by Ctrl-C"]


# The line itself

CHATTERING = """
import sys, threading
from trainer.console import output, stages
from trainer.stage import Stage
output.guard_streams()
stages.show()

def talk(name):
    for number in range(100):
        output.say(f"{name} {number}")
        print(f"{name}", "printed", number)

with Stage("working"):
    stages._watch.look()
    threads = [threading.Thread(target=talk, args=(name,)) for name in "abc"]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    stages._watch.look()
stages.hide()
"""


def test_many_who_print_at_the_same_time_do_not_tear_the_line(tmp_path):
    with Terminal([sys.executable, "-c", CHATTERING], tmp_path) as terminal:
        assert terminal.finish() == 0
    printed = re.sub(rb"\r\x1b\[K[^\r\n]*(?=\r\x1b\[K)|\r\x1b\[K", b"", terminal.received).decode()
    assert "working" not in printed
    words = [f"{name} {number}" for name in "abc" for number in range(100)]
    assert [word for word in words if f"{word}\r\n" not in printed] == []


def test_the_innermost_stage_is_shown_once_it_has_lasted():
    with Stage("outer") as outer, Stage("inner") as inner:
        assert stages.current(in_progress()) is outer
        inner.started -= stages.NESTED_SECONDS
        assert stages.current(in_progress()) is inner
    assert stages.current(in_progress()) is None


@pytest.mark.parametrize(
    ("stage", "done", "seconds", "said"),
    [
        (Stage("x"), 0, 1, []),
        (Stage("x"), 0, 12, ["12 s"]),
        (Stage("x"), 0, 72, ["1:12"]),
        (Stage("x", 10_000, "images"), 3_000, 0, ["3,000 of 10,000 images"]),
        (Stage("x", 11_600_000, "bytes"), 2_900_000, 10, ["2.9 MB of 11.6 MB", "0:30 left"]),
    ],
)
def test_a_stage_says_how_far_it_is(stage, done, seconds, said):
    stage.started, stage.done = time.monotonic() - seconds, done
    assert stages.details(stage) == said


def test_a_log_file_gets_a_line_for_a_stage_that_lasts(capsys, monkeypatch):
    display = stages.Plain()
    with Stage("short"):
        display.look()
    with Stage("long", 1_000, "images") as stage:
        stage.started -= stages.PLAIN_SECONDS
        stage.done = 250
        display.look()
        display.look()
        monkeypatch.setattr(stages, "PLAIN_SECONDS", 0)
        stage.done = 500
        display.look()
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("long  250 of 1,000 images")
    assert second.startswith("long  500 of 1,000 images")


@pytest.mark.parametrize("mode", ["plain", "none"])
def test_no_escape_sequence_reaches_a_pipe(tmp_path, mode):
    code = f"import time; from trainer.console import stages; from trainer.stage import Stage; stages.show({mode!r})"
    code += "; stages.PLAIN_SECONDS = 0\nwith Stage('working'): time.sleep(0.5)\nstages.hide()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "working\n" if mode == "plain" else "")


# Style


def test_a_link_cannot_be_ended_by_its_target(tmp_path):
    code = "from trainer.console.style import link; print(link('report', 'file:///a b\\x1b\\\\c'))"
    with Terminal([sys.executable, "-c", code], tmp_path) as terminal:
        terminal.finish()
    assert b"\x1b]8;;file:///a%20b%1B%5Cc\x1b\\report\x1b]8;;\x1b\\" in terminal.received


def test_text_for_a_pipe_is_plain(capsys):
    for styled in (style.bold, style.dim, style.warning, style.error, style.good):
        assert styled("text") == "text"
    assert style.link("text", "https://example.org") == "text"


def test_the_label_of_an_error_is_red_in_a_terminal(tmp_path):
    with Terminal([sys.executable, str(ROOT / "scripts" / "runs.py"), "--limit", "0"], tmp_path) as terminal:
        assert terminal.finish() == 2
    assert b"runs.py: \x1b[1;31merror:\x1b[0m argument --limit: must be at least 1" in terminal.received
    assert terminal.lines == ["runs.py: error: argument --limit: must be at least 1, not 0 (see --help)"]
