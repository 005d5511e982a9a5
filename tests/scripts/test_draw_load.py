"""Are people answered while others attack the page in every way?"""

from __future__ import annotations

import asyncio
import io
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import uvicorn
from conftest import SILENT, run_script
from drawing import Server, serving, until
from PIL import Image, ImageDraw
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scripts.page import limits
from scripts.page.server import configured

ELSEWHERE = "127.0.0.2"
"""Another address of this machine, which is another client to the server."""

linux = pytest.mark.skipif(sys.platform != "linux", reason="all of 127.0.0.0/8 is this machine on Linux alone")


class Served:
    """An application that answers at once at `/`, and at `/later` when told to, served like the page."""

    def __init__(self) -> None:
        self.now = asyncio.Event()
        self.asked = asyncio.Event()
        routes = [Route("/", self.at_once), Route("/later", self.later)]
        self.server = uvicorn.Server(configured(Starlette(routes=routes)))

    async def at_once(self, request: Request) -> Response:
        return Response(b"hello " * 1000)

    async def later(self, request: Request) -> Response:
        self.asked.set()
        await self.now.wait()
        return Response(b"at last")

    @property
    def count(self) -> int:
        return len(self.server.server_state.connections)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        listener = socket.create_server(("127.0.0.1", 0))
        task = asyncio.create_task(self.server.serve([listener]))
        while not self.server.started:
            await asyncio.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            self.server.should_exit = True
            await task


@asynccontextmanager
async def connected(
    port: int, by: str = "127.0.0.1"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    with socket.socket() as ours:  # closed even if this is cancelled before there is a connection
        ours.setblocking(False)
        ours.bind((by, 0))
        await asyncio.get_running_loop().sock_connect(ours, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)  # lets the transport close


async def trickle(writer: asyncio.StreamWriter, content: bytes) -> None:
    """Send a byte now and then, and nothing more at the end."""
    for k in range(len(content)):
        writer.write(content[k : k + 1])
        await writer.drain()
        await asyncio.sleep(0.05)


def within(seconds: float, work: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(work, seconds)

    return asyncio.run(bounded())


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    ("at_once", "slowly"),
    [
        (b"", b""),
        (b"", GET.replace(b"localhost", b"l" * 10_000)),
        (GET, b"GET"),
        (GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 9999\r\n\r\n"), bytes(9999)),
        (b"nonsense\r\n\r\n", b""),
    ],
    ids=["nothing", "a head", "another head", "a body that nobody asked for", "nonsense"],
)
def test_who_keeps_the_page_waiting_loses_the_connection(monkeypatch, at_once, slowly):
    monkeypatch.setattr(limits, "CLIENT_SECONDS", 0.5)

    async def slow() -> None:
        served = Served()
        async with served.running() as port, connected(port) as (reader, writer):
            writer.write(at_once)
            sending = asyncio.create_task(trickle(writer, slowly))
            with suppress(ConnectionError):
                while await reader.read(65536):
                    pass
            sending.cancel()
            while served.count:
                await asyncio.sleep(0.01)

    within(300, slow())


def test_who_does_not_take_the_answers_loses_the_connection_and_bounded_memory(monkeypatch):
    monkeypatch.setattr(limits, "CLIENT_SECONDS", 0.5)

    async def greedy() -> None:
        served = Served()
        async with served.running() as port, connected(port) as (_, writer):
            writer.transport.pause_reading()
            writer.write(GET * 10_000)  # 60 MB of answers
            while served.server.server_state.total_requests == 0:
                await asyncio.sleep(0.01)
            while served.count:
                (connection,) = served.server.server_state.connections
                assert connection.transport.get_write_buffer_size() < 200_000
                await asyncio.sleep(0.01)
            assert served.server.server_state.total_requests < 10_000

    within(300, greedy())


@linux
def test_a_flood_costs_the_flooder_its_connections_and_nobody_else(monkeypatch):
    monkeypatch.setattr(limits, "CONNECTIONS", 10)

    async def flood() -> None:
        served = Served()
        async with served.running() as port, connected(port, ELSEWHERE) as (reader, writer):
            writer.write(GET.replace(b"GET /", b"GET /later"))  # the next move is not the page's
            await served.asked.wait()
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
            many = [await asyncio.open_connection("127.0.0.1", port, local_addr=(ELSEWHERE, 0)) for _ in range(40)]
            for k, (_, half) in enumerate(many):
                with suppress(ConnectionError):
                    half.write(GET[: k % 20])
            lost = [reading for reading, _ in many[:-5]]  # 10 minus the one being answered and the four
            for reading in lost:
                with suppress(ConnectionError):
                    assert await reading.read() == b""
            assert served.count == 10
            for reading, writing in idle:
                writing.write(GET)
                assert (await reading.readline()) == b"HTTP/1.1 200 OK\r\n"
            served.now.set()
            assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
            for _, each in [*idle, *many]:
                each.close()

    within(300, flood())


# The page itself, with a model


def picture(x: float) -> bytes:
    image = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(image).line([(280 * x, 56), (280 * x - 14, 224)], 0, 20)
    return encoded(image, "PNG")


def encoded(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


class Clients:
    """Well-behaved and hostile clients of a page."""

    def __init__(self, server: Server) -> None:
        self.port = server.port
        self.cookie = f"Cookie: inkwell-{server.port}={server.token}\r\n"
        self.done: dict[str, int] = {}

    def head(self, method: str, path: str, size: int | None = None, cookie: str | None = None) -> bytes:
        length = "Transfer-Encoding: chunked\r\n" if size is None else f"Content-Length: {size}\r\n"
        return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{cookie or self.cookie}{length}\r\n".encode()

    async def post(self, path: str, body: bytes, by: str, cookie: str | None = None) -> tuple[int, dict[str, Any]]:
        async with connected(self.port, by) as (reader, writer):
            writer.write(self.head("POST", path, len(body), cookie) + body)
            return await answer(reader)

    async def good(self, k: int, pictures: list[bytes], expected: list[Any], by: str) -> None:
        """Have two pictures read, retrying as the page does when asked to."""
        async with connected(self.port, by) as (reader, writer):
            for which in (turn % len(pictures) for turn in range(k, k + 2)):
                status = 503
                while status == 503:
                    writer.write(self.head("POST", "/read?importance", len(pictures[which])) + pictures[which])
                    status, said = await answer(reader)
                assert (status, said) == (200, expected[which])

    async def bad(self, name: str, by: str) -> None:
        """Repeat one action endlessly, whatever the answer."""
        way: Callable[[str], Awaitable[None]] = getattr(self, name)
        while True:
            with suppress(OSError, ValueError, EOFError):
                await way(by)
            self.done[name] = self.done.get(name, 0) + 1
            await asyncio.sleep(0.05)

    async def slow_head(self, by: str) -> None:
        async with connected(self.port, by) as (_, writer):
            await trickle(writer, self.head("GET", "/", 0))

    async def slow_body(self, by: str) -> None:
        async with connected(self.port, by) as (_, writer):
            writer.write(self.head("POST", "/read", 1_000_000))
            await trickle(writer, bytes(1_000_000))

    async def half_open(self, by: str) -> None:
        async with connected(self.port, by) as (reader, _):
            await reader.read()

    async def hog(self, by: str) -> None:
        async with connected(self.port, by) as (reader, writer):
            while True:
                writer.write(self.head("GET", "/status", 0))
                await answer(reader)
                await asyncio.sleep(1)

    async def large(self, by: str) -> None:
        await self.post("/read", LARGE, by)

    async def too_large(self, by: str) -> None:
        async with connected(self.port, by) as (_, writer):
            writer.write(self.head("POST", "/read"))
            for _ in range(300):
                writer.write(b"f4240\r\n" + bytes(1_000_000) + b"\r\n")
                await writer.drain()

    async def bomb(self, by: str) -> None:
        await self.post("/read", BOMB, by)

    async def greedy(self, by: str) -> None:
        async with connected(self.port, by) as (_, writer):
            writer.transport.pause_reading()
            writer.write(self.head("GET", "/page.css", 0) * 2000)
            await writer.drain()
            await asyncio.sleep(5)

    async def without_token(self, by: str) -> None:
        assert (await self.post("/read", LARGE[:1000], by, "Cookie: inkwell=no\r\n"))[0] == 403

    async def nonsense(self, by: str) -> None:
        async with connected(self.port, by) as (reader, writer):
            writer.write(b"\x16\x03\x01\x02\x00" * 5000)
            await reader.read()

    async def many(self, by: str) -> None:
        await self.post("/read", picture(0.3), by)


async def answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    size = next(int(line.split(":")[1]) for line in headers if line.lower().startswith("content-length:"))
    return int(status.split()[1]), json.loads(await reader.readexactly(size))


LARGE = np.random.default_rng(0).bytes(9_900_000)
BOMB = encoded(Image.new("L", (4900, 4900)), "PNG")
"""The largest picture that is decoded: 24 million black pixels in 23 kB."""

WAYS = {
    "slow_head": 100,
    "slow_body": 100,
    "half_open": 150,
    "hog": 50,
    "large": 8,
    "too_large": 2,
    "bomb": 5,
    "greedy": 20,
    "without_token": 5,
    "nonsense": 5,
    "many": 50,
}
"""Number of clients per behaviour, all active at the same time and without end."""


def peak(process: psutil.Process) -> int:
    """Return the peak memory of a process in bytes."""
    (line,) = [line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return 1024 * int(line.split()[1])


@linux
@pytest.mark.soak
def test_a_hundred_users_are_answered_correctly_in_bounded_memory_while_five_hundred_attack(tiny, tmp_path):
    done = run_script(tmp_path, "fit.py", "--data", tiny, "--epochs", "1", "--run-dir", "run", *SILENT)
    assert done.returncode == 0, done.stderr

    async def crowd(clients: Clients) -> None:
        pictures = [picture(x) for x in (0.3, 0.4, 0.5, 0.6)]
        expected = [(await clients.post("/read?importance", each, "127.0.0.1"))[1] for each in pictures]
        bad = [asyncio.create_task(clients.bad(way, ELSEWHERE)) for way, count in WAYS.items() for _ in range(count)]
        await asyncio.sleep(2)  # let them settle
        good = [clients.good(k, pictures, expected, f"127.0.1.{k}") for k in range(100)]
        try:
            await asyncio.gather(*good)
        finally:
            for each in bad:
                each.cancel()
            await asyncio.gather(*bad, return_exceptions=True)

    with serving(tmp_path, "--run", "run", "--host", "0.0.0.0") as server:
        until(lambda: "ready" in server.log.read_text(), 300)
        page = psutil.Process(server.process.pid)
        (reader,) = page.children()
        before = peak(page), peak(reader)
        within(540, crowd(clients := Clients(server)))
        print({"before": before, "page": peak(page), "reader": peak(reader), **clients.done})
        assert peak(page) < before[0] + limits.BODIES + limits.CONNECTIONS * 400_000
        assert server.log.read_text().splitlines()[3:] == []
        assert page.children() == [reader]
