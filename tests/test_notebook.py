"""Is a notebook a front door? Real kernels: progress in place, no chatter, errors of one line, a real interrupt."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import ROOT
from jupyter_client import BlockingKernelClient, KernelManager

from scripts.notebooks import FOLDER, execute

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LIMIT = 300
UNDER_PYTEST = "PYTEST_CURRENT_TEST"
"""A variable with which a kernel does not show what C++ code writes to stderr."""

PROGRESS = """
from plugins.progress.plugin import Progress
from trainer import Run
run = Run(name="<b>run", epochs=2, steps=20, steps_per_epoch=10, validation_steps=4, plan=[("model", "lenet")],
          read_metrics=lambda: {"loss": 0.5})
progress = Progress()
progress.on_fit_start(run)
for run.epoch in (1, 2):
    for _ in range(10):
        run.step += 1; run.seconds += 0.1
        progress.on_step_end(run)
    progress.on_validation_start(run)
    progress.on_validation_end(run)
    run.logs = {"val_loss": 0.4 / run.epoch, "loss": 0.5, "accuracy": 0.75, "seconds": 1.0}
    progress.on_epoch_end(run)
    run.history.append({"kind": "epoch", "epoch": run.epoch, "step": run.step, **run.logs})
run.status = "done"
progress.on_fit_end(run)
"""

FIT = """
from trainer import Trainer
import numpy as np
from conftest import make_images, small_net
import keras
trainer = Trainer(small_net(keras), run_dir="run")
images = make_images(200)
"""


class Cell:
    """A kernel's answer to a cell.

    Attributes:
        messages: What it sent for all to see, as pairs of kind and content.
        reply: How it ended.
    """

    def __init__(self, messages: list[tuple[str, dict[str, Any]]], reply: dict[str, Any]) -> None:
        self.messages, self.reply = messages, reply

    def contents(self, kind: str) -> list[dict[str, Any]]:
        return [content for each, content in self.messages if each == kind]

    @property
    def printed(self) -> str:
        return "".join(content["text"] for content in self.contents("stream"))


class Kernel:
    """A real kernel in a folder."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self.client = manager, client

    def run(self, code: str) -> Cell:
        """Run a cell to its end."""
        return self.result(self.client.execute(code))

    def result(self, cell: str) -> Cell:
        """Return what became of a cell that was sent, once it has ended."""
        messages = []
        for message in self.messages(cell):
            messages.append((message["msg_type"], message["content"]))
        while (reply := self.client.get_shell_msg(timeout=LIMIT))["parent_header"]["msg_id"] != cell:
            pass
        return Cell(messages, reply["content"])

    def messages(self, cell: str) -> Iterator[dict[str, Any]]:
        """Yield what is sent for all to see about a cell, until the kernel is idle again."""
        while True:
            message = self.client.get_iopub_msg(timeout=LIMIT)
            if message["parent_header"].get("msg_id") != cell:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return
            yield message


@contextmanager
def kernel_in(folder: Path) -> Iterator[Kernel]:
    manager = KernelManager(kernel_name="python3")
    env = {name: value for name, value in os.environ.items() if name != UNDER_PYTEST}
    manager.start_kernel(cwd=str(folder), env=env, extra_arguments=["--log-level=ERROR"])
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LIMIT)
        kernel = Kernel(manager, client)
        kernel.run(f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]")
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel for what needs no TensorFlow."""
    with kernel_in(tmp_path_factory.mktemp("kernel")) as kernel:
        yield kernel


def test_progress_is_updated_in_place_and_ends_as_something_that_a_saved_notebook_can_show(kernel):
    cell = kernel.run(PROGRESS)
    assert (cell.reply["status"], cell.printed) == ("ok", "")
    first, updates = cell.contents("display_data"), cell.contents("update_display_data")
    places = [content["transient"]["display_id"] for content in first]
    assert len(set(places)) == 2
    assert {content["transient"]["display_id"] for content in updates} == set(places)
    assert "compiling" in first[0]["data"]["text/html"]
    assert "lenet" in first[1]["data"]["text/html"]
    shown = [content["data"]["text/html"] for content in updates]
    assert any("50 %" in html and "epoch 1/2" in html and "0:01 left" in html for html in shown)
    status, table = (
        next(content["data"] for content in reversed(updates) if content["transient"]["display_id"] == place)
        for place in places
    )
    assert "done" in status["text/html"]
    assert "&lt;b&gt;run" in "".join(shown)
    assert "<b>" not in "".join(shown)
    assert re.findall(r"75\.00 %|0\.4000|0\.2000", table["text/html"]) == ["0.4000", "75.00 %", "0.2000", "75.00 %"]
    assert status["text/plain"].startswith("Run(")


def test_progress_none_is_silent_in_a_notebook_too(kernel):
    cell = kernel.run(PROGRESS.replace("Progress()", "Progress('none')"))
    assert [kind for kind, _ in cell.messages if "display" in kind or kind == "stream"] == []


def test_an_error_of_ours_is_one_line_and_that_of_a_plugin_has_its_traceback(kernel):
    cell = kernel.run(
        "from trainer.config.schema import Config\nfrom trainer.registry import models\nmodels.find('lenett')"
    )
    assert cell.reply["status"] == "error"
    assert len(cell.reply["traceback"]) == 1
    assert re.match(r"UsageError: unknown model 'lenett'; did you mean 'lenet'\?", cell.reply["traceback"][0])
    cell = kernel.run(
        "from trainer.errors import PluginError\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise PluginError('plugin x failed') from error"
    )
    assert "1 / 0" in "".join(cell.reply["traceback"])
    assert cell.reply["traceback"][-1] == "PluginError: plugin x failed"


@pytest.mark.slow
def test_an_interrupt_saves_the_run_and_the_cells_behind_it_do_not_run(tmp_path: Path):
    with kernel_in(tmp_path) as kernel:
        assert kernel.run(FIT).printed == ""  # TensorFlow and Keras are imported, and say nothing
        client = kernel.client
        training = client.execute("trainer.fit(images, epochs=100_000)")
        behind = client.execute("after = True")
        for message in kernel.messages(training):
            if message["msg_type"] == "update_display_data" and "left" in message["content"]["data"]["text/plain"]:
                break
        kernel.manager.interrupt_kernel()
        cell = kernel.result(training)
        assert (cell.reply["status"], cell.reply["ename"]) == ("error", "Interrupted")
        assert re.fullmatch(
            r"Interrupted: stopped by .*; step [\d,]+ is saved; Trainer\.resume continues from there",
            *cell.reply["traceback"],
        )
        assert cell.printed == ""
        last = cell.contents("update_display_data")[-1]["data"]["text/html"]
        assert "is saved" in last
        assert kernel.result(behind).reply["status"] == "aborted"
        step = kernel.run("print(trainer.run.step, trainer.run.status, 'after' in globals())").printed.split()
        assert step[1:] == ["interrupted", "False"]
        far = int(step[0]) + 5
        resumed = kernel.run(
            f"from trainer import Durations\nrun = trainer.resume(images, durations=Durations(steps={far}))"
        )
        assert resumed.reply["status"] == "ok", resumed.reply
        assert kernel.run("print(run.step, run.status)").printed == f"{far} done\n"


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_of_the_documentation_runs_without_an_error_or_a_word_on_stderr(path: Path, monkeypatch):
    monkeypatch.delenv(UNDER_PYTEST)
    outputs = outputs_of(execute(path))
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_of_the_documentation_is_stored_with_its_outputs(path: Path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 300_000
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    said = str(outputs_of(notebook))
    assert "stderr" not in said
    places = (tempfile.gettempdir(), str(Path.home()), str(ROOT))
    assert not [place for place in places if place != "/" and place in said]


def outputs_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
