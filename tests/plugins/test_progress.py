"""Is progress readable, in a terminal and in a log file?"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time

import pytest

from plugins.progress.lines import epoch_line, time_left
from plugins.progress.plugin import Progress
from trainer import Run

SHOW = """
import time
from plugins.progress.plugin import Progress
from trainer import Run
run = Run(epochs=2, steps=20, steps_per_epoch=10, validation_steps=4, read_metrics=lambda: {"loss": 0.5})
progress = Progress(MODE)
progress.on_fit_start(run)
for epoch in (1, 2):
    run.epoch = epoch
    for _ in range(10):
        run.step += 1; run.seconds += 0.1
        progress.on_step_end(run)
    progress.on_validation_start(run)
    for run.validation_step in (1, 2, 3, 4):
        progress.on_validation_step(run); time.sleep(0.2)
    progress.on_validation_end(run)
    run.logs = {"val_loss": 0.4, "loss": 0.5, "seconds": 1.0, "images_per_second": 1234.5}
    progress.on_epoch_end(run)
progress.on_fit_end(run)
"""


def show(mode: str, stderr=subprocess.PIPE, **environment: str) -> str:
    code = SHOW.replace("MODE", repr(mode))
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "FORCE_COLOR", "NO_COLOR")}
    env |= {"TERM": "xterm-256color", "COLUMNS": "120", **environment}
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stderr, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    return done.stderr.decode() if done.stderr else ""


def show_in_terminal(mode: str, **environment: str) -> str:
    """Return what a terminal of 120 columns receives."""
    master, slave = pty.openpty()
    try:
        show(mode, stderr=slave, **environment)
    finally:
        os.close(slave)
    received = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other end is closed and everything was read
            break
        received += chunk
    os.close(master)
    return received.decode()


EPOCHS = [
    "epoch 1/2  val_loss 0.4000  loss 0.5000   1.0 s   1,234 images/s  0:01 left",
    "epoch 2/2  val_loss 0.4000  loss 0.5000   1.0 s   1,234 images/s",
]


def test_a_log_file_gets_one_plain_line_an_epoch():
    assert show("auto").splitlines() == EPOCHS


def test_a_terminal_gets_a_bar_that_says_how_far_validations_are_and_keeps_the_epoch_lines():
    text = show_in_terminal("auto")
    assert "run 50 %, epoch 1/2" in text
    assert "validating 2 of 4" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    for line in EPOCHS:
        assert line in plain


def test_ci_and_dumb_terminals_get_plain_lines():
    for environment in ({"CI": "true"}, {"TERM": "dumb"}):
        assert show_in_terminal("auto", **environment).splitlines() == EPOCHS


def test_none_is_silent():
    assert show("none") == ""


def test_a_long_epoch_says_something_every_half_minute(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    run = Run(epochs=1, steps=1000, read_metrics=lambda: {"loss": 0.5}, epoch=1)
    progress = Progress("plain")
    progress.on_fit_start(run)
    for now, step in ((10.0, 100), (31.0, 310), (40.0, 400), (62.0, 620)):
        run.step, run.seconds = step, now
        progress.on_step_end(run)
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/1  step 310/1000  loss 0.5000  1:09 left",
        "epoch 1/1  step 620/1000  loss 0.5000  0:38 left",
    ]


@pytest.mark.parametrize(
    ("columns", "kept"),
    [
        (None, "epoch 1/2  val_loss 0.4000  val_accuracy  97.20 %  loss 0.5000   1.0 s   1,234 images/s  0:01 left"),
        (94, "epoch 1/2  val_loss 0.4000  val_accuracy  97.20 %   1.0 s   1,234 images/s  0:01 left"),
        (80, "epoch 1/2  val_loss 0.4000  val_accuracy  97.20 %   1.0 s  0:01 left"),
        (40, "epoch 1/2  val_accuracy  97.20 %"),
        (10, "epoch 1/2"),
    ],
)
def test_what_does_not_fit_is_left_out_the_least_important_first(monkeypatch, columns, kept):
    monkeypatch.setattr("plugins.progress.lines.columns_of", lambda stream: columns)
    logs = {"val_loss": 0.4, "val_accuracy": 0.972, "loss": 0.5, "seconds": 1.0, "images_per_second": 1234.5}
    assert epoch_line(Run(epoch=1, epochs=2, step=10, steps=20, seconds=1.0, logs=logs)) == kept


def test_time_left_grows_with_what_is_to_do():
    assert time_left(Run(steps=100)) == "-:--"
    assert time_left(Run(step=10, steps=100, seconds=10.0)) == "1:30"
    assert time_left(Run(step=10, steps=10_000, seconds=10.0)) == "2:46:30"


def test_the_plan_is_a_line_per_row_and_names_in_it_are_harmless(capsys):
    progress = Progress("plain")
    progress.on_fit_start(Run(plan=[("model", "lenet"), ("data", "[red]x\x1b[2J\ny")]))
    assert capsys.readouterr().err.splitlines() == ["model  lenet", "data   [red]x\\x1b[2J\\ny"]
