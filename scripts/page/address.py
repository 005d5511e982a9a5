"""The sockets that the page listens on, and the addresses at which it opens."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NoReturn

from trainer.errors import InkwellError, UsageError
from trainer.text import in_line

from .network import interfaces, is_local, own_addresses

LOCAL = ("localhost", "127.0.0.1")
"""Host names in requests from a browser on this machine, or at the near end of a forwarded port."""

NOT_OURS = (errno.EADDRNOTAVAIL, errno.EINVAL, errno.EAFNOSUPPORT)


@dataclass(frozen=True)
class Place:
    """The place where the page is served.

    Attributes:
        listeners: Listening sockets.
        urls: Addresses to open, those of the network first, this machine's own last.
        names: Accepted host names besides its addresses.
        token: Token required from browsers on the network; None if only this machine can reach the page.
    """

    listeners: list[socket.socket]
    urls: list[str]
    names: tuple[str, ...]
    token: str | None


def listen(host: str, port: int, stack: ExitStack) -> Place:
    """Listen on a port of every address that `host` names.

    Args:
        host: An address, network interface or name of this machine; `0.0.0.0` means all IPv4 addresses, `::` all.
        port: The port; 0 chooses a free one.
        stack: Closes the sockets.

    Raises:
        UsageError: If the host does not belong to this machine.
        InkwellError: If the port is taken, or not permitted.
    """
    listeners: list[socket.socket] = []
    for address in resolve(host):
        listeners.append(stack.enter_context(_listener(host, address, port)))
        port = listeners[0].getsockname()[1]
    bound = [listener.getsockname()[0] for listener in listeners]
    addresses = sorted((each for address in bound for each in reachable(address)), key=is_local)
    token = None if all(map(is_local, bound)) else secrets.token_urlsafe()
    urls = [f"http://{in_url(each)}:{port}/{f'?token={token}' if token else ''}" for each in addresses]
    names = (*LOCAL, host.lower()) if _is_name(host) else LOCAL
    return Place(listeners, urls, names, token)


def resolve(host: str) -> list[str]:
    """Return the addresses to listen on.

    Raises:
        UsageError: If the host is not an address, an interface or a known name.
    """
    if host == "::":
        return ["0.0.0.0", "::"]
    if host in interfaces():
        return interfaces()[host] or _refuse(host, "is a network interface without an address")
    try:
        found = socket.getaddrinfo(host or "?", None, type=socket.SOCK_STREAM)
    except (OSError, ValueError):  # ValueError: an impossible name, such as "a..b"
        _refuse(host, "is neither an address, a network interface nor a known name")
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    if any("%" in address or ip_address(address).is_multicast for address in addresses):
        _refuse(host, "is not an address that a browser can open")
    return addresses


def reachable(address: str) -> list[str]:
    """Return the addresses at which a browser reaches a listening address: itself, unless it stands for all."""
    listening = ip_address(address)
    if not listening.is_unspecified:
        return [address]
    local = ["127.0.0.1"] if listening.version == 4 else []
    return [each for each in own_addresses() if ip_address(each).version == listening.version] + local


def in_url(address: str) -> str:
    """Return an address in the form used in URLs."""
    return f"[{address}]" if ":" in address else address


def _is_name(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return host not in interfaces()
    return False


def _listener(host: str, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, port), family=family)
    except OSError as error:
        if error.errno in NOT_OURS:
            _refuse(host, "is not an address of this machine")
        why = os.strerror(error.errno or 0)
        raise InkwellError(f"cannot use port {port}: {why}; use --port 0 for a free one") from error
    # Connections inherit this. Without it, each answer waits 40 ms for the browser to acknowledge its headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _refuse(host: str, why: str) -> NoReturn:
    ours = ", ".join(["127.0.0.1", *own_addresses()])
    raise UsageError(f"argument --host: '{in_line(host)}' {why}; this machine has {ours} (see --help)")
