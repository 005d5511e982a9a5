"""Resources divided among clients so that none takes them all: places in the queue, memory, pictures to keep."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Generic, TypeVar

T = TypeVar("T")


def client_name(address: str) -> str:
    """Return the client that an address belongs to: a device may use any address of its IPv6 network (/64)."""
    if ":" not in address:
        return address
    return str(ip_network((ip_address(address.partition("%")[0]), 64), strict=False))


class FairQueue(Generic[T]):
    """A queue that serves its clients in turn; when it is full, the client with the most items loses its newest.

    Args:
        limit: Maximum number of waiting items.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.filled = asyncio.Event()
        """Set while an item is waiting."""
        self._lanes: dict[str, deque[T]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __iter__(self) -> Iterator[T]:
        return (item for lane in self._lanes.values() for item in lane)

    def put(self, client: str, item: T) -> T | None:
        """Add an item; return the item that lost its place, if the queue was full."""
        self._lanes.setdefault(client, deque()).append(item)
        self.filled.set()
        if len(self) <= self.limit:
            return None
        most = max(self._lanes, key=lambda name: (len(self._lanes[name]), name == client))
        lost = self._lanes[most][-1]
        self.remove(most, lost)
        return lost

    def take(self) -> T | None:
        """Return the next item, the oldest of the client whose turn it is; None if the queue is empty."""
        for client, lane in self._lanes.items():
            item = lane[0]
            self.remove(client, item)
            if client in self._lanes:  # move it behind all other clients
                self._lanes[client] = self._lanes.pop(client)
            return item
        return None

    def remove(self, client: str, item: T) -> None:
        """Remove an item, if it is still there."""
        lane = self._lanes.get(client, deque())
        if item in lane:
            lane.remove(item)
            if not lane:
                del self._lanes[client]
        if not self._lanes:
            self.filled.clear()


class Budget:
    """Memory of which a client may hold as much as remains free: half with one client, a third each with two.

    These are the dynamic thresholds of Choudhury and Hahne (1998) for switch buffers: a newcomer always finds some
    free.

    Args:
        limit: Bytes for all clients together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: Counter[str] = Counter()

    def take(self, client: str, size: int) -> bool:
        """Take bytes for a client; return False if that exceeds its share."""
        free = self.limit - self._held.total()
        if size > max(0, free - self._held[client]):
            return False
        self._held[client] += size
        return True

    def give_back(self, client: str, size: int) -> None:
        """Return bytes that were taken."""
        self._held[client] -= size
        if not self._held[client]:
            del self._held[client]


class Rate:
    """A limit on how often a client may do something per minute of the clock.

    Args:
        limit: Maximum number of times per minute.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._minute = 0
        self._done: Counter[str] = Counter()

    def take(self, client: str) -> bool:
        """Count one use by a client; return False if it has used up this minute's limit."""
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._done.clear()
        if self._done[client] >= self.limit:
            return False
        self._done[client] += 1
        return True

    def give_back(self, client: str) -> None:
        """Take back one use that turned out not to count."""
        self._done[client] = max(0, self._done[client] - 1)

    @property
    def seconds_left(self) -> int:
        """Seconds until the next minute starts: 1 to 60."""
        return 60 - int(time.monotonic() % 60)
