"""Pictures of the terminal: the start, the middle and the end of a training, Ctrl-C and an error."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from trainer.errors import UsageError

from .browser import page
from .screen import Screen, svg
from .workshop import TRAIN, Workshop

WIDTHS = (80, 120)
"""Columns of the terminals."""
START = 2.0
"""Seconds after Enter at which the start is shown."""
FIRST, SECOND, LAST = r"epoch +1\b", r"epoch +2\b", r"epoch +(\d+)/\1\b"
"""Text on the screen at the start of training, when Ctrl-C is pressed, and at the end of training."""
MISSPELT = (*TRAIN[:-1], "lennet")


def pictures(workshop: Workshop) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures with their names."""
    for columns in WIDTHS:
        training = workshop.training(columns)
        begun, ended = training.when(FIRST), training.when(LAST)
        stopped = workshop.record(*TRAIN, columns=columns, interrupt=SECOND, status=128 + signal.SIGINT)
        misspelt = workshop.record(*MISSPELT, columns=columns, status=UsageError.exit_status)
        screens = {
            "start": training.screen(START),
            "middle": training.screen(((begun or 0) + (ended or training.seconds)) / 2),
            "end": training.screen(),
            "ctrl-c": stopped.screen(),
            "error": misspelt.screen(),
        }
        for moment, screen in screens.items():
            yield f"terminal-{columns}-{moment}", picture(workshop, screen)


def picture(workshop: Workshop, screen: Screen) -> bytes:
    """Return a picture of a screen as PNG."""
    with page(workshop.browser, 1600, 900, offline=True) as opened:
        opened.set_content(f'<body style="margin: 0">{svg(screen, "inkwell")}</body>')
        shown = opened.locator("svg")
        shown.evaluate("(svg) => (svg.style.width = svg.viewBox.baseVal.width + 'px')")
        return shown.screenshot()
