"""Shows on the terminal where the page opens: on this machine, on a tablet, and from a remote machine."""

from __future__ import annotations

import getpass
import io
import os
import shlex
import sys
from ipaddress import ip_address

import segno

from trainer.console.output import say, show
from trainer.text import program

from .address import Place

WHITE_ON_BLACK = "\033[38;5;231;48;5;16m"
"""Colours of a QR code whose light modules are drawn, in a terminal of any theme."""


def welcome(place: Place) -> None:
    """Print the addresses at which the page opens."""
    first, *others = place.urls
    show("\n".join([f"draw on {first} (Ctrl-C to stop)", *(f"     or {other}" for other in others)]))
    if place.token:
        if sys.stdout.isatty() and "utf" in (sys.stdout.encoding or "").lower():
            show(qr_code(first), as_is=True)
        tell("anyone with an address and its token can use the page; it is not encrypted: the network can read along")
    elif forward := forwarding(place.urls[0].rpartition(":")[2].rstrip("/")):
        tell(f"to open it on the machine you sit at, forward the port first: {forward}")


def qr_code(url: str) -> str:
    """Return an address as a QR code for a terminal."""
    drawn = io.StringIO()
    segno.make_qr(url, error="l").terminal(drawn, border=2, compact=True)
    return "\n".join(f"{WHITE_ON_BLACK}{line}\033[0m" for line in drawn.getvalue().splitlines())


def forwarding(port: str) -> str | None:
    """Return the command that forwards a port to the user's machine, or None if that is this one.

    SSH sets `SSH_CONNECTION` to the ends of its connection: `client port server port`.
    """
    ends = os.environ.get("SSH_CONNECTION", "").split()
    try:
        server, door = str(ip_address(ends[2])), int(ends[3])
    except (IndexError, ValueError):
        return None
    at = [] if door == 22 else ["-p", str(door)]
    return shlex.join(["ssh", "-L", f"{port}:127.0.0.1:{port}", *at, f"{_user()}@{server}"])


def tell(line: str) -> None:
    """Print a line on the terminal."""
    say(f"{program()}: {line}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the process's user has no name
        return "USER"
