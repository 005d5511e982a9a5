"""Do all readers of a run directory get the same answer, and one plain line if it is damaged or of another layout?"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from trainer.checkpoint import LAYOUT, MANIFEST, STATE, SUMS
from trainer.checkpoint.reading import sums_of
from trainer.errors import CheckpointError, InkwellError, LayoutError, UsageError
from trainer.run import Run
from trainer.runs.directory import claim
from trainer.runs.files import RunFiles
from trainer.runs.find import find_checkpoint, find_run
from trainer.runs.lock import RunLock, is_held
from trainer.runs.process import this_process
from trainer.runs.recorder import Recorder
from trainer.runs.table import find_runs


def write_run(folder: Path, **record: Any) -> Path:
    """Write a run directory of this version, with changes to its `run.json`; `...` removes a key."""
    folder.mkdir(parents=True)
    known = {"layout": LAYOUT, "status": "done", **this_process(), **record}
    (folder / "run.json").write_text(json.dumps({k: v for k, v in known.items() if v is not ...}))
    (folder / "config.toml").write_text('[model]\nname = "mlp"\n')
    lines = ('{"step": 1, "time": 7, "val_accuracy": 0.5}', '{"step": 2, "time": 8}', '{"step": 3, "val_acc')
    (folder / "history.jsonl").write_text("\n".join(lines))
    return folder


def test_a_run_is_read_as_it_was_written(tmp_path):
    run = write_run(tmp_path / "run", id="7", data={"name": "mnist"}, mlflow={"seen": 3}, versions={"keras": "3"})
    (run / "result.json").write_text('{"test": {"accuracy": 0.5}}')
    files = RunFiles(run)
    assert (files.name, files.status(), files.config) == ("run", "done", {"model": {"name": "mlp"}})
    assert (files.run.id, files.run.data, files.run.notes) == ("7", {"name": "mnist"}, {"mlflow": {"seen": 3}})
    assert files.result == {"test": {"accuracy": 0.5}}
    with pytest.raises(InkwellError, match=r"result\.json is damaged: model is missing"):
        files.finished()  # a real run writes more
    first, second = {"step": 1, "time": 7, "val_accuracy": 0.5}, {"step": 2, "time": 8}
    assert files.history() == [first, second]  # the last line is incomplete
    assert (files.last("val_accuracy"), files.last("val_loss")) == (0.5, None)
    assert (files.checkpoint("best"), files.report, files.model_text) == (None, run / "report", "")


def test_there_is_one_answer_to_how_a_run_stands(tmp_path):
    runs = {
        "running": {"status": "running"},
        "killed": {"status": "running"},
        "no checkpoint": {"status": "running"},
        "elsewhere": {"status": "running", "host": "another"},
        "failed": {"status": "failed"},
        "interrupted": {"status": "interrupted"},
        "no result": {},
    }
    for status, record in runs.items():
        write_run(tmp_path / status, **record)
    (tmp_path / "killed" / "checkpoints" / "epoch=0001-step=0000001").mkdir(parents=True)
    with RunLock(tmp_path / "running"):
        assert {name: RunFiles(tmp_path / name).status() for name in runs} == {name: name for name in runs}
    with RunLock(write_run(tmp_path / "shared", status="running", host="another")):
        assert RunFiles(tmp_path / "shared").status() == "running"  # the disk shared by both machines supports locks


def test_the_id_of_a_dead_process_may_be_that_of_a_living_one_by_now(tmp_path):
    reused = write_run(tmp_path / "reused", status="running", pid=os.getppid())
    assert RunFiles(reused).status() == "no checkpoint"


def test_a_run_that_got_nowhere_is_not_claimed_and_one_that_is_done_is(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"it ended before its first checkpoint; start it again: .* --config '?.+'?$"
    ):
        claim(write_run(tmp_path / "no where", status="failed"))
    assert is_held(tmp_path / "no where") is False
    done = write_run(tmp_path / "done")
    (done / "result.json").write_text("{}")
    with claim(done):  # a run without the plugin checkpoint
        assert is_held(done) is True


def test_a_folder_of_a_run_that_was_killed_at_once_says_what_to_do(tmp_path):
    RunLock(tmp_path).release()
    with pytest.raises(
        UsageError, match=r"run\.json is missing; the run was killed while starting: .* start it again$"
    ):
        RunFiles(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[]", "a line is not a table"),
        ('{"time": 7}', "a line has the invalid step None"),
        ('{"step": true, "time": 7}', "a line has the invalid step True"),
        ('{"step": -1, "time": 7}', "a line has the invalid step -1"),
        ('{"step": 1, "time": "now"}', "a line has the invalid time 'now'"),
        ('{"step": 1, "time": 1e300}', "a line has the invalid time 1e+300"),
        ('{"step": 1, "time": 7, "epoch": 0.5}', "a line has the invalid epoch 0.5"),
        ('{"step": 1, "time": 7, "kind": []}', "a line has a kind that is not text"),
        ('{"step": 1, "time": 7, "kind": "epoch", "loss": "low"}', "a line has the loss 'low', which is not a number"),
        ('{"step": 1, "time": 7, "loss": NaN}', "a number is not finite"),
        ('{"step": 1, "time": 7, "loss": 1e999}', "a number is not finite"),
        ('{"step": 1, "time": 7, "loss": ' + "9" * 30 + "}", "an integer has more than 64 bits"),
        ('{"step": 1, "time": 7, "a": ' + "[" * 99 + "]" * 99 + "}", "it is nested more than 64 levels deep"),
        ('{"step": 1, "time": 7, "\\ud800": 1}', "surrogates not allowed"),
    ],
)
def test_a_line_that_no_run_writes_is_damage(tmp_path, line, said):
    run = write_run(tmp_path / "run")
    (run / "history.jsonl").write_text('{"step": 1, "time": 7, "kind": "recovery", "skip": [1]}\n')
    assert len(RunFiles(run).history()) == 1
    (run / "history.jsonl").write_text(line + "\n")
    with pytest.raises(InkwellError) as caught:
        RunFiles(run).history()
    assert str(caught.value).startswith(f"{run / 'history.jsonl'} is damaged: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "key", "value", "said"),
    [
        ("run.json", "pid", "7", "pid: must be a whole number"),
        ("run.json", "ended", 1e300, "ended: must be less than or equal to"),
        ("run.json", "started", "today", "started: must be a time such as 2026-01-31T12:00:00+0000"),
        ("run.json", "versions", {"keras": 3}, "versions.keras: must be text"),
        ("run.json", "data", {"class_names": "abc"}, "class_names: must be a list"),
        ("result.json", "epochs", -1, "epochs: must be greater than or equal to 0"),
        ("result.json", "test", {"accuracy": 2}, "test.accuracy: must be less than or equal to 1"),
        ("result.json", "test", {"confusion": [[1], [2]]}, "test.confusion: must have as many columns as rows"),
        ("result.json", "params", None, "params: must be a table"),
        ("result.json", "time", {"steps": "long"}, "time.steps: must be a number"),
    ],
)
def test_a_value_that_no_run_writes_is_damage(tmp_path, name, key, value, said):
    run = write_run(tmp_path / "run")
    (run / "result.json").write_text("{}")
    file = run / name
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(InkwellError) as caught:
        _ = RunFiles(run).result
    assert str(caught.value).startswith(f"{file} is damaged: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["nothing", "x" * 5000, "a\0b"], ids=lambda path: repr(path[:9]))
def test_a_path_that_is_not_a_run_directory_is_wrong_usage(path):
    with pytest.raises(UsageError, match=r"is not a run directory: run\.json is missing") as caught:
        RunFiles(Path(path))
    assert len(str(caught.value)) < 200


FORGED: tuple[dict[str, Any], ...] = (
    *({key: value} for key in ("id", "started", "status", "host", "command") for value in (None, 7, [], {})),
    *({"pid": value} for value in ("x", 1.5, [], {})),
    *({"versions": value} for value in (None, 7, "x", [], {"keras": 3})),
    *({"data": value} for value in (None, 7, "x", [])),
    {"ended": "x\ny"},
    {"status": "x\ny" * 999},
)


@pytest.mark.parametrize("record", FORGED, ids=repr)
def test_a_forged_run_json_is_damaged_in_one_line_that_names_it(tmp_path, record):
    run = write_run(tmp_path / "run", **record)
    with pytest.raises(InkwellError) as caught:
        RunFiles(run).status()
    said = str(caught.value)
    assert said.startswith(f"{run / 'run.json'} is damaged: ")
    assert "\n" not in said
    assert len(said) < 300 + len(str(run))


def read_all(run: Path) -> None:
    files = RunFiles(run)
    _ = files.result, files.history()


@pytest.mark.parametrize("content", [b"{", b"[]", b"7", b"\xff", b"[" * 10**5], ids=lambda content: repr(content[:9]))
@pytest.mark.parametrize("name", ["run.json", "result.json", "history.jsonl"])
def test_a_damaged_file_is_named(tmp_path, name, content):
    run = write_run(tmp_path / "run")
    (run / name).write_bytes(content + b"\n")
    with pytest.raises(InkwellError) as caught:
        read_all(run)
    assert str(run / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["result.json", "run.json"])
def test_a_file_without_end_is_not_read(tmp_path, name):
    run = write_run(tmp_path / "run")
    (run / name).unlink(missing_ok=True)
    with (run / name).open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InkwellError, match=r"is not a file of at most"):
        _ = RunFiles(run).result


# Runs of another layout

LAYOUTS = [(..., "it has layout 1, written by Inkwell 0.1.0; "), (LAYOUT + 1, f"it has layout {LAYOUT + 1}, ")]
layouts = pytest.mark.parametrize(("layout", "said"), LAYOUTS, ids=["older", "newer"])
COMMANDS: dict[str, tuple[str, ...]] = {
    "fit": ("--resume", "runs/old"),
    "evaluate": ("runs/old",),
    "predict": ("--run", "runs/old", "digit.png"),
    "export": ("--run", "runs/old", "--format", "keras", "exported"),
    "report": ("runs/old",),
    "draw": ("--run", "runs/old"),
    "ensemble": ("runs/old",),
    "mlflow_sync": ("runs/old",),
    "runs": ("--compare", "old", "old"),
}


def other(root: Path, layout: Any) -> Path:
    """Write a finished run of another layout."""
    run = write_run(root / "runs" / "old", layout=layout, versions={"inkwell-trainer": "0.1.0"})
    (run / "result.json").write_text("{}")
    return run


@layouts
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_run_of_another_layout_in_one_line(tmp_path, monkeypatch, command, layout, said):
    other(tmp_path, layout)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(sys, "argv", [f"{command}.py", *COMMANDS[command]])
    with pytest.raises(LayoutError) as caught:
        import_module(f"scripts.{command}").main()
    assert str(caught.value).startswith(f"cannot read runs/old: {said}")
    assert f"; this version reads layout {LAYOUT}; " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_a_folder_of_runs_shows_the_others_and_says_which_was_skipped(tmp_path):
    other(tmp_path, ...)
    write_run(tmp_path / "runs" / "new")
    rows, passed = find_runs(tmp_path / "runs")
    assert [row.path.name for row in rows] == ["new"]
    (line,) = passed
    assert line.startswith(f"skipped: cannot read {tmp_path / 'runs' / 'old'}: it has layout 1, ")


def test_a_run_of_another_layout_is_none_to_resume(tmp_path):
    old = other(tmp_path, ...)
    with pytest.raises(UsageError, match=f"cannot read {old}: it has layout 1"):
        find_run(tmp_path / "runs", {"model": {"name": "mlp"}})
    new = write_run(tmp_path / "runs" / "new")
    assert find_run(tmp_path / "runs", {"model": {"name": "mlp"}}) == new


def test_a_checkpoint_of_another_layout_is_not_set_aside_as_damaged(tmp_path):
    run = write_run(tmp_path / "run", status="interrupted")
    saved = run / "checkpoints" / "epoch=0001-step=0000001"
    saved.mkdir(parents=True)
    contents = {STATE: b"of another kind", MANIFEST: b'{"layout": 9}'}
    for name, content in {**contents, SUMS: sums_of(contents)}.items():
        (saved / name).write_bytes(content)
    (run / "checkpoints" / "last").write_text(saved.name)
    recorder = Recorder(Run(), run)
    with pytest.raises(LayoutError, match="it has layout 9"):
        recorder.newest()
    recorder.close()
    assert saved.is_dir()
    assert find_checkpoint(run) == saved
    (saved / MANIFEST).unlink()
    with pytest.raises(CheckpointError, match=r"manifest\.json is missing"):
        find_checkpoint(run)
