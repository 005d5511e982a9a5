"""Does the benchmark run, and does it compare like with like?"""

from __future__ import annotations

import json
import math
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Script

OURS = ["Inkwell", "Inkwell, kernels keras", "Inkwell, light augmentation", "bare tf.function loop"]
KERAS = [*OURS, "Model.fit as written", "Model.fit as written, oneDNN off", "Model.fit tuned"]
TORCH = ["PyTorch loop", "PyTorch Lightning"]
HAVE_TORCH = all(util.find_spec(name) is not None for name in ("torch", "lightning"))


def measured(script: Script, path: Path, *flags: str) -> tuple[str, dict[str, Any]]:
    """Run a benchmark with minimal work; return its table and its numbers."""
    done = script("bench.py", *flags, "--quick", "--data", "mnist5k", "--json", path, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text())
    assert found["machine"]["versions"]["tensorflow"]
    (benchmark,) = found["benchmarks"].values()
    return done.stdout, benchmark


def assert_positive(found: dict[str, Any]) -> None:
    assert all(math.isfinite(value) and value > 0 for value in found["values"])
    assert 0 < found["min"] <= found["median"] <= found["max"]


@pytest.mark.slow
def test_speed_measures_every_contender_on_the_same_network(script: Script, tmp_path):
    chart = tmp_path / "speed.png"
    table, found = measured(script, tmp_path / "speed.json", "speed", "--png", str(chart))
    assert [row["name"] for row in found["rows"]] == KERAS + (TORCH if HAVE_TORCH else [])
    for row in found["rows"]:
        assert row["name"] in table
        assert row["params"] == found["params"] == 61_706
        assert_positive(row["ms"])
        assert 0 < row["share_of_peak"] < 1
        assert row["losses"] == pytest.approx(found["rows"][0]["losses"], rel=1e-3)
    if not HAVE_TORCH:
        assert '(python -m pip install -e ".[bench]")' in table
    assert chart.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_resume_measures_a_young_and_an_old_run(script: Script, tmp_path):
    table, found = measured(script, tmp_path / "resume.json", "resume")
    assert [row["name"] for row in found["rows"]] == ["4", "400"]
    assert "400 steps" in table
    assert found["history"] == 400 // 32
    assert math.isfinite(found["ratio"])
    for row in found["rows"]:
        assert_positive(row["s"])


@pytest.mark.slow
def test_save_measures_pauses_and_what_a_run_loses(script: Script, tmp_path):
    table, found = measured(script, tmp_path / "save.json", "save")
    pause, cost = found["rows"]
    assert "pause in training" in table
    assert_positive(pause["ms"])
    assert len(pause["ms"]["values"]) == found["saves"] > 0
    assert math.isfinite(cost["ms"]["median"])
    assert math.isfinite(found["share_at_one_a_minute"])


@pytest.mark.slow
def test_tracking_measures_epochs_with_and_without_the_mirror(script: Script, tmp_path):
    table, found = measured(script, tmp_path / "tracking.json", "tracking")
    assert "longer training" in table
    assert all(map(math.isfinite, found["cost"]["values"]))
    assert 0 <= max(found["worker"]["values"]) < 1
    for epoch in ("without", "with"):
        assert_positive(found["seconds"][epoch])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["sped"], "unknown benchmark 'sped'; did you mean 'speed'? (known: speed, overhead,"),
        (["--only", "inkwel", "--data", "mnist5k"], "unknown contender 'inkwel'; did you mean 'inkwell'?"),
        (["--rounds", "0"], "argument --rounds: must be at least 1, not 0"),
        (["save", "--png", "speed.png"], "--png needs the benchmark 'speed'; add it, or remove the flag"),
        (["--json", "nowhere/speed.json"], "cannot write nowhere/speed.json: "),
        (["--round", "1"], "unknown argument '--round'; did you mean '--rounds'?"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_and_measures_nothing(script: Script, flags, message):
    done = script("bench.py", *flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_contenders_of_missing_packages_are_left_out_with_the_command_to_install_them(monkeypatch):
    speed, options = import_module("scripts.benchmarks.speed"), import_module("scripts.benchmarks.options").Options()
    monkeypatch.setattr(speed, "find_spec", lambda name: None)
    chosen, skipped = speed.choose(options)
    assert list(chosen) == KERAS
    assert skipped == [
        'PyTorch loop is left out: torch is not installed (python -m pip install -e ".[bench]")',
        'PyTorch Lightning is left out: lightning is not installed (python -m pip install -e ".[bench]")',
    ]


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ({"params": 11, "losses": [2.0, 1.5]}, "other has 11 parameters, the registered model 10"),
        ({"params": 10, "losses": [2.0, 1.51]}, "other does not train the same network as ours"),
        ({"params": 10, "losses": [2.0, math.nan]}, "other does not train the same network as ours"),
        ({"params": 10, "losses": [2.0]}, "other reports 1 losses, ours 2"),
    ],
)
def test_another_network_is_no_contender(setup, message):
    from trainer.errors import InkwellError

    arena, speed = import_module("scripts.benchmarks.arena"), import_module("scripts.benchmarks.speed")
    ours = arena.Outcome({"params": 10, "losses": [2.0, 1.5]}, [])
    assert speed.check({"ours": ours, "other": ours}, 10) == (10, 0.0)
    with pytest.raises(InkwellError, match=message):
        speed.check({"ours": ours, "other": arena.Outcome(setup, [])}, 10)


def test_a_contender_that_fails_is_named_with_its_last_words(tmp_path):
    from trainer.errors import InkwellError

    arena, worker = import_module("scripts.benchmarks.arena"), import_module("scripts.benchmarks.worker")
    contender = arena.Contender("ours", "nothing:run")
    with pytest.raises(InkwellError, match=r"^ours failed with status 1: ModuleNotFoundError: No module named"):
        arena.compete([contender], worker.Job(folder=""), tmp_path, 1)


def test_a_table_has_names_to_the_left_and_numbers_to_the_right():
    report = import_module("scripts.benchmarks.report")
    assert report.Report("speed", ("", "ms"), [["a", "12.5"], ["long name", "3"]], {}, ["note"]).text() == (
        "speed\n\n             ms\na          12.5\nlong name     3\n\nnote"
    )
    assert report.spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "values": [3.0, 1.0, 2.0]}


def test_an_aged_run_has_the_counters_of_a_long_one(tmp_path):
    from trainer.checkpoint import LAYOUT, Checkpoints, Snapshot, read

    run = tmp_path / "run"
    checkpoints = Checkpoints(run / "checkpoints")
    run.mkdir()
    names = [("c1/kernel", "float32"), ("adam/iteration", "int64")]
    variables = [{"name": name, "shape": [], "dtype": dtype} for name, dtype in names]
    manifest = {"layout": LAYOUT, "step": 4, "steps_per_epoch": 32, "data": {"train": 4000}, "variables": variables}
    arrays = [np.float32(0.5), np.int64(4)]
    checkpoints.write(Snapshot("epoch=0001-step=0000004", arrays, manifest), ["last"])
    assert import_module("scripts.benchmarks.resume").age(run, 400) == 12
    path = checkpoints.role("last")
    assert path is not None
    aged = read(path)
    assert [array.item() for array in aged.arrays] == [0.5, 400]
    assert {key: aged.manifest[key] for key in ("step", "epoch", "history", "validated", "images")} == {
        **{"step": 400, "epoch": 13, "history": 12},
        **{"validated": 384, "images": 48_000},
    }
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [32 * epoch for epoch in range(1, 13)]
