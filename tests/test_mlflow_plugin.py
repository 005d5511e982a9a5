"""Does MLflow get everything that the run directory has, and can it never slow, hang or end a run?"""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from plugins import mlflow as plugin_module
from plugins.mlflow import Journal, Mlflow, ui_command
from trainer.run import Run

if TYPE_CHECKING:
    from mlflow.client import MlflowClient
    from mlflow.entities import Run as MlflowRun

HISTORY = [
    {"kind": "validation", "epoch": 1, "step": 50, "val_loss": 0.9},
    {"kind": "epoch", "epoch": 1, "step": 100, "loss": 0.8, "val_loss": 0.7, "learning_rate": 2e-3, "seconds": 1.5},
    {
        "kind": "epoch",
        "epoch": 2,
        "step": 200,
        "loss": 0.5,
        "val_loss": math.nan,
        "learning_rate": 1e-3,
        "seconds": 1.4,
    },
]
RESULT = {
    **{"model": "lenet", "params": {"width": 2, "count": 1234}, "seed": 7, "epochs": 2, "steps": 200},
    **{"train_seconds": 2.9, "wall_seconds": 4.0, "images_per_second": 5000.0, "stop_reason": ""},
    "data": {"name": "mnist", "digest": "ab12", "train": 55000, "val": 5000, "test": 10000},
    "best": {"epoch": 1, "step": 100, "val_loss": 0.7, "val_accuracy": None, "checkpoint": "epoch=0001"},
    "test": {"loss": 0.06, "accuracy": 0.98, "per_class": [{"f1": 1.0}], "confusion": [[9, 1], [0, 10]]},
    "time": {"steps": 2.5, "plugins.plots": 0.25},
}
CONFIG = {"model": {"name": "lenet", "args": {"width": 2}}, "epochs": 2, "plugins": [{"name": "mlflow"}]}


@pytest.fixture(autouse=True)
def _no_tracking_server_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run root whose store is made by the first test that needs it, at a path that needs quoting."""
    return tmp_path_factory.mktemp("run root")


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def begin(root: Path, name: str, **fields: Any) -> Run:
    """Make a run directory as the engine leaves it before step 0."""
    directory = root / name
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text("epochs = 2\n")
    (directory / "history.jsonl").touch()
    data = {"name": "mnist", "digest": "ab12"}
    return Run(**{"name": name, "directory": directory, "config": CONFIG, "data": data, **fields})


def add_history(run: Run, *lines: Mapping[str, Any]) -> None:
    assert run.directory is not None
    with (run.directory / "history.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def train(plugin: Mlflow, run: Run, status: str = "done", result: Mapping[str, Any] | None = RESULT) -> None:
    """Call the hooks as the engine does: the line of an epoch is written after the hooks of its end."""
    assert run.directory is not None
    assert run.report is not None
    plugin.on_fit_start(run)
    add_history(run, HISTORY[0])
    for line in HISTORY[1:]:
        plugin.on_epoch_end(run)
        add_history(run, line)
    if result is not None:
        (run.report / "curves.png").write_bytes(b"a picture")
        (run.directory / "result.json").write_text(json.dumps(result))
    run.status = status  # type: ignore[assignment]
    plugin.on_fit_end(run)


def client_of(uri: str) -> MlflowClient:
    from mlflow.client import MlflowClient

    return MlflowClient(tracking_uri=uri)


def mirrored(run: Run) -> tuple[MlflowClient, MlflowRun]:
    facts = run.notes["mlflow"]
    client = client_of(facts["tracking_uri"])
    return client, client.get_run(facts["run_id"])


def points(client: MlflowClient, run: MlflowRun, name: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_everything_in_the_run_directory_arrives(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = begin(root, "complete")
    train(Mlflow(), run)

    client, found = mirrored(run)
    assert (found.info.run_name, found.info.status) == ("complete", "FINISHED")
    assert found.data.params == {
        **{"model.name": "lenet", "model.args.width": "2", "epochs": "2", "plugins": '[{"name": "mlflow"}]'}
    }
    tags = {"data": "mnist", "data_digest": "ab12", "run_dir": str(run.directory), "stop_reason": ""}
    assert tags.items() <= found.data.tags.items()
    assert points(client, found, "val_loss")[:2] == [(50, 0.9), (100, 0.7)]
    assert math.isnan(points(client, found, "val_loss")[2][1])
    assert points(client, found, "loss") == [(100, 0.8), (200, 0.5)]
    assert points(client, found, "learning_rate") == [(100, 2e-3), (200, 1e-3)]
    assert points(client, found, "test_accuracy") == [(200, 0.98)]
    assert set(found.data.metrics) == {
        *("epoch", "loss", "val_loss", "learning_rate", "seconds"),
        *("best_epoch", "best_step", "best_val_loss", "data_train", "data_val", "data_test", "epochs", "steps"),
        *("params_count", "test_loss", "test_accuracy", "time_steps", "time_plugins.plots"),
        *("train_seconds", "wall_seconds"),
    }
    copy = Path(client.download_artifacts(found.info.run_id, "", str(tmp_path)))
    files = {str(path.relative_to(copy)): path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    assert set(files) == {"config.toml", "history.jsonl", "result.json", "report/curves.png"}
    assert run.directory is not None
    assert all(content == (run.directory / name).read_bytes() for name, content in files.items())
    assert warnings_of(caplog) == []


@pytest.mark.parametrize(("status", "word"), [("failed", "FAILED"), ("interrupted", "KILLED")])
def test_a_run_without_a_result_ends_in_its_own_status(root: Path, status: str, word: str) -> None:
    run = begin(root, status, stop_reason="the loss is not finite")
    train(Mlflow(), run, status, result=None)

    client, found = mirrored(run)
    assert found.info.status == word
    assert found.data.tags["stop_reason"] == "the loss is not finite"
    assert points(client, found, "loss") == [(100, 0.8), (200, 0.5)]


def test_history_arrives_while_the_run_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_module, "POLL_SECONDS", 0.05)
    run, plugin = begin(root, "live"), Mlflow()
    plugin.on_fit_start(run)
    add_history(run, HISTORY[1])
    deadline = time.monotonic() + 20
    seen: list[tuple[int, float]] = []
    while not seen and time.monotonic() < deadline:
        time.sleep(0.05)
        plugin.on_epoch_end(run)
        seen = points(*mirrored(run), "loss") if run.notes else []

    assert seen == [(100, 0.8)]
    assert mirrored(run)[1].info.status == "RUNNING"
    plugin.on_fit_end(run)


def test_two_thousand_points_and_awkward_values_arrive(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = {"text": "x" * 7000, "nothing": None, "odd key!": True, **{f"p{i}": i for i in range(150)}}
    run, plugin = begin(root, "awkward", config=config), Mlflow()
    plugin.on_fit_start(run)
    add_history(run, *({"kind": "epoch", "epoch": i, "step": i, "f1@50%": i / 2} for i in range(1, 1001)))
    add_history(run, {"kind": "epoch", "epoch": 1001, "step": 1001, "done": True, "loss": None, "up": math.inf})
    run.status = "done"
    plugin.on_fit_end(run)

    client, found = mirrored(run)
    assert found.data.params["text"] == "x" * 6000
    assert (found.data.params["nothing"], found.data.params["odd key_"]) == ("None", "True")
    assert len(found.data.params) == 153
    assert points(client, found, "f1_50_") == [(i, i / 2) for i in range(1, 1001)]
    assert set(found.data.metrics) == {"epoch", "f1_50_", "up"}
    assert warnings_of(caplog) == []


def test_the_store_lies_in_the_run_root_whatever_the_current_directory_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = begin(root, "elsewhere")
    train(Mlflow(), run)

    client, found = mirrored(run)
    assert run.notes["mlflow"]["tracking_uri"] == f"sqlite:///{root}/mlflow.db"
    assert client.get_experiment(found.info.experiment_id).name == "inkwell"
    assert list((root / "mlartifacts").rglob("result.json"))
    assert list(tmp_path.iterdir()) == []


def test_an_argument_beats_the_environment_which_beats_the_run_root(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////dev/null/environment/mlflow.db")
    plugin, run = Mlflow(tracking_uri=f"sqlite:///{root}/mlflow.db", experiment="mine"), begin(tmp_path, "argument")
    train(plugin, run)
    client, found = mirrored(run)
    assert client.get_experiment(found.info.experiment_id).name == "mine"
    assert not (tmp_path / "mlflow.db").exists()

    train(Mlflow(), begin(tmp_path, "environment"))
    assert len(warnings_of(caplog)) == 1
    assert "/dev/null/environment" in warnings_of(caplog)[0]


def test_processes_that_start_together_share_one_new_store(tmp_path: Path) -> None:
    runs = [begin(tmp_path, f"run{i}") for i in range(4)]
    script = (
        "import sys; from pathlib import Path; from plugins.mlflow import Mlflow; from trainer.run import Run\n"
        "run, plugin = Run(name=sys.argv[1], directory=Path(sys.argv[2])), Mlflow()\n"
        "plugin.on_fit_start(run); run.status = 'done'; plugin.on_fit_end(run)"
    )
    processes = [python(script, run.name, str(run.directory)) for run in runs]

    assert [output(process) for process in processes] == [("", "")] * 4
    client = client_of(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'inkwell'")
    found = client.search_runs([experiment.experiment_id])
    assert {(run.info.run_name, run.info.status) for run in found} == {(run.name, "FINISHED") for run in runs}


def test_a_closed_port_costs_one_warning(
    tmp_path: Path, closed_port: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    start = time.monotonic()
    run = begin(tmp_path, "closed")
    train(Mlflow(tracking_uri=closed_port), run)

    assert time.monotonic() - start < 15
    assert run.notes == {}
    (warning,) = warnings_of(caplog)
    assert warning.startswith(f"mlflow: {closed_port}: ")
    assert warning.endswith("Connection refused; the run directory has everything")
    assert capfd.readouterr().err == ""


def test_a_server_that_never_answers_costs_the_exit_time_and_one_warning(
    tmp_path: Path, silent_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    plugin, run = Mlflow(tracking_uri=silent_server, exit_seconds=1.0), begin(tmp_path, "silent")
    start = time.monotonic()
    plugin.on_fit_start(run)
    for _ in range(1000):
        plugin.on_epoch_end(run)
    assert time.monotonic() - start < 0.5
    plugin.on_fit_end(run)

    assert time.monotonic() - start < 5
    assert warnings_of(caplog) == [f"mlflow: {silent_server}: not done within 1 s; the run directory has everything"]


def test_a_failure_found_during_training_is_told_once_and_not_waited_for(
    tmp_path: Path, silent_server: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    plugin, run = Mlflow(tracking_uri=silent_server), begin(tmp_path, "silent")
    plugin.on_fit_start(run)
    deadline = time.monotonic() + 20
    while not caplog.records and time.monotonic() < deadline:
        time.sleep(0.05)
        plugin.on_epoch_end(run)
    start = time.monotonic()
    plugin.on_epoch_end(run)
    plugin.on_fit_end(run)

    assert time.monotonic() - start < 0.5
    assert warnings_of(caplog) == [f"mlflow: {silent_server}: timed out; the run directory has everything"]


def test_a_process_leaves_a_hung_server_behind(tmp_path: Path, silent_server: str) -> None:
    begin(tmp_path, "left")
    script = (
        "import sys; from pathlib import Path; from plugins.mlflow import Mlflow; from trainer.run import Run\n"
        "run, plugin = Run(directory=Path(sys.argv[1])), Mlflow(tracking_uri=sys.argv[2], exit_seconds=1)\n"
        "plugin.on_fit_start(run); run.status = 'done'; plugin.on_fit_end(run)"
    )
    start = time.monotonic()
    process = python(script, str(tmp_path / "left"), silent_server)
    _, errors = output(process)

    assert time.monotonic() - start < 8
    assert process.returncode == 0
    assert errors == f"mlflow: {silent_server}: not done within 1 s; the run directory has everything\n"


@pytest.mark.parametrize("uri", ["nowhere://x", "sqlite:////dev/null/x/mlflow.db", "./mlruns"])
def test_a_store_that_cannot_be_opened_costs_one_warning(
    tmp_path: Path, uri: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = begin(tmp_path, "wrong")
    train(Mlflow(tracking_uri=uri), run)

    (warning,) = warnings_of(caplog)
    assert warning.startswith(f"mlflow: {uri}: ")
    assert warning.endswith("; the run directory has everything")
    assert run.notes == {}


def test_a_full_disk_costs_one_warning(tmp_path: Path) -> None:
    begin(tmp_path, "full")
    script = (
        "import resource, sys; from pathlib import Path; from plugins.mlflow import Mlflow\n"
        "from trainer.run import Run; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "run, plugin = Run(directory=Path(sys.argv[1])), Mlflow(exit_seconds=30)\n"
        "plugin.on_fit_start(run); run.status = 'done'; plugin.on_fit_end(run)"
    )
    process = python(script, str(tmp_path / "full"))
    _, errors = output(process)

    assert process.returncode == 0
    assert errors.count("\n") == 1
    assert errors.startswith("mlflow: sqlite:")


@pytest.mark.parametrize("scheme", ["http", "nowhere"])
def test_a_password_is_not_written_down(
    tmp_path: Path, closed_port: str, caplog: pytest.LogCaptureFixture, scheme: str
) -> None:
    address = closed_port.removeprefix("http://")
    train(Mlflow(tracking_uri=f"{scheme}://me:secret@{address}"), begin(tmp_path, "secret"))
    (warning,) = warnings_of(caplog)
    assert f"{scheme}://me:***@{address}" in warning
    assert "secret" not in warning


def test_a_run_without_a_directory_is_not_mirrored(caplog: pytest.LogCaptureFixture) -> None:
    plugin, run = Mlflow(), Run()
    plugin.on_fit_start(run)
    plugin.on_epoch_end(run)
    plugin.on_fit_end(run)
    assert (run.notes, warnings_of(caplog)) == ({}, [])


def test_importing_the_plugin_loads_neither_mlflow_nor_tensorflow() -> None:
    process = python("import sys, plugins.mlflow; print({'mlflow', 'tensorflow', 'keras'} & set(sys.modules))")
    assert output(process) == ("set()\n", "")


def test_a_line_that_is_still_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "history.jsonl")
    assert journal.read() == []
    journal.path.write_text('{"step": 1}\n{"step": 2')
    assert journal.read() == [{"step": 1}]
    assert journal.read() == []
    with journal.path.open("a") as file:
        file.write('2, "loss": NaN}\n')
    (line,) = journal.read()
    assert line["step"] == 22
    assert math.isnan(line["loss"])


def test_the_command_that_shows_a_run_is_quoted(tmp_path: Path) -> None:
    assert ui_command(tmp_path) is None
    facts = {"run_id": "1", "experiment_id": "1", "tracking_uri": "sqlite:////a b/mlflow.db"}
    (tmp_path / "run.json").write_text(json.dumps({"status": "done", "mlflow": facts}))
    assert ui_command(tmp_path) == "mlflow ui --backend-store-uri 'sqlite:////a b/mlflow.db'"
    (tmp_path / "run.json").write_text(json.dumps({"mlflow": {**facts, "tracking_uri": "http://server:5000"}}))
    assert ui_command(tmp_path) is None
    (tmp_path / "run.json").write_text('{"status": "done"}')
    assert ui_command(tmp_path) is None


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a Python that finds this repository."""
    here = str(Path(__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": here},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for a process, within a minute, and return what it wrote to stdout and stderr."""
    try:
        return process.communicate(timeout=60)
    finally:
        process.kill()
