"""Does a channel that MLflow refuses or cannot store stop any other? Real servers, one with unreachable artifacts."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Done, run_script
from mlflow_stores import QUIET, Gate, assert_complete, client_of, expected, free_port, mirrored, serving

from plugins.mlflow.destination import Destination
from plugins.mlflow.mirror import Incomplete, Mirror, missing
from plugins.mlflow.state import Settings, State
from plugins.mlflow.store import Store
from trainer.checkpoint import LAYOUT
from trainer.runs.process import this_process

pytestmark = [
    pytest.mark.slow,
    # raised and suppressed by MLflow itself while it is imported
    pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType:UserWarning"),
]


@dataclass
class Server:
    """An MLflow server, also behind a proxy, whose clients are told to store files in a folder on their own machine."""

    uri: str
    files: Path
    gate: Gate


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("channels"), free_port()
    files, gate = folder / "files", Gate(port)
    with pytest.MonkeyPatch.context() as patch, serving(folder, port, files.as_uri()), gate.opened():
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        yield Server(f"http://127.0.0.1:{port}", files, gate)


def channels_missing(run_dir: Path, ended: str = "done", **settings: bool) -> list[str]:
    state = State.read(run_dir)
    assert state is not None
    return missing(run_dir, state, Settings(**settings), ended)


# Unreachable artifacts


def fit(folder: Path, tiny: Path, uri: str, *flags: str) -> Done:
    data = ("--data", str(tiny), "--model", "mlp", "--epochs", "1", "--batch-size", "32", "--run-dir", "runs/r")
    return run_script(folder, "fit.py", *data, *QUIET, *flags, "--plugin", f"mlflow:tracking_uri={uri}")


def test_files_out_of_reach_cost_one_warning_and_arrive_alone_when_the_place_is_back(server, tiny, tmp_path):
    server.files.write_text("in the way")
    done = fit(tmp_path, tiny, server.uri)
    run_dir = tmp_path / "runs" / "r"
    assert done.returncode == 0
    (said,) = [line for line in done.stderr.splitlines() if "mlflow" in line]
    assert said.startswith(f"warning: mlflow: {server.uri}: cannot send files, model: ")
    assert "what MLflow is missing (files, model) is in the run directory; to send it: python scripts/mlflow" in said

    found = mirrored(server.uri, run_dir)
    assert set(expected(run_dir)) <= set(found["points"])
    assert (found["status"], found["params"]["model.name"], found["artifacts"]) == ("FINISHED", "mlp", [])
    assert channels_missing(run_dir) == ["files", "model"]

    server.files.unlink()
    _, _, *arguments = shlex.split(said.partition("to send it: ")[2])
    again = run_script(tmp_path, "mlflow_sync.py", *arguments)
    assert (again.returncode, again.stdout, again.stderr) == (0, f"{run_dir}: sent\n", "")
    after = mirrored(server.uri, run_dir)
    assert_complete(after, run_dir)
    assert [after[key] for key in ("points", "params", "end")] == [found[key] for key in ("points", "params", "end")]
    assert len(client_of(server.uri).search_logged_models([experiment_of(server, "inkwell")])) == 1
    assert channels_missing(run_dir) == []


def experiment_of(server: Server, name: str) -> str:
    found = client_of(server.uri).get_experiment_by_name(name)
    assert found is not None
    return str(found.experiment_id)


@pytest.mark.parametrize("place", ["s3://bucket/inkwell", "file:///proc/nope"])
def test_no_place_for_files_leaves_a_finished_run_with_all_its_numbers(server, tiny, tmp_path, place):
    name = f"keeps files in {place.partition(':')[0]}"
    client_of(server.uri).create_experiment(name, place)
    done = fit(tmp_path, tiny, server.uri, "--plugin", f'mlflow:log_model=false,experiment="{name}"')
    assert done.returncode == 0
    (said,) = [line for line in done.stderr.splitlines() if "mlflow" in line]
    assert f"{server.uri}: cannot send files: " in said
    assert "what MLflow is missing (files) is in the run directory" in said
    found = mirrored(server.uri, tmp_path / "runs" / "r", files=False)
    assert set(expected(tmp_path / "runs" / "r")) <= set(found["points"])
    assert found["status"] == "FINISHED"


# Any refused request


def begin(root: Path, name: str) -> Path:
    """Create the directory of a finished run without a model."""
    run_dir = root / "runs" / name
    run_dir.mkdir(parents=True)
    data = {"name": "mnist", "digest": "ab" * 32, "class_names": ["0"]}
    record = {"layout": LAYOUT, "id": str(run_dir), "started": "2026-01-01T00:00:00+0000", "data": data}
    ending = {"status": "done", "stop_reason": "long enough", "ended": 1767225700.5, "command": "fit.py"}
    (run_dir / "run.json").write_text(json.dumps({**record, **this_process(), **ending}))
    (run_dir / "config.toml").write_text('[data]\nname = "mnist"\n[training]\nseed = 7\n')
    lines = [{"kind": "epoch", "epoch": n, "step": n, "time": 1767225600 + n, "loss": 1 / n} for n in range(1, 4)]
    (run_dir / "history.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    result = {"steps": 3, "epochs": 3, "test": {"loss": 0.5, "accuracy": 0.75}}
    (run_dir / "result.json").write_text(json.dumps(result))
    return run_dir


def send(run_dir: Path, store: Store, settings: Settings) -> None:
    Mirror(run_dir, store, State.of(run_dir, store), settings).update("done")


@pytest.mark.parametrize(
    ("refused", "channel"),
    [
        *(("training.seed", "parameters"), ("mlflow.note.content", "parameters")),
        *(("test/accuracy", "numbers"), ("runs/update", "status")),
    ],
)
def test_a_channel_that_is_refused_stops_no_other_and_is_sent_alone_later(server, tmp_path, refused, channel):
    gate = server.gate
    experiment = f"gated {tmp_path.name}"
    settings = Settings(Destination(experiment), log_model=False)
    client_of(server.uri).create_experiment(experiment, tmp_path.as_uri())
    run_dir = begin(tmp_path, channel)
    store = Store.at(gate.uri, tmp_path)
    gate.refused = {refused: 400}
    with pytest.raises(Incomplete, match=f"^cannot send {channel}: "):
        send(run_dir, store, settings)
    assert channels_missing(run_dir, log_model=False) == [channel]
    found = mirrored(server.uri, run_dir)
    assert (found["status"] == "FINISHED") == (channel != "status")
    assert ("training.seed" in found["params"]) == (refused != "training.seed")
    assert ("mlflow.note.content" in found["tags"]) == (channel != "parameters")
    assert (set(expected(run_dir)) <= set(found["points"])) == (channel != "numbers")
    assert len(found["artifacts"]) == 3

    gate.refused, gate.passed = {}, []
    send(run_dir, store, settings)
    assert_complete(mirrored(server.uri, run_dir), run_dir)
    assert channels_missing(run_dir, log_model=False) == []
    requests = [path.rpartition("/")[2] for path in gate.passed]
    assert {request for request in requests if request in ("log-batch", "log-inputs", "update")} == {
        "parameters": {"log-batch", "log-inputs"},
        "numbers": {"log-batch"},
        "status": {"update"},
    }[channel]
