"""Is a run logged where the user or the environment says, and does a mistake cost one line? Real stores."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, run_script
from mlflow_stores import QUIET, begin, client_of, free_port, mirrored, serving

from plugins.mlflow.destination import Destination, destination
from plugins.mlflow.mirror import Mirror, reason
from plugins.mlflow.plugin import Mlflow
from plugins.mlflow.state import Settings, State
from plugins.mlflow.store import Store
from plugins.mlflow.sync import asked, bring_up_to_date, to_help
from trainer.errors import InkwellError
from trainer.run import Run

pytestmark = pytest.mark.slow
NAMES = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID")


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module", params=["file", "server"])
def uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a store: a SQLite file, or a server."""
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    if request.param == "file":
        yield f"sqlite:///{folder}/mlflow.db"
        return
    with serving(folder, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def there(uri: str, tmp_path: Path) -> SimpleNamespace:
    """Existing content of the store: two experiments, a run in the first one, and a deleted run."""
    store, client = Store.at(uri, tmp_path), client_of(uri)
    store.prepare()
    one, two = (client.create_experiment(f"{tmp_path.name}-{number}", store.artifacts) for number in (1, 2))
    run, deleted = (client.create_run(one, run_name="of the project").info.run_id for _ in range(2))
    client.delete_run(deleted)
    return SimpleNamespace(client=client, one=one, two=two, name=f"{tmp_path.name}-1", run=run, deleted=deleted)


def mirror(run_dir: Path, uri: str, experiment: str | None = None, **environment: str) -> Mirror:
    wanted = destination(experiment, {f"MLFLOW_{name}": value for name, value in environment.items()})
    store = Store.at(uri, run_dir.parent)
    state = State.of(run_dir, store).with_settings(Settings(wanted, log_model=False))
    state.write(run_dir)
    return Mirror(run_dir, store, state)


def sync(run_dir: Path, uri: str, experiment: str = "") -> bool:
    """Send a run later, as `mlflow_sync.py` does."""
    return bring_up_to_date(run_dir, Store.at(uri, run_dir.parent), asked(run_dir, ""), experiment=experiment)


@pytest.mark.parametrize(
    ("experiment", "environment", "found"),
    [
        (None, {}, Destination("inkwell")),
        (None, {"EXPERIMENT_NAME": "a"}, Destination("a")),
        (None, {"EXPERIMENT_ID": "3"}, Destination("", "3")),
        (None, {"EXPERIMENT_ID": "3", "EXPERIMENT_NAME": "a"}, Destination("a", "3")),
        (None, {"RUN_ID": "ab"}, Destination("", "", "ab")),
        (None, {"EXPERIMENT_NAME": "", "EXPERIMENT_ID": "", "RUN_ID": ""}, Destination("inkwell")),
        ("mine", {"EXPERIMENT_NAME": "a", "EXPERIMENT_ID": "3"}, Destination("mine")),
    ],
)
def test_the_user_comes_before_the_environment_and_that_before_the_default(experiment, environment, found):
    assert destination(experiment, {f"MLFLOW_{name}": value for name, value in environment.items()}) == found


def test_the_plugin_reads_the_environment_when_a_run_starts(tmp_path, monkeypatch):
    run_dir = begin(tmp_path, "hooks", status="running", ended=None)
    plugin, run = Mlflow(log_model=False), Run(name="hooks", directory=run_dir)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the environment")
    plugin.on_fit_start(run)
    run.status = "done"
    plugin.on_fit_end(run)
    client = client_of(f"sqlite:///{tmp_path}/mlflow.db")
    assert {found.name for found in client.search_experiments()} == {"Default", "of the environment"}


def test_the_named_experiment_is_used_by_id_or_by_name(there, uri, tmp_path):
    for name, environment in {
        "by-id": {"EXPERIMENT_ID": there.two},
        "by-name": {"EXPERIMENT_NAME": there.name},
    }.items():
        mirror(begin(tmp_path, name), uri, **environment).update("done")
    ids = {mirrored(uri, tmp_path / name)["experiment"] for name in ("by-id", "by-name")}
    assert ids == {there.one, there.two}


def test_the_named_run_is_filled_once_and_what_others_wrote_stays(there, uri, tmp_path):
    there.client.log_param(there.run, "training.seed", "9")
    there.client.set_tag(there.run, "mlflow.source.name", "a project")
    given = {"EXPERIMENT_ID": there.one, "RUN_ID": there.run}
    first = begin(tmp_path, "first")
    mirror(first, uri, **given).update("done")
    mirror(first, uri, **given).update("done")  # resumed
    found = mirrored(uri, first)
    assert (found["id"], found["status"]) == (there.run, "FINISHED")
    assert (found["params"]["training.seed"], found["tags"]["inkwell.training.seed"]) == ("9", "7")
    assert found["params"]["data.name"] == "mnist"
    assert (found["tags"]["mlflow.source.name"], found["tags"]["mlflow.runName"]) == ("a project", "of the project")

    second = begin(tmp_path, "second")
    mirror(second, uri, **given).update("done")
    child = mirrored(uri, second)
    assert child["id"] != there.run
    assert (child["tags"]["mlflow.parentRunId"], child["experiment"]) == (there.run, there.one)
    assert mirrored(uri, first) == found


def test_a_run_in_a_given_run_is_found_again_when_the_environment_has_gone(there, uri, tmp_path):
    run_dir = begin(tmp_path, "run")
    there.client.set_tag(there.run, "mlflow.source.name", "a project")
    mirror(run_dir, uri, RUN_ID=there.run).update("done")
    (run_dir / "report" / "late.png").write_bytes(b"late")
    add(run_dir, {"kind": "epoch", "epoch": 1, "step": 1, "time": 1767225600.0, "loss": 0.5})
    assert sync(run_dir, uri)
    found = mirrored(uri, run_dir)
    assert (found["id"], found["tags"]["mlflow.source.name"]) == (there.run, "a project")
    assert "report/late.png" in dict(found["artifacts"])
    assert "loss" in {row[0] for row in found["points"]}


def add(run_dir: Path, line: dict[str, Any]) -> None:
    with (run_dir / "history.jsonl").open("a") as file:
        file.write(f"{json.dumps(line)}\n")


def test_ids_that_only_a_directory_names_get_nothing(there, uri, tmp_path):
    """Their directory names one of the user's experiments and two of the user's runs, one as its own MLflow run."""
    other = there.client.create_run(there.two).info.run_id
    theirs = begin(tmp_path, "theirs")
    store = Store.at(uri, tmp_path)
    settings = Settings(Destination("", there.one, there.run), log_model=False)
    State(settings, store.shown, other, there.two).write(theirs)
    assert sync(theirs, uri)
    found = mirrored(uri, theirs)
    assert there.client.get_experiment(found["experiment"]).name == "inkwell"
    for run_id in (there.run, other):
        run = there.client.get_run(run_id)
        assert (run.info.status, run.data.params, run.data.metrics) == ("RUNNING", {}, {})
        assert not {name for name in run.data.tags if not name.startswith("mlflow.")}
        assert there.client.list_artifacts(run_id) == []


def test_a_run_in_a_given_run_helps_others_without_giving_it_to_them(there, uri, tmp_path):
    """One run is of the same job, one was mirrored before, and somebody else's claims the given run as its own."""
    store, wanted = Store.at(uri, tmp_path), Destination("", "", there.run)
    mine, same, begun, theirs = (begin(tmp_path, name) for name in ("mine", "same", "begun", "theirs"))
    mirror(begun, uri, there.name).update("done")
    add(begun, {"kind": "epoch", "epoch": 1, "step": 1, "time": 1767225600.0, "loss": 0.5})
    before = mirrored(uri, begun)
    State(Settings(wanted), store.shown).write(same)
    State(Settings(), store.shown, there.run, there.one).write(theirs)
    own = mirror(mine, uri, RUN_ID=there.run)
    own.update("done")
    of_mine = mirrored(uri, mine)
    channels = ("parameters", "numbers", "status", "files")
    for run_dir in to_help(tmp_path, store, own.settings, channels):
        bring_up_to_date(run_dir, store, own.settings, channels)
    assert mirrored(uri, mine) == of_mine
    assert of_mine["id"] == there.run
    assert mirrored(uri, begun)["id"] == before["id"]
    assert {row[0] for row in mirrored(uri, begun)["points"]} == {"epoch", "loss"}
    for run_dir in (same, theirs):
        assert mirrored(uri, run_dir)["tags"]["mlflow.parentRunId"] == there.run


WRONG = {
    "unknown experiment": (
        {"EXPERIMENT_ID": "777777"},
        "experiment 777777 (MLFLOW_EXPERIMENT_ID): no experiment has this id",
    ),
    "no id": ({"EXPERIMENT_ID": "../x y"}, "no experiment has this id"),
    "two experiments": ({"EXPERIMENT_ID": "two", "EXPERIMENT_NAME": "name"}, "MLFLOW_EXPERIMENT_NAME says"),
    "unknown run": ({"RUN_ID": "0" * 32}, f"run {'0' * 32} (MLFLOW_RUN_ID): no run has this id"),
    "no run": ({"RUN_ID": "no/run?"}, "no run has this id"),
    "deleted run": ({"RUN_ID": "deleted"}, "it was deleted; restore it with MLFLOW_TRACKING_URI="),
    "run elsewhere": ({"RUN_ID": "run", "EXPERIMENT_ID": "two"}, "name only one of them"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_name_costs_one_line_and_the_run_can_be_sent_elsewhere(there, uri, tmp_path, case):
    words, said = WRONG[case]
    run_dir = begin(tmp_path, "wrong")
    with pytest.raises(Exception, match=r"^cannot log to ") as caught:
        mirror(run_dir, uri, **{key: getattr(there, value, value) for key, value in words.items()}).update("done")
    assert said in reason(caught.value)
    assert "\n" not in reason(caught.value)
    assert "mlflow-sync RUN --experiment NAME" in reason(caught.value)
    assert sync(run_dir, uri, "another")
    assert mirrored(uri, run_dir)["status"] == "FINISHED"
    assert not sync(run_dir, uri, "another")
    assert not sync(run_dir, uri)


def test_a_run_is_sent_to_another_experiment_by_the_command_that_is_named(tmp_path):
    run_dir, uri = begin(tmp_path, "run"), f"sqlite:///{tmp_path}/mlflow.db"
    store = Store.at(None, tmp_path)
    Mirror(run_dir, store, State(Settings(log_model=False))).update("done")
    before = mirrored(uri, run_dir)
    for said in ("sent", "nothing to send"):
        done = run_script(tmp_path, "mlflow_sync.py", "run", "--experiment", "two")
        assert (done.returncode, done.stdout, done.stderr) == (0, f"run: {said}\n", "")
    client = client_of(uri)
    (moved,) = client.search_runs([client.get_experiment_by_name("two").experiment_id])
    assert moved.info.run_id != before["id"]
    assert (moved.info.status, moved.data.params) == ("FINISHED", before["params"])


def test_a_deleted_experiment_is_reported_with_the_command_that_restores_it(there, uri, tmp_path):
    there.client.delete_experiment(there.one)
    run_dir = begin(tmp_path, "run")
    sent = mirror(run_dir, uri, there.name)
    with pytest.raises(Exception, match="it was deleted") as caught:
        sent.update("done")
    (shown,) = re.findall(r"restore it with (.*?), or", reason(caught.value))
    setting, program, *arguments = shlex.split(shown)
    assert (setting, program) == (f"MLFLOW_TRACKING_URI={uri}", "mlflow")
    command = ["env", setting, sys.executable, "-m", "mlflow", *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    sent.update("done")
    assert mirrored(uri, run_dir)["experiment"] == there.one


PROJECT = """
name: digits
entry_points:
  main:
    parameters:
      training.seed: {type: float, default: 3}
    command: "%s %s --data %s --epochs 1 --model lenet --plugin mlflow:log_model=false %s --run-dir runs/%s"
"""


def test_mlflow_run_gets_the_run_that_it_made(tmp_path, tiny):
    uri = f"sqlite:///{tmp_path}/theirs.db"
    script = ROOT / "scripts" / "fit.py"
    (tmp_path / "MLproject").write_text(PROJECT % (sys.executable, script, tiny, shlex.join(QUIET), "mine"))
    command = [sys.executable, "-m", "mlflow", "run", str(tmp_path), "--env-manager", "local"]
    named = ["--experiment-name", "of the project", "--run-name", "the project"]
    done = subprocess.run(
        ["env", f"MLFLOW_TRACKING_URI={uri}", *command, *named],
        **{"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 600},
    )
    assert done.returncode == 0, done.stderr
    assert "warning: mlflow" not in done.stderr
    client = client_of(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("of the project").experiment_id])
    assert (run.info.run_name, run.info.status) == ("the project", "FINISHED")
    assert run.data.params["training.seed"] == "3"
    assert "test/accuracy" in run.data.metrics
    assert not (tmp_path / "runs" / "mlflow.db").exists()


# The location of the store


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["ä b#c 50%", "a&b=c;d'e[x]{y}$z"])
def test_a_run_root_of_any_name_has_its_store_and_nothing_lies_elsewhere(tmp_path, name):
    root = tmp_path / name
    run_dir = begin(root, "run")
    Mirror(run_dir, Store.at(None, root), State(Settings(log_model=False))).update("done")
    client = client_of(Store.at(None, root).uri)
    (run,) = client.search_runs([client.get_experiment_by_name("inkwell").experiment_id])
    assert Path(client.download_artifacts(run.info.run_id, "report/curves.svg", str(run_dir))).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    tops = {path.partition("/")[0] for path in files_of(root)}
    assert tops == {"run", "mlflow.db", "mlflow.db.lock", "mlartifacts"}


@pytest.mark.parametrize("name", ["a%20b", "a?mode=memory"])
def test_a_store_is_not_made_where_mlflow_would_look_elsewhere_for_it(tmp_path, name):
    with pytest.raises(InkwellError, match=r"^cannot create a SQLite file at "):
        Store.at(None, tmp_path / name).prepare()
    assert list(tmp_path.iterdir()) == []


def test_a_run_root_that_mlflow_takes_for_another_costs_one_line_and_makes_no_file(tmp_path, tiny):
    name = "a?b"
    (tmp_path / name).mkdir()
    flags = ("--data", tiny, "--epochs", "1", "--model", "lenet", *QUIET, "--run-dir", f"{name}/run")
    done = run_script(tmp_path, "fit.py", *flags)
    assert done.returncode == 0, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("warning:")]
    assert f"cannot create a SQLite file at {tmp_path}/a?b/mlflow.db: MLflow interprets" in said
    assert "MLFLOW_TRACKING_URI" in said
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {path.partition("/")[0] for path in files_of(tmp_path / name)} == {"run", "mlflow.db.lock"}
