"""A folder as a new user has it, with runs that are made when a picture first needs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser

from trainer.errors import InkwellError

from .terminal import Recording, record

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ("scripts/fit.py", "--model", "lenet")
"""The command that the README begins with."""


@dataclass
class Workshop:
    """The place where pictures are made.

    Attributes:
        folder: An empty folder, in which all commands run.
        browser: What takes pictures of pages.
        mnist: The folder of the MNIST files; None trains on the embedded images.
    """

    folder: Path
    browser: Browser
    mnist: Path | None = None
    _recorded: dict[int, Recording] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "scripts").symlink_to(ROOT / "scripts")
        if self.mnist:
            (self.folder / "data").symlink_to(self.mnist.resolve())

    def training(self, columns: int = 80) -> Recording:
        """Return the recording of a training in a terminal of a width; it is trained once per width."""
        if columns not in self._recorded:
            self._recorded[columns] = self.record(*TRAIN, columns=columns)
        return self._recorded[columns]

    def record(self, *arguments: str, columns: int = 80, interrupt: str | None = None, status: int = 0) -> Recording:
        """Return the recording of a script; see `terminal.record`."""
        return record(arguments, self.folder, columns, interrupt, status)

    def run(self) -> Path:
        """Return the run directory of a finished training, which is done first if need be.

        Raises:
            InkwellError: If the training failed.
        """
        self.training(next(iter(self._recorded), 80))
        finished = sorted(self.folder.glob("runs/lenet-*/result.json"))
        if not finished:
            raise InkwellError(f"cannot take pictures of a run: python {' '.join(TRAIN)} left no result")
        return finished[0].parent
