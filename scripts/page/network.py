"""The addresses of this machine."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import psutil

ELSEWHERE = {socket.AF_INET: "198.51.100.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses in other networks, reserved for documentation."""


def interfaces() -> dict[str, list[str]]:
    """Return the addresses of each active network interface, without IPv6 addresses that need its name as a suffix."""
    state = psutil.net_if_stats()
    return {
        name: [each.address for each in addresses if each.family in ELSEWHERE and "%" not in each.address]
        for name, addresses in psutil.net_if_addrs().items()
        if name in state and state[name].isup
    }


def own_addresses() -> list[str]:
    """Return this machine's network addresses, those that route to other networks first."""
    found = [address for addresses in interfaces().values() for address in addresses if not is_local(address)]
    outgoing = set(_outgoing())
    return sorted(found, key=lambda address: address not in outgoing)


def is_local(address: str) -> bool:
    """Return True if an address can only be reached from this machine."""
    return ip_address(address).is_loopback


def _outgoing() -> Iterator[str]:
    for family, elsewhere in ELSEWHERE.items():
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))  # selects a route without sending anything
            yield probe.getsockname()[0]
