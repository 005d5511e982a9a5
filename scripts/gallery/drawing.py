"""A picture of the page to draw on, with a 2 that was drawn and read."""

from __future__ import annotations

from collections.abc import Iterator

from .browser import page
from .pen import ROUND, draw
from .server import serving
from .workshop import Workshop


def pictures(workshop: Workshop) -> Iterator[tuple[str, bytes]]:
    """Yield the picture with its name."""
    run = workshop.run().relative_to(workshop.folder)
    with (
        serving(workshop.folder, "scripts/draw.py", "--run", str(run)) as port,
        page(workshop.browser, 1280, 700) as opened,
    ):
        opened.goto(f"http://127.0.0.1:{port}/")
        opened.wait_for_selector('#state[data-state="ready"]')
        draw(opened, ROUND["2"])
        opened.wait_for_selector("#glyph:text-is('2')")
        opened.wait_for_selector('#answer[aria-busy="false"]')
        opened.wait_for_selector("#mattered:not(.empty)")
        opened.evaluate("Promise.all(document.getAnimations().map((each) => each.finished))")
        yield "page", opened.screenshot()
