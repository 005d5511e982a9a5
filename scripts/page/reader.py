"""The server's side of the process that reads pictures.

It is a separate process because importing TensorFlow blocks all threads of a process for seconds, and because a decoder
crashed by a forged picture must not take the page down with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from . import limits
from .job import Job, Unavailable
from .shares import FairQueue

ROOT = Path(__file__).parents[2]
LONGEST_LINE = 2**24
"""Maximum bytes of an answer; one about an image of 28 x 28 has 3,000."""

GUILTY = {"status": 500, "error": "cannot read this picture: it crashed the reader; try another one"}


class Reader:
    """Reads pictures one after the other, and restarts its process if it dies.

    A picture that takes longer than `limits.READING_SECONDS`, or kills two processes, is answered with an error; all
    others wait for the next process.

    Args:
        recognizer: A run directory, checkpoint or exported folder.
        inbox: Folder for pictures to keep.
        tell: Called with one line about each change of the process.
        imports: Modules that register parts of a run's model.
    """

    def __init__(self, recognizer: Path, inbox: Path, tell: Callable[[str], None], imports: Sequence[str] = ()) -> None:
        self.recognizer, self.inbox, self.tell, self.imports = recognizer, inbox.absolute(), tell, imports
        self.classes: list[str] = []
        self.trouble: str | None = None
        self._is_ready = False
        self._queue: FairQueue[Job] = FairQueue(limits.QUEUE)
        self._current: Job | None = None

    @property
    def status(self) -> dict[str, Any]:
        """The state (`loading`, `ready` or `failed`), and what the page shows about the model."""
        state = "failed" if self.trouble else "ready" if self._is_ready else "loading"
        described = {"model": self.recognizer.name, "classes": self.classes, "inbox": str(self.inbox)}
        return {"state": state, "error": self.trouble, **described}

    async def run(self) -> None:
        """Keep a process running until cancelled, or until the recognizer cannot be loaded."""
        tries = 0
        while self.trouble is None:
            tries += 1
            try:
                async with self._process() as process:
                    if await self._load(process):
                        tries = 0
                        await self._read(process)
            except _Lost as loss:
                if tries == limits.LOADING_TRIES:
                    self.close(f"cannot load {self.recognizer}: the reader {loss}, {tries} times in a row")
                else:
                    self.tell(f"the reader {loss}; restarting it")

    async def ask(
        self, client: str, picture: bytes | bytearray, label: str | None = None, importance: bool = False
    ) -> dict[str, Any]:
        """Return the reading of a picture or, given a label, where it is kept; `status` is the HTTP status.

        Args:
            client: The client; clients are served in turn.
            picture: Content of a file.
            label: Class of the picture, to keep it.
            importance: True to include which pixels mattered, which takes longer than the reading.

        Raises:
            Unavailable: If the recognizer cannot be loaded, too many pictures are waiting, or the wait exceeds
                `limits.WAITING_SECONDS`.
        """
        if self.trouble:
            raise Unavailable(self.trouble)
        try:
            async with asyncio.timeout(limits.WAITING_SECONDS) as clock:
                job = Job(picture, {"label": label, "importance": importance}, clock)
                if lost := self._queue.put(client, job):
                    lost.refuse(Unavailable("too many pictures are waiting; try again in 2 seconds", 2))
                try:
                    return await job.answer
                finally:
                    self._queue.remove(client, job)
        except TimeoutError as error:
            why = f"the picture was not read within {limits.WAITING_SECONDS:.0f} seconds; try again in 10 seconds"
            raise Unavailable(why, 10) from error

    def close(self, why: str) -> None:
        """Stop reading, and tell everybody who waits why."""
        self.trouble = why
        for job in [*self._queue, *filter(None, [self._current])]:
            job.refuse(Unavailable(why))

    @contextlib.asynccontextmanager
    async def _process(self) -> AsyncIterator[Process]:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "scripts.page.worker", str(self.recognizer), str(self.inbox)),
                *self.imports,
                stdin=PIPE,
                stdout=PIPE,
                limit=LONGEST_LINE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,  # Ctrl-C is handled by the server, which ends the process
            )
        except OSError as error:
            raise _Lost(f"cannot be started ({error.strerror})") from error
        try:
            yield process
        finally:
            self._is_ready = False
            if process.returncode is None:
                process.kill()  # a late answer would be mistaken for the next picture's
            await process.wait()

    async def _load(self, process: Process) -> bool:
        """Wait for the process to load the model; return True if it can read."""
        assert process.stdout is not None
        try:
            async with asyncio.timeout(limits.LOADING_SECONDS):
                said = json.loads(await process.stdout.readline())
        except TimeoutError as error:
            raise _Lost(f"took longer than {limits.LOADING_SECONDS:.0f} seconds to load the model") from error
        except ValueError as error:
            raise _Lost(await _ending(process)) from error
        if "error" in said:
            self.close(said["error"])
            return False
        self.classes, self._is_ready = said["classes"], True
        self.tell("ready")
        return True

    async def _read(self, process: Process) -> None:
        """Have the process read the waiting pictures until it is lost."""
        ended = asyncio.create_task(process.wait())
        try:
            while job := await self._next(ended):
                await self._exchange(process, job)
            raise _Lost(await _ending(process))
        finally:
            ended.cancel()

    async def _next(self, ended: asyncio.Task[int]) -> Job | None:
        """Return the next picture that somebody waits for, as soon as there is one; None if the process ends first."""
        while self._current is None or self._current.answer.done():
            filled = asyncio.create_task(self._queue.filled.wait())
            try:
                await asyncio.wait({filled, ended}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                filled.cancel()
            if ended.done():
                return None
            self._current = self._queue.take()
        return self._current

    async def _exchange(self, process: Process, job: Job) -> None:
        """Have one picture read.

        A picture that was being read when the process died may not be the cause: it is read again, and blamed if the
        next process dies too.
        """
        job.begin()
        try:
            async with asyncio.timeout(limits.READING_SECONDS):
                job.settle(await self._answer(process, job))
        except TimeoutError as error:
            job.settle(GUILTY)
            raise _Lost(f"took longer than {limits.READING_SECONDS:.0f} seconds for a picture") from error
        except (OSError, ValueError) as error:
            if job.readings == 2:
                job.settle(GUILTY)
            raise _Lost(await _ending(process)) from error

    async def _answer(self, process: Process, job: Job) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        request = {"bytes": len(job.picture), **job.wanted}
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.write(job.picture)
        await process.stdin.drain()
        answer: dict[str, Any] = json.loads(await process.stdout.readline())
        return answer


class _Lost(Exception):  # noqa: N818, named after the outcome
    """The process can no longer read; the message completes "the reader …"."""


async def _ending(process: Process) -> str:
    """Return how a process ended that has closed its end of the pipes."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), 5)
    return f"ended with status {process.returncode}"
