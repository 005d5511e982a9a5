"""Pictures of a run's report: on a desktop, on a phone, and in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .browser import page
from .workshop import Workshop

SETTINGS: dict[str, tuple[int, int, dict[str, Any]]] = {
    "desktop": (1280, 1400, {}),
    "phone": (390, 1400, {"is_mobile": True, "has_touch": True, "device_scale_factor": 2}),
    "dark": (1280, 1400, {"color_scheme": "dark"}),
}
"""Width and height of a window in CSS pixels, about two screens of a page, and what else it is."""


def pictures(workshop: Workshop) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures with their names."""
    address = (workshop.run() / "report" / "index.html").as_uri()
    for name, (width, height, settings) in SETTINGS.items():
        with page(workshop.browser, width, height, offline=True, **settings) as opened:
            opened.goto(address)
            yield f"report-{name}", opened.screenshot()
