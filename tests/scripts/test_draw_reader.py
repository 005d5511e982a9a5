"""Is a picture that breaks the reader answered with an error, and does everybody else get an answer?"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from conftest import SILENT, run_script
from drawing import Server, loading, serving, until
from PIL import Image, ImageDraw

from scripts.page import limits
from scripts.page.job import Unavailable
from scripts.page.reader import GUILTY, Reader
from scripts.page.shares import Budget, FairQueue, Rate, client_name


@pytest.fixture(scope="module")
def run(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained for a second."""
    folder = tmp_path_factory.mktemp("reader")
    done = run_script(folder, "fit.py", "--data", tiny, "--epochs", "1", "--run-dir", "run", *SILENT)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page"), "--run", run) as server:
        until(lambda: server.state() == "ready", 300)
        yield server


def stroke(x: float = 0.5, width: int = 280) -> bytes:
    image = Image.new("L", (width, 280), 255)
    ImageDraw.Draw(image).line([(280 * x, 56), (280 * x - 14, 224)], 0, 20)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_clients_are_served_in_turn_and_the_greediest_loses_its_newest():
    queue: FairQueue[str] = FairQueue(5)
    assert [queue.put("greedy", f"g{k}") for k in range(7)] == [None] * 5 + ["g5", "g6"]
    assert queue.put("modest", "m0") == "g4"
    assert queue.put("late", "l0") == "g3"
    assert [queue.put("late", "l1"), queue.put("late", "l2")] == ["g2", "l2"]
    assert queue.put("modest", "m1") == "m1"  # two each: the last to come waits for a place
    assert len(queue) == 5
    queue.remove("late", "l1")
    queue.remove("late", "l1")
    assert [queue.take() for _ in range(4)] == ["g0", "m0", "l0", "g1"]
    assert not queue.filled.is_set()


def test_one_client_gets_half_of_the_memory_and_a_newcomer_finds_some():
    memory = Budget(900)
    assert memory.take("a", 450)
    assert not memory.take("a", 1)
    assert memory.take("b", 225)
    assert not memory.take("b", 1)
    assert memory.take("a", 0)  # a drawing, which does not count
    memory.give_back("a", 450)
    assert memory.take("b", 200)
    memory.give_back("b", 425)
    assert memory.take("c", 450)


def test_a_device_is_one_client_whatever_address_of_its_network_it_takes():
    assert client_name("192.0.2.7") == "192.0.2.7"
    assert client_name("2001:db8::1") == client_name("2001:db8::abcd:1") != client_name("2001:db8:0:1::1")
    assert client_name("fe80::1%eth0") == client_name("fe80::2%eth0")


def test_so_many_pictures_per_minute_are_kept_for_one_client_and_none_less_for_another(monkeypatch):
    now = 60.0
    monkeypatch.setattr("scripts.page.shares.time.monotonic", lambda: now)
    rate = Rate(2)
    assert [rate.take("a"), rate.take("a"), rate.take("a"), rate.take("b")] == [True, True, False, True]
    rate.give_back("a")
    assert [rate.take("a"), rate.take("a")] == [True, False]
    now = 119.5
    assert rate.seconds_left == 1
    assert not rate.take("a")
    now = 120.0
    assert rate.take("a")


def test_who_waits_too_long_or_in_too_long_a_queue_is_told_when_to_come_again(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "QUEUE", 2)
    monkeypatch.setattr(limits, "WAITING_SECONDS", 0.2)

    async def three() -> list[BaseException]:
        reader = Reader(tmp_path, tmp_path, print)  # its process is never started
        asked = [reader.ask("me", b"picture") for _ in range(3)]
        return await asyncio.gather(*asked, return_exceptions=True)

    *late, refused = asyncio.run(three())
    assert isinstance(refused, Unavailable)
    assert (str(refused), refused.retry) == ("too many pictures are waiting; try again in 2 seconds", 2)
    for error in late:
        assert isinstance(error, Unavailable)
        assert error.retry == 10
        assert str(error).startswith("the picture was not read within")


DIES_AT_FIRST = """
import os, pathlib, signal, sys
deaths = pathlib.Path(os.environ["DEATHS"])
if "scripts.page.worker" in sys.orig_argv and (left := int(deaths.read_text())):
    deaths.write_text(str(left - 1))
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""Imported by every Python process at its start: kills the first few processes that read pictures."""


@pytest.mark.parametrize("deaths", [2, 3])
def test_a_reader_that_is_killed_while_it_loads_is_started_twice_again(tmp_path, monkeypatch, deaths):
    (tmp_path / "sitecustomize.py").write_text(DIES_AT_FIRST)
    (tmp_path / "deaths").write_text(str(deaths))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DEATHS", str(tmp_path / "deaths"))
    (tmp_path / "spec.json").write_text("{}")
    with serving(tmp_path, "--recognizer", tmp_path) as server:
        assert server.process.wait(timeout=300) == 1
        log = server.log.read_text().splitlines()[1:]
    killed = "the reader ended with status -9"
    says = {
        2: f"{tmp_path / 'spec.json'} is damaged, or from an older Inkwell: format: Field required",  # says the third
        3: f"cannot load {tmp_path}: {killed}, 3 times in a row",
    }
    assert log == [*[f"draw.py: {killed}; restarting it"] * 2, f"draw.py: error: {says[deaths]}"]


def test_who_waits_for_the_model_is_told_that_it_cannot_be_loaded(tmp_path):
    (tmp_path / "spec.json").write_text("{}")
    with serving(tmp_path, "--recognizer", tmp_path) as server:
        status, headers, text = server.ask("POST", "/read", stroke())
    assert status == 503
    assert "spec.json is damaged" in text
    assert headers["retry-after"] is None  # it will not be there later either


def test_ctrl_c_answers_who_waits_and_prints_nothing_about_it(tmp_path):
    with loading(tmp_path) as server, ThreadPoolExecutor(1) as person:
        assert server.state() == "loading"
        (worker,) = psutil.Process(server.process.pid).children()
        worker.suspend()
        waiting = person.submit(server.request, "POST", "/read", stroke())
        until(lambda: len(psutil.Process(server.process.pid).net_connections()) > 1, 300)
        assert server.stop() == 0
        assert waiting.result(timeout=300) == (503, {"error": "draw.py has been stopped"})
        assert server.log.read_text() == f"draw.py: loading {tmp_path}\n"
        assert not worker.is_running()


@pytest.mark.slow
def test_a_reader_that_is_killed_harms_nobody(server):
    (worker,) = psutil.Process(server.process.pid).children()
    worker.suspend()
    with ThreadPoolExecutor(20) as people:
        waiting = [people.submit(server.request, "POST", "/read", stroke()) for _ in range(20)]
        until(lambda: len(psutil.Process(server.process.pid).net_connections()) > 20, 300)
        worker.kill()
        answers = [each.result(timeout=300) for each in waiting]
    assert [status for status, _ in answers] == [200] * 20
    assert "draw.py: the reader ended with status -9; restarting it" in server.log.read_text()


@pytest.mark.slow
def test_a_reader_that_dies_idle_is_nobodys_fault(server):
    (worker,) = psutil.Process(server.process.pid).children()
    worker.kill()
    assert server.request("POST", "/read", stroke())[0] == 200


HAS_A_FAULT = """
import os, signal, sys, time
if "scripts.page.worker" in sys.orig_argv:
    from PIL import Image
    sound = Image.open
    def with_a_fault(file, *rest, **more):
        opened = sound(file, *rest, **more)
        if opened.width == 281:
            os.kill(os.getpid(), signal.SIGSEGV)
        if opened.width == 282:
            time.sleep(10_000)
        return opened
    Image.open = with_a_fault
"""
"""A decoder that two kinds of pictures crash, imported by every Python process at its start."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "loss"),
    [
        (281, ["the reader ended with status -11; restarting it"] * 2),
        (282, ["the reader took longer than 3 seconds for a picture; restarting it"]),
    ],
    ids=["crash", "hang"],
)
def test_a_picture_that_breaks_the_reader_is_an_error_and_all_others_are_read(run, tmp_path, monkeypatch, width, loss):
    monkeypatch.setattr(limits, "READING_SECONDS", 3.0)
    (tmp_path / "sitecustomize.py").write_text(HAS_A_FAULT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told: list[str] = []

    async def talk() -> list[dict]:
        reader = Reader(run, tmp_path / "inbox", told.append)
        running = asyncio.create_task(reader.run())
        asked = [reader.ask("me", stroke(width=width if k == 1 else 280)) for k in range(6)]
        answers = await asyncio.gather(*asked)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return answers

    answers = asyncio.run(talk())
    assert answers.pop(1) == GUILTY
    assert [answer["status"] for answer in answers] == [200] * 5
    assert [line for line in told if line != "ready"] == loss


@pytest.mark.slow
def test_new_pictures_are_kept_at_a_rate_and_known_ones_at_any(server):
    for _ in range(limits.KEPT_PER_MINUTE + 5):
        assert server.request("POST", "/keep?label=1", stroke())[0] == 200
    for k in range(2 * limits.KEPT_PER_MINUTE + 5):  # a new minute may begin
        status, headers, text = server.ask("POST", "/keep?label=1", stroke(0.2 + 0.6 * k / 200))
        if status != 200:
            break
    assert status == 429
    assert 0 < int(headers["retry-after"]) <= 60
    assert f"more than {limits.KEPT_PER_MINUTE} pictures per minute" in text
    status, _, text = server.ask("POST", "/keep?label=1", stroke(0.9), by="127.0.0.2")
    assert status == 200, text
