"""A browser that takes pictures of pages: the system's Chromium, headless and offline."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from trainer.errors import InkwellError
from trainer.text import first_line

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars")
PATIENCE = 180_000
"""Longest wait for anything on a page, in milliseconds."""
LONGEST = 4000
"""CSS pixels of a page, from its top, in one picture."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium.

    Raises:
        InkwellError: If it is not installed.
    """
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        raise InkwellError(f"cannot take pictures of pages: no Chromium on the path ({', '.join(NAMES)}); install one")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def page(browser: Browser, width: int, height: int, **settings: Any) -> Iterator[Page]:
    """Open an empty page of a width and height in CSS pixels, which is closed afterwards.

    Raises:
        InkwellError: If the subject of the picture does not appear.
    """
    context = browser.new_context(viewport={"width": width, "height": height}, **settings)
    context.set_default_timeout(PATIENCE)
    try:
        yield context.new_page()
    except TimeoutError as error:
        raise InkwellError(f"cannot take a picture: {first_line(error)}; see whether the page has changed") from error
    finally:
        context.close()


def whole(opened: Page) -> bytes:
    """Return a picture of an open page from its top to its end, or as far as `LONGEST` goes."""
    height = min(opened.evaluate("document.documentElement.scrollHeight"), LONGEST)
    width = opened.viewport_size["width"] if opened.viewport_size else 0
    return opened.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height})
