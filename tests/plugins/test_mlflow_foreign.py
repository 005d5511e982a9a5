"""Can somebody else's run directory cause anything to be sent to their address, or expose a file of the user's?

Their run is sound, but its `mlflow.json` names their server, and a run and a model of the user's. The user has a token
for another server, which MLflow's client would send along with each request.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Done, make_images, run_script
from mlflow_stores import QUIET, client_of, expected, mirrored
from PIL import Image

from plugins.mlflow.state import Settings, State

pytestmark = pytest.mark.slow
SECRET = "the user's secret"
TOKEN = {"MLFLOW_TRACKING_TOKEN": "the user's token", "MLFLOW_TRACKING_URI": ""}
SHORT = ("--model", "mlp", "--epochs", "1", "--batch-size", "32")


class Theirs(ThreadingHTTPServer):
    """Their server, which records every request and accepts everything."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Agreeing)
        self.asked: list[str] = []

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Agreeing(BaseHTTPRequestHandler):
    server: Theirs

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path} {self.headers.get('Authorization')}")
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815  (names that http.server looks for)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def theirs() -> Iterator[Theirs]:
    with Theirs() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(300)


@contextmanager
def nothing_asked(theirs: Theirs) -> Iterator[None]:
    """Assert that their server gets no request within the block."""
    theirs.asked.clear()
    yield
    assert theirs.asked == []


def run(folder: Path, script: str, *arguments: str) -> Done:
    done = run_script(folder, script, *arguments, env=TOKEN)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def fit(folder: Path, tiny: Path, *flags: str) -> Done:
    return run(folder, "fit.py", "--data", str(tiny), *SHORT, *QUIET, *flags)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A folder with a run of the user's, mirrored in the store next to it, and a run of theirs."""
    folder = tmp_path_factory.mktemp("original")
    done = fit(folder, tiny, "--plugin", "mlflow:log_model=false", "--run-dir", "runs/victim")
    assert done.returncode == 0, done.stderr
    done = fit(folder, tiny, "--no-plugin", "mlflow", "--run-dir", "away/theirs")
    assert done.returncode == 0, done.stderr
    (folder / "away" / "theirs").rename(folder / "runs" / "theirs")
    config = folder / "runs" / "theirs" / "config.toml"
    config.write_text(config.read_text() + "\n[plugins.mlflow]\n")
    Image.fromarray(make_images(1).images[0, :, :, 0]).save(folder / "digit.png")
    (folder / "secret").write_text(SECRET)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path, theirs: Theirs) -> Path:
    """A copy of the folder in which their run names their server."""
    folder = tmp_path / "work"
    shutil.copytree(original, folder)
    claim(folder, tracking_uri=theirs.uri)
    return folder


def claim(folder: Path, **claims: Any) -> None:
    """Make their directory claim to be mirrored in the user's own run, and anything else given."""
    victim = State.read(folder / "runs" / "victim")
    assert victim is not None
    destination = {"experiment": "theirs", "experiment_id": "0", "run_id": victim.run_id}
    settings = {"destination": destination, "parent": "theirs", "register": "digits"}
    state = {"settings": settings, "run_id": victim.run_id, "experiment_id": victim.experiment_id, **claims}
    (folder / "runs" / "theirs" / "mlflow.json").write_text(json.dumps(state))


COMMANDS: dict[str, tuple[tuple[str, ...], int]] = {
    "resume": (("fit.py", "--resume", "runs/theirs", "--epochs", "2"), 0),
    "done": (("fit.py", "--resume", "runs/theirs"), 0),
    "dry-run": (("fit.py", "--resume", "runs/theirs", "--epochs", "2", "--dry-run"), 0),
    "print-config": (("fit.py", "--config", "runs/theirs/config.toml", "--print-config"), 0),
    "config": (("fit.py", "--config", "runs/theirs/config.toml", "--run-dir", "runs/new"), 0),
    "sync": (("mlflow_sync.py",), 0),
    "sync-it": (("mlflow_sync.py", "runs/theirs"), 2),
    "predict": (("predict.py", "digit.png", "--run", "runs/theirs"), 0),
    "evaluate": (("evaluate.py", "runs/theirs"), 0),
    "report": (("report.py", "runs/theirs"), 0),
    "export": (("export.py", "--run", "runs/theirs", "--format", "keras", "exported"), 0),
    "ensemble": (("ensemble.py", "runs/theirs", "runs/victim", "--run-dir", "runs/both"), 0),
    "runs": (("runs.py",), 0),
    "promote": (("promote.py", "digits"), 2),
}


def test_the_next_run_beside_theirs_asks_nothing_of_their_server(folder, tiny, theirs):
    with nothing_asked(theirs):
        done = fit(folder, tiny, "--plugin", "mlflow:log_model=false", "--run-dir", "runs/mine")
    assert done.returncode == 0
    assert "mlflow" not in done.stderr
    uri = f"sqlite:///{folder}/runs/mlflow.db"
    assert mirrored(uri, folder / "runs" / "mine")["status"] == "FINISHED"
    assert "  MLflow     mlflow ui --backend-store-uri sqlite:///runs/mlflow.db\n" in done.stdout
    client = client_of(uri)
    assert [found.name for found in client.search_experiments()] == ["inkwell", "Default"]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_asks_anything_of_their_server(folder, theirs, command):
    (script, *arguments), status = COMMANDS[command]
    with nothing_asked(theirs):
        done = run(folder, script, *arguments)
    assert done.returncode == status, done.stderr
    assert theirs.uri not in done.stdout
    assert (theirs.uri in done.stderr) == command.startswith("sync")  # which names the address and how to trust it


def test_a_sync_of_theirs_is_refused_in_one_line_until_the_user_names_their_server(folder, theirs):
    own = f"sqlite:///{folder}/runs/mlflow.db"
    refusal = (
        f"cannot send runs/theirs: its mlflow.json names a different store than yours, {theirs.uri}; "
        f"add --uri {theirs.uri} if you trust that one, or --uri {own} to send the run to yours\n"
    )
    assert run(folder, "mlflow_sync.py", "runs/theirs").stderr == f"mlflow_sync.py: error: {refusal}"
    passed = run(folder, "mlflow_sync.py")
    assert passed.stderr == f"mlflow_sync.py: skipped: {refusal}"
    assert passed.stdout == f"nothing to send: {own} has every finished run under runs that uses the plugin mlflow\n"
    theirs.asked.clear()
    assert run(folder, "mlflow_sync.py", "runs/theirs", "--uri", theirs.uri).returncode == 1  # it is no MLflow server
    assert theirs.asked != []


def test_theirs_sent_to_the_own_store_touches_no_run_and_no_model_of_the_users(folder, theirs):
    claim(folder, tracking_uri="")
    uri, victim = f"sqlite:///{folder}/runs/mlflow.db", folder / "runs" / "victim"
    before = mirrored(uri, victim)
    with nothing_asked(theirs):
        done = run(folder, "mlflow_sync.py", "runs/theirs")
    assert (done.returncode, done.stdout) == (0, "runs/theirs: sent\n")
    assert done.stderr == (
        "mlflow_sync.py: runs/theirs: its model is not registered; to register it, add --register digits\n"
    )
    assert mirrored(uri, victim) == before
    found = mirrored(uri, folder / "runs" / "theirs")
    assert found["id"] != before["id"]
    assert set(expected(folder / "runs" / "theirs")) <= set(found["points"])
    assert client_of(uri).search_registered_models() == []
    assert run(folder, "mlflow_sync.py", "runs/theirs", "--register", "digits").returncode == 0
    assert [model.name for model in client_of(uri).search_registered_models()] == ["digits"]


@pytest.mark.parametrize("command", ["config", "resume"])
def test_an_address_in_their_configuration_is_refused(folder, theirs, command):
    config = folder / "runs" / "theirs" / "config.toml"
    config.write_text(config.read_text() + f'tracking_uri = "{theirs.uri}"\n')
    (script, *arguments), _ = COMMANDS[command]
    with nothing_asked(theirs):
        done = run(folder, script, *arguments)
    assert done.returncode == 2
    assert theirs.uri in done.stderr


# Links out of the run


def link_report_file(run_dir: Path, secret: Path) -> None:
    (run_dir / "report").mkdir(exist_ok=True)
    (run_dir / "report" / "curves.svg").symlink_to(secret)


def link_report(run_dir: Path, secret: Path) -> None:
    shutil.rmtree(run_dir / "report", ignore_errors=True)
    (run_dir / "report").symlink_to(secret.parent)


def link_config(run_dir: Path, secret: Path) -> None:
    (run_dir / "config.toml").unlink()
    (run_dir / "config.toml").symlink_to(secret)


LINKS = {"report/curves.svg": link_report_file, "report": link_report, "config.toml": link_config}
READERS = ("resume", "dry-run", "sync-it", "predict", "evaluate", "report", "export", "ensemble")


def assert_nowhere(folder: Path) -> None:
    """Assert that the secret is in no file but its own."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name != "secret" and "link" not in path.parts:
            assert SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("command", "link"),
    [
        *((command, "report/curves.svg") for command in READERS),
        *(("predict", link) for link in LINKS if "/" not in link),
    ],
)
def test_every_command_refuses_a_run_with_a_link_out_of_it(folder, theirs, command, link):
    claim(folder, tracking_uri="")
    LINKS[link](folder / "runs" / "theirs", folder / "secret")
    before = sorted(path.name for path in folder.iterdir())
    (script, *arguments), _ = COMMANDS[command]
    with nothing_asked(theirs):
        done = run(folder, script, *arguments)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert f"cannot read runs/theirs: {link} is a link that leads out of it; " in said
    assert sorted(path.name for path in folder.iterdir()) == before
    assert_nowhere(folder)


@pytest.mark.parametrize("link", LINKS)
def test_the_next_run_beside_one_with_a_link_sends_nothing_of_it(folder, tiny, link: str):
    claim(folder, tracking_uri="")
    LINKS[link](folder / "runs" / "theirs", folder / "secret")
    assert fit(folder, tiny, "--plugin", "mlflow:log_model=false", "--run-dir", "runs/mine").returncode == 0
    assert_nowhere(folder)


# Their store


def test_a_store_in_their_run_root_gets_no_file_sent_to_their_server(folder, tiny, theirs):
    with closing(sqlite3.connect(folder / "runs" / "mlflow.db", isolation_level=None)) as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (f"{theirs.uri}/files",))
    with nothing_asked(theirs):
        done = fit(folder, tiny, "--run-dir", "runs/mine")
    assert done.returncode == 0
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("warning: mlflow")]
    assert f"cannot send files, model: {folder}/runs/mlflow.db keeps files at {theirs.uri}/files/" in said
    uri = f"sqlite:///{folder}/runs/mlflow.db"
    assert mirrored(uri, folder / "runs" / "mine", files=False)["status"] == "FINISHED"


def test_nor_does_a_model_of_a_run_that_was_there_before_they_changed_it(folder, theirs):
    uri, victim = f"sqlite:///{folder}/runs/mlflow.db", folder / "runs" / "victim"
    with closing(sqlite3.connect(folder / "runs" / "mlflow.db", isolation_level=None)) as connection:
        moved = connection.execute("SELECT artifact_uri FROM runs").fetchone()[0]
        connection.execute("UPDATE experiments SET artifact_location = ? WHERE name = 'inkwell'", (theirs.uri,))
    assert moved.startswith("file://")
    state = State.read(victim)
    assert state is not None
    replace(state, settings=Settings()).write(victim)
    with nothing_asked(theirs):
        done = run(folder, "mlflow_sync.py", "runs/victim")
    assert done.returncode == 1
    assert f"runs/victim: cannot send model: {folder}/runs/mlflow.db keeps files at {theirs.uri}/" in done.stderr
    assert client_of(uri).search_logged_models(["1"]) == []
