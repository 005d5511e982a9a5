"""The server's end of the process that reads pictures.

A process of its own, since the import of TensorFlow keeps all threads of its process waiting for seconds, and a decoder
that is brought down by a forged picture must not take the page with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LONGEST_LINE = 2**24
"""Bytes of an answer; one about an image of 28 x 28 has 3,000."""

PATIENCE = 30.0
"""Seconds that one picture may take; a photo takes less than one."""

QUEUE = 200
"""How many pictures may wait."""


class Unavailable(Exception):  # noqa: N818, a state, said to whoever asks
    """Nothing can be read just now; says why."""


class Reader:
    """Reads pictures one after the other, and starts its process again if that dies.

    Args:
        recognizer: A run directory, checkpoint or exported folder.
        inbox: Where pictures to keep go.
        tell: Is told in one line what becomes of the process.
        imports: Modules that register parts of the model of a run.
    """

    def __init__(self, recognizer: Path, inbox: Path, tell: Callable[[str], None], imports: Sequence[str] = ()) -> None:
        self.recognizer, self.inbox, self.tell, self.imports = recognizer, inbox.absolute(), tell, imports
        self.classes: list[str] = []
        self.trouble: str | None = None
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0

    @property
    def status(self) -> dict[str, Any]:
        """`state` is `loading`, `ready` or `failed`; with what the page shows of the model."""
        state = "failed" if self.trouble else "ready" if self._process else "loading"
        facts = {"model": self.recognizer.name, "classes": self.classes, "inbox": str(self.inbox)}
        return {"state": state, "error": self.trouble, **facts}

    async def run(self) -> None:
        """Keep a process running until cancelled, or until the recognizer cannot be loaded."""
        while self.trouble is None:
            process = await self._start()
            try:
                if await self._ready(process):
                    self._process = process
                    self.tell(f"the reader ended with status {await process.wait()} and is started again")
            finally:
                self._process = None
                _kill(process)
                await process.wait()

    async def ask(self, picture: bytes, label: str | None = None, importance: bool = False) -> dict[str, Any]:
        """Return what is read in a picture, or with a label where it is kept; `status` is the HTTP status.

        Args:
            picture: A file's bytes.
            label: What it shows, if it is to be kept.
            importance: Whether the answer says which pixels mattered, which takes longer than the reading.

        Raises:
            Unavailable: If the recognizer is not loaded, or too many pictures wait; it is worth asking again.
        """
        if self._waiting >= QUEUE:
            raise Unavailable("too many pictures wait to be read; try again")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._exchange(picture, {"label": label, "importance": importance})
        finally:
            self._waiting -= 1

    async def _start(self) -> Process:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "scripts.page.worker", str(self.recognizer), str(self.inbox)),
            *self.imports,
            stdin=PIPE,
            stdout=PIPE,
            limit=LONGEST_LINE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for the server, which ends it
        )

    async def _ready(self, process: Process) -> bool:
        """Wait for what the process says first; return whether it can read."""
        assert process.stdout is not None
        said = json.loads(await process.stdout.readline() or b"{}")
        if not said:
            said = {"error": f"the reader ended with status {await process.wait()} while it loaded {self.recognizer}"}
        self.trouble = said.get("error")
        self.classes = said.get("classes", [])
        self.tell(self.trouble or "ready")
        return self.trouble is None

    async def _exchange(self, picture: bytes, wanted: dict[str, Any]) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise Unavailable(self.trouble or "the model is loading")
        request = json.dumps({"bytes": len(picture), **wanted}).encode()
        try:
            async with asyncio.timeout(PATIENCE):
                process.stdin.write(request + b"\n" + picture)
                await process.stdin.drain()
                answer: dict[str, Any] = json.loads(await process.stdout.readline())
                return answer
        except asyncio.CancelledError:
            _kill(process)
            raise
        except (OSError, ValueError, TimeoutError):
            _kill(process)
            return {"status": 500, "error": "the reader gave up on this picture and is started again"}


def _kill(process: Process) -> None:
    """End a process whose answer to one request, should it come, would be taken for that to the next."""
    if process.returncode is None:
        process.kill()
