"""Does runs.py list the runs correctly and in order, and report damaged ones?"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, SILENT, Done, run_script

from trainer.checkpoint import LAYOUT
from trainer.runs.lock import RunLock
from trainer.runs.process import this_process

CONFIG = '[model]\nname = "{model}"\n[model.args]\n[data]\nname = "{data}"\n[training]\nseed = {seed}\n'


def write_run(
    root: Path, name: str, status: str, model: str = "lenet", test: float | None = None, seed: int = 0, **fields: Any
) -> Path:
    """Write the parts of a run directory that matter here; the day it started is its seed."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG.format(model=model, data="mnist5k", seed=seed))
    known = {"layout": LAYOUT, "started": f"2026-11-{seed + 1:02d}T10:00:00+0000", **this_process(), "status": status}
    (folder / "run.json").write_text(json.dumps({**known, "stop_reason": "", **fields}))
    line = {"kind": "epoch", "epoch": 1, "step": 32, "time": 1.0, "val_accuracy": 0.5}
    (folder / "history.jsonl").write_text(f'{json.dumps(line)}\n{{"kind": "batch", "st')
    if test is not None:
        result: dict[str, Any] = {"model": model, "data": {"name": "mnist5k"}, "train_seconds": 75.2}
        result["best"] = {"val_accuracy": test + 0.01}
        result["test"] = {"accuracy": test, "ece": 1 - test, "confusion": [[1]]}
        result["run_dir"] = str(folder)
        (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which `runs` contains all kinds of runs."""
    folder = tmp_path_factory.mktemp("overview")
    root = folder / "runs"
    write_run(root, "good", "done", test=0.98, seed=1)
    write_run(root, "better", "done", "mlp", test=0.99, seed=2)
    write_run(root, "stopped", "interrupted", seed=3)
    going = write_run(root, "going", "running", seed=4)
    gone = write_run(root, "gone", "running", seed=5)
    (gone / "checkpoints" / "epoch=0001-step=0000032").mkdir(parents=True)
    write_run(root, "far", "running", seed=6, host="another")
    write_run(root, "young", "running", seed=7)
    (root / "mlartifacts").mkdir()
    with RunLock(going):
        yield folder


def runs(folder: Path, *arguments: str | Path, **env: str) -> Done:
    done = run_script(folder, "runs.py", *arguments, env=env)
    assert "Traceback" not in done.stderr
    return done


def names(done: Done) -> list[str]:
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split()[0] for line in done.stdout.splitlines()[1:]]


def test_every_run_is_a_line_with_its_numbers_and_how_it_stands(folder):
    done = runs(folder)
    assert names(done) == ["young", "far", "gone", "going", "stopped", "better", "good"]  # the newest first
    rows = {line.split()[0]: re.split(r"\s{2,}", line) for line in done.stdout.splitlines()}
    assert rows["name"] == ["name", "model", "data", "test", "val", "time", "status", "started"]
    assert rows["good"] == ["good", "lenet", "mnist5k", "98.00 %", "99.00 %", "1:15", "done", "2026-11-02 10:00"]
    assert rows["stopped"][3:7] == ["-", "50.00 %", "-", "interrupted"]
    standings = ["running", "killed", "elsewhere", "no checkpoint"]
    assert [rows[name][6] for name in ("going", "gone", "far", "young")] == standings


def test_sorted_filtered_and_limited(folder):
    assert names(runs(folder, "--sort", "test_accuracy", "--limit", "2")) == ["better", "good"]
    assert names(runs(folder, "--sort", "test.ece", "--reverse", "--limit", "1")) == ["better"]
    assert names(runs(folder, "--sort", "name", "--filter", "name=go*")) == ["going", "gone", "good"]
    assert names(runs(folder, "--filter", "model=lenet", "--filter", "test_accuracy>0.9")) == ["good"]
    assert names(runs(folder, "--filter", "training.seed<=2", "--filter", "status!=killed")) == ["better", "good"]


def test_programs_can_read_it(folder):
    lines = [json.loads(line) for line in runs(folder, "--format", "jsonl").stdout.splitlines()]
    assert {line["name"]: line["test_accuracy"] for line in lines}["better"] == 0.99
    assert Path(lines[-1]["path"]) == Path("runs/good")
    rows = list(csv.DictReader(runs(folder, "--format", "csv").stdout.splitlines()))
    assert [row["status"] for row in rows][-2:] == ["done", "done"]
    assert rows[0]["test_accuracy"] == ""


def test_two_runs_side_by_side(folder):
    lines = [re.split(r"\s{2,}", line) for line in runs(folder, "--compare", "good", "better").stdout.splitlines()]
    assert lines[0] == ["key", "good", "better"]
    assert ["config: model.name", "lenet", "mlp"] in lines
    assert ["result: test.accuracy", "0.98", "0.99"] in lines
    assert not [line for line in lines if "run_dir" in line[0] or "confusion" in line[0]]
    done = runs(folder, "--compare", "good", folder / "runs" / "good")
    assert (done.returncode, done.stdout) == (0, "")
    assert "have the same configuration and result" in done.stderr


@pytest.mark.parametrize("columns", [80, 160])
def test_the_table_fits_a_terminal(folder, columns):
    long = write_run(folder / str(columns), "simple_cnn-20261122-175657.987", "done", "simple_cnn", test=0.98)
    done = runs(folder, long.parent, FORCE_COLOR="1", COLUMNS=str(columns))
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in done.stdout.splitlines()]
    assert done.stdout != "\n".join(lines)
    assert max(map(len, lines)) <= columns
    assert len(lines) == 2  # nothing has wrapped
    assert long.name in lines[1]
    assert ("started" in lines[0]) == (columns == 160)


def test_what_is_damaged_or_no_run_is_skipped_with_a_line(tmp_path):
    write_run(tmp_path / "runs", "good", "done", test=0.9)
    for name, file in (("broken", "run.json"), ("torn", "result.json"), ("odd", "config.toml")):
        (write_run(tmp_path / "runs", name, "done", test=0.9) / file).write_text('{"status": ')
    (tmp_path / "runs" / "notes").mkdir()
    done = runs(tmp_path)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["name", "good"]
    complaints = done.stderr.splitlines()
    assert len(complaints) == 4
    for name in ("broken", "torn", "odd", "notes"):
        assert [line for line in complaints if f"runs/{name}" in line and line.startswith("runs.py: skipped: ")]


def test_nothing_to_show_is_one_line(folder, tmp_path):
    (tmp_path / "runs").mkdir()
    for done, status, text in (
        (runs(tmp_path), 0, "no runs in runs"),
        (runs(folder, "--filter", "model=none"), 0, "no matching runs in runs"),
        (runs(tmp_path, "elsewhere"), 2, "cannot read elsewhere: No such file or directory"),
        (runs(folder, "--sort", "tst_accuracy"), 2, "did you mean 'test_accuracy'?"),
        (runs(folder, "--filter", "training.sed=1"), 2, "did you mean 'training.seed'?"),
        (runs(folder, "--filter", "model"), 2, "expected KEY=VALUE"),
        (runs(folder, "--filter", "model>lenet"), 2, "> needs a number, not 'lenet'"),
        (runs(folder, "--compare", "good", "bad"), 2, "bad is not a run directory"),
        (runs(folder, "--limit", "0"), 2, "must be at least 1"),
    ):
        assert (done.returncode, done.stdout) == (status, ""), done.args
        assert text in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_neither_tensorflow_nor_mlflow_is_imported(folder):
    code = (
        "import atexit, runpy, sys; sys.argv = ['runs.py']\n"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'matplotlib', 'pandas'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules))))\n"
        f"runpy.run_path({str(ROOT / 'scripts' / 'runs.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=os.environ, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.slow
def test_a_run_as_the_engine_writes_it(tmp_path, tiny):
    done = run_script(tmp_path, "fit.py", "--data", tiny, "--model", "mlp", "--epochs", "1", *SILENT)
    assert done.returncode == 0, done.stderr
    (line,) = (json.loads(line) for line in runs(tmp_path, "--format", "jsonl").stdout.splitlines())
    result = json.loads((tmp_path / line["path"] / "result.json").read_text())
    assert line["test_accuracy"] == result["test"]["accuracy"]
    assert line["val_accuracy"] == result["best"]["val_accuracy"]
    assert (line["model"], line["data"], line["status"]) == ("mlp", result["data"]["name"], "done")
