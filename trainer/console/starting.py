"""The first moments of a script, during its imports: something is on the screen, and Ctrl-C ends it.

from trainer.console.starting import starting

starting()  # before all other imports
"""

from __future__ import annotations

from types import FrameType

from trainer.console import interrupt, stages
from trainer.stage import Stage

_stage = Stage("starting")


def starting() -> None:
    """Show at once, in an interactive terminal, that the program is starting, until its command line is parsed."""

    def end(number: int, frame: FrameType | None) -> None:
        interrupt.quit_now()  # nothing has begun that needs an orderly end

    interrupt.handle_ctrl_c(end)
    if stages.chosen("auto") == "rich":
        stages.show("rich")
        _stage.__enter__()


def started() -> None:
    """Remove what `starting` shows."""
    _stage.__exit__(None, None, None)
