"""Is everything for MLflow read, remembered and named correctly? Without MLflow."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plugins.mlflow import fields, journal
from plugins.mlflow.artifacts import LARGEST, artifacts, copied, too_large
from plugins.mlflow.destination import Destination
from plugins.mlflow.journal import Journal, Mark
from plugins.mlflow.mirror import Incomplete, missing, reason
from plugins.mlflow.plugin import Mlflow
from plugins.mlflow.points import Earlier, Point, allowed, of_line, ranges
from plugins.mlflow.state import Settings, State, in_the_browser, sync_command
from plugins.mlflow.store import Store
from plugins.mlflow.sync import (
    Busy,
    Elsewhere,
    asked,
    behind,
    bring_up_to_date,
    check_own,
    to_help,
    unregistered,
)
from trainer.checkpoint import LAYOUT
from trainer.errors import InkwellError, UsageError
from trainer.runs.files import HISTORY
from trainer.runs.lock import RunLock
from trainer.runs.process import this_process
from trainer.runs.provenance import git_commit, provenance, without_password


@pytest.fixture(autouse=True)
def _no_tracking_server_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def write(path: Path, *steps: int, time: float = 0.0) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps({"step": step, "time": time + step}) + "\n" for step in steps)


def steps(reader: Journal) -> list[int]:
    """Read everything new, and mark it as processed."""
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


def test_a_reader_continues_where_another_ended(tmp_path):
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
    write(reader.path, *range(20, 45), time=0.5)  # the same steps and more, with other timestamps
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


def test_steps_are_shown_as_ranges():
    assert ranges([3, 1, 2, 7, 9, 10]) == "1-3, 7, 9-10"
    assert ranges([]) == ""


@pytest.mark.parametrize(
    ("name", "becomes"), [("f1@50%", "f1_50_"), ("a b/c:d", "a b/c:d"), ("/x//y/../z", "x/z"), ("..", "_"), ("é", "é")]
)
def test_names_are_valid_for_mlflow(name, becomes):
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


# The place of a mirror


def known(run_dir: Path, **changes: Any) -> Path:
    """Create a run directory whose process is gone."""
    run_dir.mkdir(parents=True)
    identity = {"layout": LAYOUT, "id": "1", "started": "2026-01-01T00:00:00+0000"}
    values = {**identity, "status": "running", **this_process(), "data": {}}
    (run_dir / "run.json").write_text(json.dumps(values | changes))
    (run_dir / "config.toml").touch()
    (run_dir / "history.jsonl").touch()
    State().write(run_dir)
    return run_dir


def test_the_state_is_read_back_and_a_damaged_one_is_none(tmp_path):
    mark = Mark(10, 5, "ab", 3, 1.5)
    settings = Settings(Destination("mine", "3", "ab"), register="digits")
    state = State(settings, "http://h", "1", "2", "done", mark, files={"a": (1, 2)}, model=True)
    state.write(tmp_path)
    assert State.read(tmp_path) == state
    for damaged in (
        *({"history": 3}, {"history": {"offset": -1}}, {"history": {"offset": 2**40, "length": 2**39}}),
        *({"run_id": "../../other"}, {"tracking_uri": "http://h/\x1b[2J"}, {"tracking_uri": "http://h\u202e"}),
        *({"settings": {"destination": {"experiment": "a\nb"}}}, {"settings": {"register": "\0"}}),
        *({"tracking_uri": "h" * 2001}, {"experiment_id": "../1"}),
    ):
        (tmp_path / "mlflow.json").write_text(json.dumps(damaged))
        assert State.read(tmp_path) is None, damaged
    assert State.read(tmp_path / "nowhere") is None


def test_the_store_of_a_run_root_moves_with_it(tmp_path):
    (tmp_path / "old" / "run").mkdir(parents=True)
    State(run_id="1").write(tmp_path / "old" / "run")
    (tmp_path / "old").rename(tmp_path / "new")
    assert State.of(tmp_path / "new" / "run", Store.at(None, tmp_path / "new")).run_id == "1"


def test_the_store_is_the_users_never_the_one_that_a_directory_names(tmp_path, monkeypatch):
    assert Store.own(None, tmp_path).database == tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host")
    assert Store.own(None, tmp_path).uri == "http://me:secret@host"
    assert Store.own("http://other", tmp_path).uri == "http://other"


def test_names_of_one_store_are_distinguished_from_those_of_another(tmp_path):
    (tmp_path / "linked").symlink_to(tmp_path)
    root = Store.at(None, tmp_path)
    same = [
        (root, Store.at(f"sqlite:///{tmp_path}/x/../mlflow.db", tmp_path)),
        (root, Store.at(f"sqlite:///{tmp_path}/linked/mlflow.db", tmp_path)),
        (Store.at("http://me:secret@h/", tmp_path), Store.at("http://me:***@h", tmp_path)),
    ]
    others = [
        (root, Store.at(None, tmp_path / "x")),
        (root, Store.at("http://h", tmp_path)),
        (Store.at("http://h:1", tmp_path), Store.at("http://h:2", tmp_path)),
    ]
    assert all(one.is_same(other) and other.is_same(one) for one, other in same)
    assert not any(one.is_same(other) or other.is_same(one) for one, other in others)


def test_another_store_has_nothing_of_a_run(tmp_path):
    settings = Settings(Destination("mine"))
    state = State(settings, "http://one", "1", "2", numbers=("done", 1, 1), ended="done")
    state.write(tmp_path)
    assert State.of(tmp_path, Store.at("http://one", tmp_path)) == state
    assert State.of(tmp_path, Store.at("http://two", tmp_path)) == State(settings, "http://two")
    assert State.of(tmp_path, Store.at(None, tmp_path)) == State(settings)


def test_the_command_that_shows_a_run_is_quoted_and_of_the_users_store(tmp_path, monkeypatch):
    run_dir = tmp_path / "a b" / "run"
    run_dir.mkdir(parents=True)
    address = "http://127.0.0.1:5000/#/experiments/3/runs?viewStateShareKey=inkwell&workflowType=machine_learning"
    assert in_the_browser(run_dir, None) is None
    State().write(run_dir)
    assert in_the_browser(run_dir, None) is None  # not yet in a store
    State(run_id="1", experiment_id="3").write(run_dir)
    shown = (f"mlflow ui --backend-store-uri 'sqlite:///{tmp_path}/a b/mlflow.db'", address)
    assert in_the_browser(run_dir, None) == shown
    for uri in ("http://server:5000", f"sqlite:///{tmp_path}/other.db"):
        State(run_id="1", experiment_id="3", tracking_uri=uri).write(run_dir)
        assert in_the_browser(run_dir, None) is None
    assert in_the_browser(run_dir, uri) == (f"mlflow ui --backend-store-uri {uri}", address)
    monkeypatch.chdir(tmp_path)
    assert in_the_browser(run_dir, uri) == ("mlflow ui --backend-store-uri sqlite:///other.db", address)


def test_the_command_that_sends_the_rest_says_what_a_directory_may_not_decide(tmp_path, monkeypatch):
    run_dir = tmp_path / "a b"
    sync = f"inkwell mlflow-sync '{run_dir}'"
    monkeypatch.setattr(sys, "argv", ["inkwell fit"])
    server = Store.at("http://me:secret@h", tmp_path)
    assert sync_command(run_dir, Store.at(None, tmp_path), "") == sync
    assert sync_command(run_dir, server, "my digits") == f"{sync} --uri 'http://me:***@h' --register 'my digits'"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    assert sync_command(run_dir, server, "") == sync


def stamp(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


def whole(run_dir: Path, ended: str) -> State:
    """Return the state of a run that MLflow has completely."""
    files = {path.relative_to(run_dir).as_posix(): stamp(path) for path in artifacts(run_dir)}
    numbers = (ended, *stamp(run_dir / HISTORY))
    return State(run_id="1", described=ended, numbers=numbers, ended=ended, files=files)


def test_runs_that_are_over_are_found_and_living_ones_left_alone(tmp_path):
    for name in ("killed", "failed", "done"):
        known(tmp_path / name, status={"killed": "running"}.get(name, name))
    living = RunLock(known(tmp_path / "living"))
    known(tmp_path / "elsewhere", host="another")
    (known(tmp_path / "unmirrored") / "mlflow.json").unlink()
    (known(tmp_path / "damaged") / "run.json").write_text("{")
    assert [path.name for path in behind(tmp_path)] == ["done", "failed", "killed"]
    whole(tmp_path / "done", "done").write(tmp_path / "done")
    assert [path.name for path in behind(tmp_path)] == ["failed", "killed"]
    (tmp_path / "done" / "result.json").write_text("{}")
    assert [path.name for path in behind(tmp_path)] == ["done", "failed", "killed"]
    replace(whole(tmp_path / "done", "done"), model=True).write(tmp_path / "done")
    assert [path.name for path in behind(tmp_path)] == ["failed", "killed"]
    with pytest.raises(Busy, match="living: it is still running"):
        bring_up_to_date(tmp_path / "living", Store.at(None, tmp_path), Settings())
    living.release()


def test_a_run_helps_those_alone_that_are_in_its_own_store(tmp_path):
    for name, state in {
        "mine": State(),
        "known": State(Settings(Destination("another"), "sweep", register="digits"), run_id="1"),
        "new-experiment": State(Settings(Destination("another"))),
        "new-id": State(Settings(Destination("inkwell", "3"))),
        "new-run": State(Settings(Destination("inkwell", run_id="ab"))),
        "new-parent": State(Settings(parent="sweep")),
        "server": State(tracking_uri="http://evil", run_id="1"),
        "file": State(tracking_uri=f"sqlite:///{tmp_path}/other.db"),
    }.items():
        state.write(known(tmp_path / name, status="failed"))
    every, own = ("numbers", "status", "files"), Store.at(None, tmp_path)
    assert [path.name for path in to_help(tmp_path, own, Settings(), every)] == ["known", "mine"]
    evil = Store.at("http://evil/", tmp_path)
    assert [path.name for path in to_help(tmp_path, evil, Settings(), every)] == ["server"]
    whole(tmp_path / "mine", "failed").write(tmp_path / "mine")
    (tmp_path / "mine" / "config.toml").write_text("[data]\n")  # only files are missing
    assert [path.name for path in to_help(tmp_path, own, Settings(), ("numbers", "status"))] == ["known"]


@pytest.mark.parametrize("name", ["a/b", "a:b", "a'b", 'a"b', "..", ".a", "a ", "a\n", "\u202ea", "x" * 251])
def test_a_name_that_no_registered_model_can_have_is_reported_before_anything_is_trained(name):
    with pytest.raises(UsageError, match=r"^plugin mlflow: a registered model cannot be named "):
        Mlflow(register=name)
    assert Mlflow(register="my digits-2.1").settings.register == "my digits-2.1"


def test_a_run_of_a_store_that_nobody_named_is_refused_and_a_named_one_is_not(tmp_path):
    run_dir = known(tmp_path / "run", status="failed")
    own = Store.at(None, tmp_path)
    check_own(run_dir, own)
    State(tracking_uri="http://me:***@evil:80/a b").write(run_dir)
    with pytest.raises(Elsewhere) as caught:
        check_own(run_dir, own)
    assert str(caught.value) == (
        f"cannot send {run_dir}: its mlflow.json names a different store than yours, http://me:***@evil:80/a b; "
        f"add --uri 'http://me:***@evil:80/a b' if you trust that one, or --uri {own.uri} to send the run to yours"
    )
    check_own(run_dir, Store.at("http://me:secret@evil:80/a b", tmp_path))


def test_what_is_missing_is_reported_by_channel(tmp_path):
    run_dir = known(tmp_path / "run", status="done")
    every = ["parameters", "numbers", "status", "files"]
    assert missing(run_dir, State(), Settings(), None) == ["parameters", "numbers"]
    assert missing(run_dir, State(), Settings(), "failed") == every
    state = whole(run_dir, "done")
    assert missing(run_dir, replace(state, described="running"), Settings(), None) == ["numbers"]
    assert missing(run_dir, state, Settings(), "done") == []
    assert missing(run_dir, state, Settings(), "failed") == ["parameters", "numbers", "status"]
    (run_dir / "report").mkdir()
    (run_dir / "report" / "late.png").touch()
    assert missing(run_dir, state, Settings(), "done") == ["files"]
    (run_dir / "history.jsonl").write_text("{}\n")
    assert missing(run_dir, state, Settings(), "done") == ["numbers", "files"]


def test_a_model_is_missing_until_it_is_logged_and_registered_as_the_user_says(tmp_path):
    run_dir = known(tmp_path / "run", status="done")
    (run_dir / "result.json").write_text("{}")
    state = whole(run_dir, "done")
    assert missing(run_dir, state, Settings(), "done") == ["model"]
    assert missing(run_dir, state, Settings(log_model=False), "done") == []
    logged = replace(state, model=True)
    assert missing(run_dir, logged, Settings(), "done") == []
    assert missing(run_dir, logged, Settings(register="digits"), "done") == ["model"]
    assert missing(run_dir, replace(logged, registered="digits"), Settings(register="digits"), "done") == []
    replace(logged, settings=Settings(register="digits")).write(run_dir)
    assert asked(run_dir, "") == Settings()
    assert unregistered(run_dir) == "digits"


def test_an_id_that_only_a_directory_names_is_not_followed(tmp_path, monkeypatch):
    for name in ("NAME", "ID"):
        monkeypatch.delenv(f"MLFLOW_EXPERIMENT_{name}", raising=False)
    monkeypatch.setenv("MLFLOW_RUN_ID", "ab")
    for claimed, followed in {
        Destination("mine", "3", "cd"): Destination("mine"),
        Destination("", "3", "cd"): Destination("inkwell"),
        Destination("", "", "ab"): Destination("", "", "ab"),
        Destination("mine"): Destination("mine"),
    }.items():
        State(Settings(claimed)).write(tmp_path)
        assert asked(tmp_path, "").destination == followed
    (tmp_path / "mlflow.json").unlink()
    assert asked(tmp_path, "").destination == Destination("", "", "ab")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "3")
    State(Settings(Destination("", "3", "ab"))).write(tmp_path)
    assert asked(tmp_path, "").destination == Destination("", "3", "ab")


def test_each_reason_is_given_once_with_everything_it_stops():
    refused = OSError(111, "Connection refused")
    told = Incomplete({"numbers": ValueError("no such thing"), "files": refused, "model": refused})
    assert str(told) == "cannot send numbers: no such thing; cannot send files, model: [Errno 111] Connection refused"


def test_no_link_nothing_behind_one_and_nothing_half_written_is_sent(tmp_path):
    run_dir = known(tmp_path / "run", status="done")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "key").write_text("secret")
    report = run_dir / "report"
    (report / "sub").mkdir(parents=True)
    (report / "sub" / "own.png").write_text("own")
    (report / ".tmp-1-index.html").write_text("half")
    (report / "key").symlink_to(secrets / "key")
    (report / "folder").symlink_to(secrets)
    os.mkfifo(report / "pipe")
    with (report / "huge").open("wb") as file:
        file.truncate(LARGEST + 1)
    assert [path.name for path in artifacts(run_dir)] == ["config.toml", "history.jsonl", "own.png"]
    assert too_large(run_dir) == ["report/huge"]
    for name in ("key", "folder/key", "pipe", "sub"):
        with pytest.raises((OSError, ValueError)), copied(report / name, run_dir):
            pass
    (run_dir / "config.toml").unlink()
    (run_dir / "config.toml").symlink_to(secrets / "key")
    report.rename(tmp_path / "elsewhere")
    report.symlink_to(tmp_path / "elsewhere")
    assert [path.name for path in artifacts(run_dir)] == ["history.jsonl"]
    with pytest.raises(OSError, match="symbolic links"), copied(report / "sub" / "own.png", run_dir):
        pass


def test_the_copy_that_is_sent_is_whole_and_has_no_password(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "a.png").write_bytes(b"picture")
    (tmp_path / "config.toml").write_text('uri = "http://me:secret@h"')
    with copied(tmp_path / "report" / "a.png", tmp_path) as copy:
        assert (copy.name, copy.read_bytes()) == ("a.png", b"picture")
    with copied(tmp_path / "config.toml", tmp_path) as copy:
        assert copy.read_text() == 'uri = "http://me:***@h"'


@pytest.mark.parametrize("name", [HISTORY, "system.jsonl"])
def test_lines_are_not_read_through_a_link_or_from_a_pipe(tmp_path, name):
    (tmp_path / "secret").write_text('{"step": 1, "time": 1.0, "balance": 7}\n')
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / name
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(InkwellError, match=r"cannot read .*symbolic links"):
        Journal(path).read()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InkwellError, match=r"cannot read .* is not a file"):
        Journal(path).read()


def test_a_line_without_end_is_reported_before_it_fills_the_memory(tmp_path):
    with (tmp_path / HISTORY).open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InkwellError, match=r"history.jsonl is damaged: it has a line of more than 16.8 MB"):
        Journal(tmp_path / HISTORY).read()


def test_a_store_in_a_run_root_cannot_send_files_elsewhere(tmp_path):
    own = Store.at(None, tmp_path)
    own.check_artifacts(f"{own.artifacts}/1/run/artifacts")
    outside = (tmp_path.parent / "x").as_uri()
    for address in ("http://evil/x", "s3://evil", outside, f"{own.artifacts}/../../x", f"{own.artifacts}x", ""):
        with pytest.raises(InkwellError, match="to send them there anyway, name the store: --uri sqlite:///"):
            own.check_artifacts(address)
    Store.at(own.uri, tmp_path).check_artifacts("s3://mine")  # the user named this store


# The origin of a run


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
