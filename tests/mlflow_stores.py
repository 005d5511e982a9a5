"""Shared by the tests of the MLflow plugin: real servers, a proxy that can be closed, and the expected content."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import requests

from trainer.checkpoint import LAYOUT
from trainer.runs.process import this_process

if TYPE_CHECKING:
    from mlflow.client import MlflowClient

QUIET = ("--progress", "none", "--no-plugin", "report", "--augment", "none")
"""Flags of `fit.py` for a short run with MLflow."""
CLOCK = {"seconds", "images_per_second", "time"}
"""Keys of a history line that differ between runs."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def serving(folder: Path, port: int, artifacts: str = "", uri: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Run MLflow's server, and end it.

    Args:
        folder: Folder of its log and, by default, of its data.
        port: The port it listens on.
        artifacts: Address that clients are told to send files to; by default the server accepts them itself.
        uri: The store that it serves; by default a SQLite file in `folder`.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", uri or f"sqlite:///{folder}/server.db"]
    stores += (
        ["--no-serve-artifacts", "--default-artifact-root", artifacts]
        if artifacts
        else ["--artifacts-destination", f"{folder}/artifacts"]
    )
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen([*command, *stores], env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        until(lambda: answers(port), 300)
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a server and the workers that it started, which share a session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait(timeout=300)


def answers(port: int) -> bool:
    try:
        return bool(requests.get(f"http://127.0.0.1:{port}/health", timeout=2).ok)
    except requests.RequestException:
        return False


def until(condition: Any, seconds: float) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still waiting after {seconds} s"
        time.sleep(0.1)


class Door:
    """A port with a server behind it, as long as the door is open.

    Args:
        port: Port of the server.

    Attributes:
        guests: Number of connections since the mode was set.
    """

    def __init__(self, port: int) -> None:
        self.behind, self.port = port, free_port()
        self.guests = 0
        self.mode = "closed"
        self._listening: socket.socket | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def set(self, mode: str) -> None:
        """Make it `closed` (nobody listens), `silent` (never answers), `refusing` (401) or `open`."""
        self.mode, self.guests = mode, 0
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        if mode != "closed":
            self._listening = socket.create_server(("127.0.0.1", self.port), backlog=64)
            threading.Thread(target=self._listen, args=(self._listening, mode), daemon=True).start()

    def _listen(self, listening: socket.socket, mode: str) -> None:
        with ExitStack() as kept:
            while True:
                try:
                    guest, _ = listening.accept()
                except OSError:
                    return
                self.guests += 1
                if mode == "silent":
                    kept.enter_context(guest)
                elif mode == "refusing":
                    threading.Thread(target=refuse, args=(guest,), daemon=True).start()
                else:
                    threading.Thread(target=conduct, args=(guest, self.behind), daemon=True).start()


def refuse(guest: socket.socket) -> None:
    """Answer every request with 401, like a server that rejects the credentials."""
    with guest, suppress(OSError):
        guest.recv(1 << 20)
        guest.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 13\r\nConnection: close\r\n\r\nnot with those")


def conduct(guest: socket.socket, port: int) -> None:
    """Forward traffic between a guest and the server."""
    with guest, socket.create_connection(("127.0.0.1", port)) as host:
        back = threading.Thread(target=pass_on, args=(host, guest), daemon=True)
        back.start()
        pass_on(guest, host)
        back.join()


def pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)


class Gate(ThreadingHTTPServer):
    """A proxy that forwards requests to MLflow's server, except those that it refuses.

    Args:
        behind: Port of MLflow's server.

    Attributes:
        refused: Statuses for requests whose path or body contains a text, by that text.
        passed: Paths of the requests that were forwarded.
    """

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), Porter)
        self.behind = behind
        self.refused: dict[str, int] = {}
        self.passed: list[str] = []

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        with self:
            thread.start()
            try:
                yield
            finally:
                self.shutdown()
                thread.join(300)


class Porter(BaseHTTPRequestHandler):
    """Answers one request to a `Gate`."""

    server: Gate

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        for text, status in self.server.refused.items():
            if text in self.path or text.encode() in body:
                return self._answer(status, b"")
        self.server.passed.append(self.path)
        headers = {"Content-Type": self.headers.get("Content-Type", "")}
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://127.0.0.1:{self.server.behind}{self.path}"
            answer = session.request(self.command, url, data=body, headers=headers, timeout=300)
        self._answer(answer.status_code, answer.content)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815  (names that http.server looks for)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def begin(root: Path, name: str, **changes: Any) -> Path:
    """Create a run directory whose process is gone."""
    run_dir = root / name
    (run_dir / "report").mkdir(parents=True)
    (run_dir / "report" / "curves.svg").write_bytes(b"a picture")
    (run_dir / "config.toml").write_text('[data]\nname = "mnist"\n[training]\nseed = 7\n')
    (run_dir / "history.jsonl").touch()
    data = {"name": "mnist", "digest": "ab" * 32, "train": 100, "input_shape": [28, 28, 1], "class_names": ["0"]}
    record = {
        "layout": LAYOUT,
        "id": f"{root}/{name}",
        "started": "2026-01-01T00:00:00+0000",
        "command": "fit.py --epochs 2",
        "data": data,
    }
    ending = {"status": "done", "stop_reason": "", "ended": 1767225700.5}
    (run_dir / "run.json").write_text(json.dumps({**record, **this_process(), **ending, **changes}))
    return run_dir


def client_of(uri: str) -> MlflowClient:
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
    from mlflow.client import MlflowClient

    return MlflowClient(tracking_uri=uri)


def lines_of(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "history.jsonl").read_text().splitlines()]


def expected(run_dir: Path) -> list[tuple[str, int, float, int]]:
    """Return the points of a run's history and the main ones of its result: name, step, value, milliseconds."""
    found = []
    lines = lines_of(run_dir)
    for line in lines:
        for name in line.keys() - {"kind", "step", "time"} - ({"epoch"} if line["kind"] == "batch" else set()):
            grouped = f"time/{name}" if name in CLOCK else name
            found.append((grouped, line["step"], float(line[name]), int(line["time"] * 1000)))
    if (run_dir / "result.json").exists():
        result = json.loads((run_dir / "result.json").read_text())
        last = int(lines[-1]["time"] * 1000)
        found += [(f"test/{name}", result["steps"], result["test"][name], last) for name in ("accuracy", "loss")]
    return found


def mirrored(uri: str, run_dir: Path, files: bool = True) -> dict[str, Any]:
    """Return everything that MLflow has of a run, which must be a single run; files only where they are reachable."""
    client = client_of(uri)
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    identity = json.loads((run_dir / "run.json").read_text())["id"]
    (run,) = client.search_runs(ids, f"tags.`inkwell.id` = '{identity}'")
    histories = [metric for name in run.data.metrics for metric in client.get_metric_history(run.info.run_id, name)]
    rows = sorted((metric.key, metric.step, metric.value, metric.timestamp) for metric in histories)
    return {
        **{"id": run.info.run_id, "experiment": run.info.experiment_id},
        **{"status": run.info.status, "end": run.info.end_time, "params": run.data.params},
        **{"tags": run.data.tags, "points": rows},
        "artifacts": sorted(artifacts(client, run.info.run_id)) if files else None,
        "datasets": [(found.dataset.name, found.dataset.digest) for found in run.inputs.dataset_inputs],
    }


def artifacts(client: MlflowClient, run_id: str, folder: str = "") -> Iterator[tuple[str, int]]:
    for entry in client.list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from artifacts(client, run_id, entry.path)
        else:
            yield entry.path, entry.file_size


def assert_complete(found: dict[str, Any], run_dir: Path, status: str = "FINISHED") -> None:
    """Assert that every point, parameter, tag and artifact of a run directory has arrived exactly once."""
    record = json.loads((run_dir / "run.json").read_text())
    steps = [row[:2] for row in found["points"] if not row[0].startswith("system/")]
    assert len(steps) == len(set(steps))
    assert set(expected(run_dir)) <= set(found["points"])
    names = {name for name, *_ in expected(run_dir) if not name.startswith("test/")}
    of_history = [row for row in found["points"] if row[0] in names]
    assert len(of_history) == len([row for row in expected(run_dir) if row[0] in names])
    assert found["status"] == status
    assert abs(found["end"] / 1000 - (record["ended"] or lines_of(run_dir)[-1]["time"])) < 0.01
    config = tomllib.loads((run_dir / "config.toml").read_text())
    assert found["params"]["training.seed"] == str(config["training"]["seed"])
    assert found["params"]["data.name"] == config["data"]["name"]
    tags = {"run_dir": str(run_dir), "data_digest": record["data"]["digest"], "command": record["command"]}
    assert (tags | {"stop_reason": record["stop_reason"]}).items() <= found["tags"].items()
    assert found["datasets"] == [(record["data"]["name"], record["data"]["digest"][:36])]
    files = [path for path in run_dir.rglob("*") if path.name in ("config.toml", "history.jsonl", "result.json")]
    files += [path for path in (run_dir / "report").rglob("*") if path.is_file()]
    assert found["artifacts"] == sorted((str(path.relative_to(run_dir)), path.stat().st_size) for path in files)


def weights(run_dir: Path) -> dict[str, np.ndarray]:
    """Return the variables of the last checkpoint."""
    last = run_dir / "checkpoints" / (run_dir / "checkpoints" / "last").read_text().strip()
    with np.load(last / "state.npz") as file:
        return {name: file[name] for name in file.files}


def assert_same_run(run_dir: Path, other: Path) -> None:
    """Assert that two runs have the same weights, bit for bit, and the same history except for the clock."""
    one, two = weights(run_dir), weights(other)
    assert one.keys() == two.keys()
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)
    alike = [[{k: v for k, v in line.items() if k not in CLOCK} for line in lines_of(d)] for d in (run_dir, other)]
    assert alike[0] == alike[1]
    assert all(math.isfinite(line["time"]) for line in lines_of(run_dir))
