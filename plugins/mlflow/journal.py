"""Reads new lines of a JSON Lines file, even one that was truncated in the meantime."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import Field

from trainer.errors import InkwellError
from trainer.runs.history import parse_lines
from trainer.runs.inside import open_inside
from trainer.text import first_line, in_bytes

LINES = 500
MARKS = 1000
LONGEST = 2**24
"""Maximum bytes of a line, including its newline, and of one read: anything longer was not written by us."""


@dataclass(frozen=True)
class Mark:
    """A position up to which a file was processed, and a fingerprint of the line before it.

    Attributes:
        offset: Bytes before the position.
        length: Bytes of the last line before it; 0 at the beginning of the file.
        digest: Hash of that line; each line has its own timestamp, so a file truncated and rewritten is detected.
        step: Step of that line; -1 at the beginning.
        time: Timestamp of that line, Unix seconds.
    """

    offset: Annotated[int, Field(ge=0, lt=2**63)] = 0
    length: Annotated[int, Field(ge=0, le=LONGEST)] = 0
    digest: str = ""
    step: int = -1
    time: float = 0.0


class Journal:
    """The lines of a file, read in parts; each is processed once unless the file is truncated.

    Args:
        path: The file, which need not exist yet.
        mark: Position to continue from, if the file still contains what precedes it.

    Attributes:
        rewound: True if the last `read` found the file truncated and fell back to an earlier mark.
    """

    def __init__(self, path: Path, mark: Mark | None = None) -> None:
        self.path = path
        self.rewound = False
        self._marks = [Mark(), mark] if mark is not None and mark.offset else [Mark()]
        self._next = self._marks[-1]

    @property
    def mark(self) -> Mark:
        """The position up to which everything was processed."""
        return self._marks[-1]

    def read(self) -> list[dict[str, Any]]:
        """Return the next lines, at most `LINES`, and the same ones until `done` is called; an incomplete line waits.

        Raises:
            InkwellError: If the file cannot be read or is not a regular file, or a line is damaged or exceeds 16 MiB.
        """
        self.rewound = False
        if not os.path.lexists(self.path):
            return []
        try:
            with open_inside(self.path.parent, self.path.name) as file:
                while not _stands(file, self.mark):
                    self._marks.pop()
                    self.rewound = True
                file.seek(self.mark.offset)
                lines = self._next_lines(file)
        except (OSError, ValueError) as error:
            raise InkwellError(f"cannot read {self.path}: {first_line(error)}") from error
        values = parse_lines(lines, self.path)
        if lines:
            self._next = _after(self.mark, lines, values[-1])
        return values

    def _next_lines(self, file: BinaryIO) -> list[bytes]:
        """Return complete lines, at most `LINES` of them and `LONGEST` bytes in total."""
        lines, left, line = list[bytes](), LONGEST, b""
        while len(lines) < LINES and (line := file.readline(left)).endswith(b"\n"):
            lines.append(line)
            left -= len(line)
        if len(line) == LONGEST and not lines:
            raise InkwellError(f"{self.path} is damaged: it has a line of more than {in_bytes(LONGEST)}")
        return lines

    def done(self) -> None:
        """Mark what `read` returned as processed."""
        self._marks.append(self._next)
        if len(self._marks) > MARKS:  # thin out the marks of a long run
            self._marks = [*self._marks[:-1:2], self._next]


def _after(mark: Mark, lines: list[bytes], last: Mapping[str, Any]) -> Mark:
    offset = mark.offset + sum(map(len, lines))
    return Mark(offset, len(lines[-1]), _digest(lines[-1]), last["step"], last["time"])


def _stands(file: BinaryIO, mark: Mark) -> bool:
    """Return True if the line before `mark` is still there."""
    if mark.offset == 0:
        return True
    if mark.length > mark.offset:
        return False
    file.seek(mark.offset - mark.length)
    return _digest(file.read(mark.length)) == mark.digest


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()[:16]
