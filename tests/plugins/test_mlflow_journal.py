"""Is what MLflow gets read, remembered and named rightly? Without MLflow."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plugins.mlflow import fields, journal
from plugins.mlflow.destination import Destination
from plugins.mlflow.journal import Journal, Mark
from plugins.mlflow.mirror import is_current, reason
from plugins.mlflow.points import Earlier, Point, allowed, of_line, ranges
from plugins.mlflow.state import Settings, State, in_the_browser
from plugins.mlflow.store import Store
from plugins.mlflow.sync import Busy, behind, bring_up_to_date
from trainer.checkpoint import LAYOUT
from trainer.runs.process import this_process
from trainer.runs.provenance import git_commit, provenance, without_password


@pytest.fixture(autouse=True)
def _no_tracking_server_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def write(path: Path, *steps: int, time: float = 0.0) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps({"step": step, "time": time + step}) + "\n" for step in steps)


def steps(reader: Journal) -> list[int]:
    """Read everything that is new, and deal with it."""
    found: list[int] = []
    while lines := reader.read():
        found += [line["step"] for line in lines]
        reader.done()
    return found


def test_each_line_is_read_once_and_a_torn_one_when_it_is_whole(tmp_path):
    reader = Journal(tmp_path / "history.jsonl")
    assert reader.read() == []
    reader.path.write_text('{"step": 1, "time": 1.5}\n{"step": 2')
    assert steps(reader) == [1]
    assert steps(reader) == []
    with reader.path.open("a") as file:
        file.write('2, "time": 2.5}\n')
    assert steps(reader) == [22]


def test_what_was_not_dealt_with_is_read_again(tmp_path):
    reader = Journal(tmp_path / "history.jsonl")
    write(reader.path, 1, 2)
    assert reader.read() == reader.read()
    reader.done()
    write(reader.path, 3)
    assert steps(reader) == [3]


def test_many_lines_are_read_some_at_a_time(tmp_path):
    reader = Journal(tmp_path / "history.jsonl")
    write(reader.path, *range(2 * journal.LINES + 1))
    assert len(reader.read()) == journal.LINES
    assert steps(reader) == list(range(2 * journal.LINES + 1))


def test_a_reader_goes_on_where_another_ended(tmp_path):
    path = tmp_path / "history.jsonl"
    write(path, 1, 2, 3)
    first = Journal(path)
    steps(first)
    write(path, 4)
    assert steps(Journal(path, first.mark)) == [4]


@pytest.mark.parametrize("marks", [journal.MARKS, 4])
def test_a_history_that_was_cut_back_is_read_again_from_before_that_place(tmp_path, monkeypatch, marks):
    monkeypatch.setattr(journal, "MARKS", marks)
    reader = Journal(tmp_path / "history.jsonl")
    for step in range(40):
        write(reader.path, step)
        steps(reader)
    lines = reader.path.read_bytes().splitlines(keepends=True)
    reader.path.write_bytes(b"".join(lines[:20]))
    write(reader.path, *range(20, 45), time=0.5)  # the same steps at other times, and more of them
    first = reader.read()[0]["step"]
    assert reader.rewound
    assert first == 20 if marks > 40 else 0 <= first <= 20
    assert steps(reader) == list(range(first, 45))
    assert not reader.rewound


def test_a_mark_of_another_history_is_not_believed(tmp_path):
    path = tmp_path / "history.jsonl"
    write(path, 1, 2)
    reader = Journal(path, Mark(offset=25, length=25, digest="0123", step=1, time=1.0))
    assert steps(reader) == [1, 2]


def test_numbers_of_a_line_become_points():
    line = {"kind": "epoch", "epoch": 2, "step": 64, "time": 1700000000.1234, "f1@50%": 0.5, "loss": None, "ok": True}
    named, nan, epoch = of_line(line)
    assert (epoch, named) == (Point("epoch", 2.0, 64, 1700000000123), Point("f1_50_", 0.5, 64, 1700000000123))
    assert (nan.name, math.isnan(nan.value)) == ("loss", True)
    batch = {"kind": "batch", "epoch": 2, "step": 50, "time": 1.0, "batch_loss": 0.25}
    assert of_line(batch) == [Point("batch_loss", 0.25, 50, 1000)]
    assert of_line({"kind": "recovery", "step": 3, "time": 1.0, "factor": 0.5}) == []


def earlier(after: int, **known: list[tuple[int, float]]) -> Earlier:
    return Earlier(lambda name: [SimpleNamespace(step=s, value=v) for s, v in known.get(name, [])], after)


def test_a_step_computed_again_is_sent_only_where_its_value_is_another():
    known = {"loss": [(5, 9.0), (10, 0.5), (20, 0.4), (30, 0.3)], "time/seconds": [(20, 1.5)], "acc": [(20, math.nan)]}
    found = earlier(10, **known)
    again = [
        *(Point("loss", 0.5, 10, 1), Point("loss", 0.4, 20, 2), Point("loss", 0.31, 30, 3), Point("loss", 0.2, 40, 4)),
        *(Point("time/seconds", 1.7, 20, 2), Point("time/seconds", 1.7, 30, 3), Point("acc", math.nan, 20, 2)),
    ]
    assert found.missing(again) == [again[2], again[3], again[5]]
    assert found.superseded == {30}
    assert found.left(25) == {30}


def test_infinity_is_what_a_database_makes_of_it():
    assert earlier(0, loss=[(1, 1.7976931348623157e308)]).missing([Point("loss", math.inf, 1, 1)]) == []
    assert len(earlier(0, loss=[(1, 1.7976931348623157e308)]).missing([Point("loss", -math.inf, 1, 1)])) == 1


def test_steps_are_told_as_ranges():
    assert ranges([3, 1, 2, 7, 9, 10]) == "1-3, 7, 9-10"
    assert ranges([]) == ""


@pytest.mark.parametrize(
    ("name", "becomes"), [("f1@50%", "f1_50_"), ("a b/c:d", "a b/c:d"), ("/x//y/../z", "x/z"), ("..", "_"), ("é", "é")]
)
def test_names_are_such_as_mlflow_takes(name, becomes):
    from mlflow.utils.validation import _validate_metric_name

    assert allowed(name) == becomes
    _validate_metric_name(allowed(name))


def test_a_password_is_shown_nowhere():
    uri = "http://me:secret@host:5000/path"
    assert Store.at(uri, Path()).shown == "http://me:***@host:5000/path"
    assert without_password(f"a {uri} b postgresql://u:p@h/d") == (
        "a http://me:***@host:5000/path b postgresql://u:***@h/d"
    )
    assert without_password("file:///a:b/c@d http://host:80/x@y") == "file:///a:b/c@d http://host:80/x@y"
    assert "secret" not in reason(OSError(f"cannot reach {uri}"))


def test_configuration_becomes_parameters():
    uri = "http://me:secret@host"
    text = f'long = "{"x" * 7000}"\n[plugins.mlflow]\ntracking_uri = "{uri}"\n[a]\nb = [1, 2]\n"odd key!" = true\n'
    data = {"train": 55000, "validation": 5000, "digest": "ab"}
    assert fields.params(tomllib.loads(text), data) == {
        "long": "x" * 6000,
        "plugins.mlflow.tracking_uri": "http://me:***@host",
        "a.b": "[1, 2]",
        "a.odd key_": "True",
        "data.train": "55000",
        "data.validation": "5000",
    }


def test_the_digest_of_a_dataset_is_ours_and_fits():
    made = fields.dataset({"name": "mnist", "digest": "ab" * 32, "train": 55000, "input_shape": [28, 28, 1]})
    assert made is not None
    assert made["digest"] == "ab" * 18
    assert json.loads(made["profile"])["train"] == 55000
    assert fields.dataset({"name": "stream"}) is None


# Where a run is mirrored


def known(run_dir: Path, **changes: Any) -> Path:
    """Make a run directory whose process is gone."""
    run_dir.mkdir(parents=True)
    identity = {"layout": LAYOUT, "id": "1", "started": "2026-01-01T00:00:00+0000"}
    values = {**identity, "status": "running", **this_process(), "data": {}}
    (run_dir / "run.json").write_text(json.dumps(values | {"boot_id": "another"} | changes))
    (run_dir / "config.toml").touch()
    (run_dir / "history.jsonl").touch()
    State().write(run_dir)
    return run_dir


def test_the_state_is_read_back_and_a_damaged_one_is_none(tmp_path):
    mark = Mark(10, 5, "ab", 3, 1.5)
    state = State(
        Settings(Destination("mine"), register="digits"), "http://h", "1", "2", mark, files={"a": (1, 2)}, model=True
    )
    state.write(tmp_path)
    assert State.read(tmp_path) == state
    (tmp_path / "mlflow.json").write_text('{"history": 3}')
    assert State.read(tmp_path) is None
    assert State.read(tmp_path / "nowhere") is None


def test_the_store_of_a_run_root_moves_with_it(tmp_path):
    (tmp_path / "old" / "run").mkdir(parents=True)
    store = Store.at(None, tmp_path / "old")
    State().at(store).write(tmp_path / "old" / "run")
    (tmp_path / "old").rename(tmp_path / "new")
    state = State.read(tmp_path / "new" / "run")
    assert state is not None
    assert state.store(tmp_path / "new" / "run").database == tmp_path / "new" / "mlflow.db"


def test_a_password_that_is_not_written_down_comes_from_the_environment(tmp_path, monkeypatch):
    store = Store.at("http://me:secret@host", tmp_path)
    state = State().at(store)
    assert "secret" not in repr(state)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    assert state.store(tmp_path) == store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other")
    assert state.store(tmp_path).uri == store.shown


def test_another_store_has_nothing_of_a_run(tmp_path):
    state = State(Settings(Destination("mine")), "http://one", "1", "2", complete="done")
    assert state.at(Store.at("http://one", tmp_path)) is state
    assert state.at(Store.at("http://two", tmp_path)) == State(Settings(Destination("mine")), "http://two")


def test_the_command_that_shows_a_run_is_quoted(tmp_path):
    run_dir = tmp_path / "a b" / "run"
    run_dir.mkdir(parents=True)
    assert in_the_browser(run_dir) is None
    State().write(run_dir)
    assert in_the_browser(run_dir) is None  # it is in no store yet
    State(run_id="1", experiment_id="3").write(run_dir)
    assert in_the_browser(run_dir) == (
        f"mlflow ui --backend-store-uri 'sqlite:///{tmp_path}/a b/mlflow.db'",
        "http://127.0.0.1:5000/#/experiments/3/runs?viewStateShareKey=inkwell&workflowType=machine_learning",
    )
    State(run_id="1", tracking_uri="http://server:5000").write(run_dir)
    assert in_the_browser(run_dir) is None


def test_runs_that_are_over_are_found_and_living_ones_left_alone(tmp_path):
    for name in ("killed", "failed", "done"):
        known(tmp_path / name, status={"killed": "running"}.get(name, name))
    known(tmp_path / "living", pid=os.getppid(), boot_id=this_process()["boot_id"])
    known(tmp_path / "elsewhere", host="another")
    State(complete="done").write(tmp_path / "done")
    (known(tmp_path / "unmirrored") / "mlflow.json").unlink()
    (known(tmp_path / "damaged") / "run.json").write_text("{")
    assert [path.name for path in behind(tmp_path, models=False)] == ["done", "failed", "killed"]
    files = {name: (0, (tmp_path / "done" / name).stat().st_mtime_ns) for name in ("config.toml", "history.jsonl")}
    State(complete="done", files=files).write(tmp_path / "done")
    assert [path.name for path in behind(tmp_path, models=True)] == ["failed", "killed"]
    with pytest.raises(Busy, match="living is still running"):
        bring_up_to_date(tmp_path / "living")


def test_a_run_is_current_until_a_file_changes(tmp_path):
    run_dir = known(tmp_path / "run", status="done")
    files = {name: (0, (run_dir / name).stat().st_mtime_ns) for name in ("config.toml", "history.jsonl")}
    state = State(complete="done", files=files)
    assert is_current(run_dir, state, "done")
    assert not is_current(run_dir, state, "failed")
    (run_dir / "report").mkdir()
    (run_dir / "report" / "late.png").touch()
    assert not is_current(run_dir, state, "done")


# Where a run comes from


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=300).stdout.strip()


def test_the_commit_is_read_as_git_says_it(tmp_path):
    repository = tmp_path / "repository"
    (repository / "scripts").mkdir(parents=True)
    git(repository, "init", "-q", "-b", "main")
    git(repository, "commit", "-q", "--allow-empty", "-m", "one")
    head = git(repository, "rev-parse", "HEAD")
    assert git_commit(repository / "scripts") == head
    git(repository, "pack-refs", "--all")
    assert git_commit(repository) == head
    git(repository, "worktree", "add", "-q", str(tmp_path / "other"))
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "two")
    assert git_commit(tmp_path / "other") == git(tmp_path / "other", "rev-parse", "HEAD") != head
    git(repository, "checkout", "-q", "--detach")
    assert git_commit(repository) == head
    assert git_commit(Path("/")) == ""


def test_the_command_line_is_kept_without_passwords(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["fit.py", "--plugin", "mlflow:tracking_uri=http://me:secret@host"])
    assert provenance()["command"] == "fit.py --plugin mlflow:tracking_uri=http://me:***@host"


def test_to_resolve_the_plugin_loads_neither_mlflow_nor_tensorflow():
    script = "import sys, plugins.mlflow.plugin; print({'mlflow', 'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("set()\n", "")
