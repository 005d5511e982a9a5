"""Can a tablet on the same network use the page, and nobody who was not given its address?"""

from __future__ import annotations

import io
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import segno
from conftest import ROOT, SILENT, run_script
from drawing import Server, chromium, loading, serving, until

from scripts.gallery.pen import ROUND, draw
from scripts.page import address, network
from scripts.page.guard import NO_TOKEN
from trainer.text import printable


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page without a model, for everybody on the network."""
    folder = tmp_path_factory.mktemp("shell")
    with loading(folder, "--host", "0.0.0.0") as server:
        yield server


def cookie(server: Server) -> str:
    return f"inkwell-{server.port}={server.token}"


def test_nothing_is_answered_without_the_token(shell):
    tokens = ["", "?token=", "?token=wrong", f"?token={shell.token[:-1]}", f"?token={shell.token}x", "?token=%ff%00é"]
    for path in ("/", "/page.js", "/status", "/nothing", f"/status?token={shell.token}"):
        assert shell.request("GET", path) == (403, {"error": NO_TOKEN})
    for token in tokens:
        assert shell.request("GET", f"/{token.replace('é', '%e9')}") == (403, {"error": NO_TOKEN})
    for wrong in (shell.token, "inkwell=1", f"inkwell-{shell.port}=wrong", f"inkwell-1={shell.token}", "é;=;"):
        assert shell.request("POST", "/read", b"picture", cookie=wrong) == (403, {"error": NO_TOKEN})
        assert shell.request("POST", "/keep?label=1", b"picture", cookie=wrong) == (403, {"error": NO_TOKEN})


def test_the_token_is_shown_once_and_leaves_the_address(shell):
    assert len(shell.token) >= 43  # 32 random bytes
    status, headers, text = shell.ask("GET", f"/?token={shell.token}")
    assert (status, headers["location"], text) == (303, "/", "")
    assert headers["referrer-policy"] == "no-referrer"
    name, *flags = headers["set-cookie"].split("; ")
    assert name == cookie(shell)
    assert {flag.lower() for flag in flags} == {"httponly", "path=/", "samesite=strict"}
    for path in ("/", "/page.js", "/page.css", "/theme.js", "/icon.svg", "/status"):
        status, headers, _ = shell.ask("GET", path, cookie=f"other=1; {name}")
        assert status == 200
        assert "default-src 'none'" in headers["content-security-policy"]


def test_the_token_opens_nothing_under_a_foreign_name_or_for_a_foreign_page(shell):
    for host in ("evil.example", f"evil.example:{shell.port}", "0.0.0.0", "[::1]", "127.0.0.1:x", "127.0.0.1@evil"):
        status, answer = shell.request("GET", "/status", host=host, cookie=cookie(shell))
        assert (status, answer) == (403, {"error": "this page answers only to localhost and 127.0.0.1"})
    status, answer = shell.request("POST", "/read", b"x", origin="http://evil.example", cookie=cookie(shell))
    assert (status, answer) == (403, {"error": "this page accepts nothing from other pages"})


def test_it_answers_at_every_address_of_the_machine_under_that_address_and_as_localhost(shell):
    found = [each for each in network.own_addresses() if ":" not in each]
    for each in [*found, "127.0.0.1"]:
        assert f"http://{each}:{shell.port}/?token={shell.token}" in shell.urls
        for host in (each, f"{each}:{shell.port}", f"localhost:{shell.port}"):
            assert shell.ask("GET", "/status", to=each, host=host, cookie=cookie(shell))[0] == 200
        assert shell.ask("GET", "/status", to=each, host="192.0.2.77", cookie=cookie(shell))[0] == 403


def test_a_warning_says_that_the_network_can_read_along(shell):
    until(lambda: "loading" in shell.log.read_text(), 300)
    said = shell.log.read_text().splitlines()[0]
    assert said.startswith("draw.py: anyone with an address and its token can use the page; it is not encrypted")
    assert "\x1b" not in "".join(shell.urls)  # no QR code without a terminal


def test_ipv6_of_this_machine_needs_no_token_and_has_a_name_too(tmp_path):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with loading(tmp_path, "--host", "::1") as server:
        assert server.said == f"draw on http://[::1]:{server.port}/ (Ctrl-C to stop)\n"
        for host in (f"[::1]:{server.port}", f"localhost:{server.port}"):
            assert server.ask("GET", "/status", to="::1", host=host)[0] == 200
        status, _, text = server.ask("GET", "/status", to="::1", host="[::2]")
        assert status == 403
        assert "answers only to localhost, 127.0.0.1 and [::1]" in text


def test_a_machine_that_has_no_network_yet_has_a_token_for_it(monkeypatch):
    monkeypatch.setattr(network, "interfaces", lambda: {"lo": ["127.0.0.1"]})
    with ExitStack() as stack:
        place = address.listen("0.0.0.0", 0, stack)
        assert place.token
        assert place.urls == [f"http://127.0.0.1:{place.listeners[0].getsockname()[1]}/?token={place.token}"]


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("203.0.113.7", "is not an address of this machine"),
        ("fe80::1234", "is not an address of this machine"),
        ("a..b", "is neither an address, a network interface nor a known name"),
        ("", "is neither an address, a network interface nor a known name"),
        ("x\x1b[31m", "is neither an address, a network interface nor a known name"),
        ("224.0.0.1", "is not an address that a browser can open"),
    ],
)
def test_a_host_that_is_not_this_machine_is_refused_in_a_line(host, why):
    with ExitStack() as stack, pytest.raises(address.UsageError) as refused:
        address.listen(host, 0, stack)
    ours = ", ".join(["127.0.0.1", *network.own_addresses()])
    assert str(refused.value) == f"argument --host: '{printable(host)}' {why}; this machine has {ours} (see --help)"


def test_a_terminal_shows_the_address_as_a_qr_code(tmp_path):
    screen, terminal = pty.openpty()
    command = [
        sys.executable,
        str(ROOT / "scripts" / "draw.py"),
        "--recognizer",
        ".",
        "--port",
        "0",
        "--host",
        "0.0.0.0",
    ]
    (tmp_path / "spec.json").write_text("{}")
    process = subprocess.Popen(command, cwd=tmp_path, stdout=terminal, stderr=terminal, env={**os.environ, **UTF8})
    os.close(terminal)
    try:
        shown = b""
        while b"loading" not in shown:
            shown += os.read(screen, 65536)
    finally:
        process.kill()
        process.wait(timeout=300)
        os.close(screen)
    lines = shown.decode().replace("\r", "").splitlines()
    (url,) = (found for line in lines for found in re.findall(r"draw on (http://\S+)", line))
    drawn = [re.fullmatch(r"\x1b\[38;5;231;48;5;16m(.+)\x1b\[0m", line) for line in lines]
    rows = [pair for line in drawn if line for pair in (line[1].translate(UPPER), line[1].translate(LOWER))]
    expected = io.StringIO()
    segno.make_qr(url, error="l").save(expected, kind="txt", border=2)
    wanted = expected.getvalue().split()
    assert rows[: len(wanted)] == wanted


UTF8 = {"PYTHONIOENCODING": "utf-8"}
UPPER, LOWER = (str.maketrans(" ▀▄█", light) for light in ("1010", "1100"))  # a light module is 0


@pytest.mark.parametrize(
    ("connection", "command"),
    [
        ("192.0.2.9 51000 192.0.2.5 22", "ssh -L {port}:127.0.0.1:{port} ada@192.0.2.5"),
        ("fd00::9 51000 fd00::5 2222", "ssh -L {port}:127.0.0.1:{port} -p 2222 ada@fd00::5"),
        ("nonsense", None),
        ("192.0.2.9 51000 $(reboot) 22", None),
    ],
)
def test_who_sits_at_another_machine_is_told_how_to_forward_the_port(tmp_path, monkeypatch, connection, command):
    monkeypatch.setenv("SSH_CONNECTION", connection)
    monkeypatch.setenv("LOGNAME", "ada")
    with loading(tmp_path) as server:
        until(lambda: "loading" in server.log.read_text(), 300)
        first = server.log.read_text().splitlines()[0]
    if command:
        assert first.endswith(f"forward the port first: {command.format(port=server.port)}")
    else:
        assert first == f"draw.py: loading {tmp_path}"


@pytest.mark.slow
def test_a_browser_with_the_address_draws_and_keeps_and_one_without_sees_why_not(tiny, tmp_path):
    done = run_script(tmp_path, "fit.py", "--data", tiny, "--epochs", "1", "--run-dir", "run", *SILENT)
    assert done.returncode == 0, done.stderr
    with serving(tmp_path, "--run", "run", "--host", "0.0.0.0") as server, chromium() as browser:
        until(lambda: "ready" in server.log.read_text(), 300)
        names = dict.fromkeys([*(url.split("/")[2] for url in server.urls), f"localhost:{server.port}"])
        for name in names:
            page = browser.new_context().new_page()
            said: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.goto(f"http://{name}/?token={server.token}")
            page.wait_for_selector('#state[data-state="ready"]')
            assert page.evaluate("location.href + document.cookie + document.referrer") == f"http://{name}/"
            draw(page, ROUND["1"])
            page.wait_for_selector("#mattered:not(.empty)")
            page.get_by_role("button", name="1", exact=True).click()
            page.get_by_role("button", name="Keep it").click()
            page.get_by_text("Kept as 1: inbox/1/").wait_for()
            page.reload()
            page.wait_for_selector('#state[data-state="ready"]')
            assert [text for text in said if "Opener-Policy" not in text] == []  # this header is for encrypted pages
            page.context.clear_cookies()
            page.goto(f"http://{name}/")
            assert NO_TOKEN in page.inner_text("body")
            page.context.close()
