"""Does the page stay alive and closed, whatever is sent to it?"""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import SILENT, files_no_longer_than, run_script
from drawing import Server, loading, serving, until
from PIL import Image, ImageDraw
from starlette.exceptions import HTTPException
from starlette.requests import Request

from scripts.page import limits
from scripts.page.body import body_of
from scripts.page.inbox import NotKept, keep
from scripts.page.shares import Budget


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page without a model, which suffices for requests that are refused at the door."""
    folder = tmp_path_factory.mktemp("shell")
    with loading(folder) as server:
        yield server


@pytest.fixture(scope="module")
def server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page with a model that was trained for a second."""
    folder = tmp_path_factory.mktemp("hostile")
    done = run_script(folder, "fit.py", "--data", tiny, "--epochs", "1", "--run-dir", "run", *SILENT)
    assert done.returncode == 0, done.stderr
    with serving(folder, "--run", "run") as server:
        until(lambda: server.state() == "ready", 300)
        yield server


def stroke(size: int = 280) -> bytes:
    image = Image.new("L", (size, size), 255)
    ImageDraw.Draw(image).line([(size * 0.5, size * 0.2), (size * 0.45, size * 0.8)], 0, size // 14)
    return encoded(image, "PNG")


def encoded(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def bomb(side: int) -> bytes:
    """Return a PNG of `side` x `side` black pixels in a few kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packed = zlib.compressobj(9)
    rows = b"".join([*(packed.compress(bytes(1 + side // 8)) for _ in range(side)), packed.flush()])
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as folder:
        folder.writestr("7.png", stroke())
    return file.getvalue()


def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield bytes(1_000_000)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "", "192.168.0.1:80"]
)
def test_a_name_that_was_made_to_point_here_is_refused(shell, host):
    for method, path in (("GET", "/"), ("GET", "/status"), ("POST", "/read")):
        answer = shell.request(method, path, host=host.format(port=shell.port))
        assert answer == (403, {"error": "this page answers only to localhost and 127.0.0.1"})


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
def test_a_post_from_another_page_is_refused(shell, origin):
    for path in ("/read", "/keep?label=7"):
        answer = shell.request("POST", path, stroke(), origin=origin.format(port=shell.port))
        assert answer == (403, {"error": "this page accepts nothing from other pages"})


def test_the_page_itself_is_let_in_by_both_names(shell):
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{shell.port}"
        status, answer = shell.request("POST", "/keep", stroke(), host=host, origin=f"http://{host}")
        assert (status, answer) == (
            422,
            {"error": "cannot keep a picture without a label; add ?label=…"},
        )  # past the guard


@pytest.mark.parametrize(
    "path",
    ["/../app.py", "/..%2fapp.py", "/%2e%2e/app.py", "/..\\app.py", "//etc/passwd", "/%00", "/static/../../draw.py"],
)
def test_only_the_pages_own_files_are_served(shell, path):
    status, answer = shell.request("GET", path)
    assert (status, answer) == (404, {"error": "Not Found"})


def test_what_the_page_does_not_do_is_refused(shell):
    assert shell.request("GET", "/read")[0] == 404
    assert shell.request("DELETE", "/page.js")[0] == 405
    assert shell.request("POST", "/read")[1]["error"] == "this request contains no picture"
    assert shell.request("POST", "/keep", stroke())[1]["error"].startswith("cannot keep a picture without a label")


@pytest.mark.parametrize("size", [11_000_000, 100_000_000])
def test_a_body_that_is_too_long_is_refused(shell, size):
    too_long = (413, {"error": "the picture is larger than 10 MB"})
    assert shell.request("POST", "/read", bytes(size)) == too_long
    assert shell.request("POST", "/read", chunks(size // 1_000_000)) == too_long
    assert shell.request("GET", "/status")[0] == 200


def test_every_answer_forbids_foreign_content_and_embedding(shell):
    for path in ("/", "/page.js", "/page.css", "/status", "/nothing"):
        with socket.create_connection(("127.0.0.1", shell.port), timeout=300) as line:
            line.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = b"".join(iter(lambda line=line: line.recv(65536), b"")).decode().lower()
        policy = next(head for head in answer.splitlines() if head.startswith("content-security-policy: "))
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "x-content-type-options: nosniff" in answer


def test_nobody_else_on_the_network_reaches_it(shell):
    (listening,) = [c for c in psutil.Process(shell.process.pid).net_connections() if c.status == "LISTEN"]
    assert listening.laddr == ("127.0.0.1", shell.port)


def test_requests_that_never_end_keep_nobody_out(shell):
    halves = [
        b"POST /read HTTP/1.1\r\nHost: loc",
        b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1",
    ]
    lines = [socket.create_connection(("127.0.0.1", shell.port), timeout=300) for _ in range(60)]
    try:
        for k, line in enumerate(lines):
            line.sendall(halves[k % 2])
        assert shell.request("GET", "/status")[0] == 200
    finally:
        for line in lines:
            line.close()


def test_a_body_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)
    memory = Budget(1000)

    async def receive():
        await asyncio.Event().wait()

    async def body():
        async with body_of(Request({"type": "http", "method": "POST", "headers": []}, receive), "me", memory):
            raise AssertionError("there is no body")

    with pytest.raises(HTTPException) as refused:
        asyncio.run(body())
    assert refused.value.status_code == 408


def test_a_kept_picture_is_whole_or_not_there_and_kept_once(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (40, 3000, 3), np.uint8)
    path, is_new = keep(tmp_path / "inbox", "7", photo, ["7"])
    assert is_new
    assert keep(tmp_path / "inbox", "7", photo, ["7"]) == (path, False)
    assert list((tmp_path / "inbox").rglob("*.*")) == [path]
    assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()
    with Image.open(path) as image:
        assert (image.size, image.mode) == ((1600, 21), "RGB")
    with files_no_longer_than(1000), pytest.raises(NotKept, match=r"cannot keep the picture in .*: File too large"):
        keep(tmp_path / "full", "7", photo, ["7"])
    assert list((tmp_path / "full" / "7").iterdir()) == []


def gray(shade: int) -> np.ndarray:
    return np.full((20, 20, 3), shade, np.uint8)


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("INBOX_FILES", 3, "holds 3 files, the limit; move some away"),
        ("INBOX_BYTES", 300, "of at most 300 bytes; move some away"),
        ("SPARED_BYTES", 10**18, "; free some space"),
    ],
)
def test_a_full_inbox_keeps_what_it_has_and_nothing_new(tmp_path, monkeypatch, limit, value, words):
    for shade in (1, 2, 3):
        keep(tmp_path / "inbox", "7", gray(shade), ["7", "8"])
    monkeypatch.setattr(limits, limit, value)
    with pytest.raises(NotKept, match=words) as refused:
        keep(tmp_path / "inbox", "8", gray(4), ["7", "8"])
    assert str(tmp_path / "inbox") in str(refused.value)
    assert not keep(tmp_path / "inbox", "7", gray(3), ["7", "8"]).is_new
    assert len(list((tmp_path / "inbox").rglob("*.png"))) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bomb(13_000), "13000x13000, more than 25 million pixels"),
        (encoded(Image.effect_noise((600, 600), 90), "JPEG")[:20_000], "truncated"),
        (archive(), "not a PNG, JPEG, BMP, GIF or WEBP image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "picture"),
        (stroke()[:100], "picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a PNG"),
    ],
    ids=["bomb", "truncated JPEG", "zip", "forged PNG", "truncated PNG", "SVG"],
)
def test_a_hostile_picture_is_refused_with_its_reason_and_the_next_is_read(server, content, reason):
    for path in ("/read", "/keep?label=1"):
        status, answer = server.request("POST", path, content)
        assert status == 422
        assert reason in answer["error"]
    assert server.request("POST", "/read", stroke())[0] == 200
    assert not (server.log.parent / "inbox").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "label", ["..", "../../x", "/etc", "1/../../x", "1%2f..%2f..", "4", "", "%00", "1%0a", "C:\\x"]
)
def test_a_label_is_one_of_the_classes_or_nothing_is_written(server, label):
    status, answer = server.request("POST", f"/keep?label={label}", stroke())
    assert status == 422
    assert "is not one of the classes: 0, 1, 2, 3" in answer["error"]
    assert {path.name for path in server.log.parent.iterdir()} == {"run", "draw.log"}


@pytest.mark.slow
def test_a_picture_of_the_largest_size_is_read(server):
    image = Image.new("L", (5000, 5000), 255)
    ImageDraw.Draw(image).line([(2500, 1000), (2300, 4000)], 0, 300)
    assert server.request("POST", "/read", encoded(image, "PNG"))[0] == 200
