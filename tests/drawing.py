"""Shared by the tests of the page: its server and a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still waiting after {seconds} s"
        time.sleep(0.05)


@dataclass(frozen=True)
class Server:
    """A running `draw.py`.

    Attributes:
        process: Its process.
        port: The port it listens on.
        log: The file with its stderr.
        said: Its stdout: one address per line.
    """

    process: subprocess.Popen[str]
    port: int
    log: Path
    said: str

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def urls(self) -> list[str]:
        return re.findall(r"http://\S+", self.said)

    @property
    def token(self) -> str:
        return self.urls[0].partition("?token=")[2]

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return the status and JSON of an answer, which must be one line of JSON."""
        status, _, text = self.ask(method, path, body, **headers)
        assert "\n" not in text
        return status, json.loads(text)

    def ask(
        self, method: str, path: str, body: Any = None, to: str = "127.0.0.1", by: str = "", **headers: str
    ) -> tuple[int, Message, str]:
        """Return status, headers and text of the answer to a request between given addresses."""
        connection = HTTPConnection(to, self.port, timeout=300, source_address=(by, 0) if by else None)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def state(self) -> str:
        return str(self.request("GET", "/status")[1]["state"])

    def stop(self) -> int:
        """Press Ctrl-C; return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=300)


WAITS = """
import sys

if "scripts.page.worker" in sys.orig_argv:
    sys.stdin.buffer.read()
    sys.exit()
"""
"""Is imported by every Python process at its start: the one that reads pictures waits for the end of `draw.py`."""


@contextmanager
def loading(folder: Path, *arguments: str | Path) -> Iterator[Server]:
    """Run `draw.py` with a model that loads forever, for all that needs none, and end it."""
    (folder / "sitecustomize.py").write_text(WAITS)
    (folder / "spec.json").write_text("{}")
    with serving(folder, "--recognizer", folder, *arguments, PYTHONPATH=str(folder)) as server:
        yield server


@contextmanager
def serving(folder: Path, *arguments: str | Path, **env: str) -> Iterator[Server]:
    """Run `draw.py` in a folder, with some more environment variables, and end it."""
    command = [sys.executable, str(ROOT / "scripts" / "draw.py"), "--port", "0", *map(str, arguments)]
    with (folder / "draw.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **env}
        )
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            while "token" in said and "//127.0.0.1:" not in said:  # this address comes last, after the network's
                said += process.stdout.readline()
            found = re.search(r"http://\S+:(\d+)/", said)
            assert found, Path(log.name).read_text()
            yield Server(process, int(found[1]), Path(log.name), said)
        finally:
            process.kill()
            process.communicate(timeout=300)


@contextmanager
def chromium() -> Iterator[Any]:
    """Run the system's Chromium, headless; the test is skipped without it or without playwright."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no Chromium here: none of {', '.join(names)} is on the path")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()
