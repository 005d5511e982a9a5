"""Does the page of a report fit a phone, follow the dark mode and load nothing, in a browser?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawing import chromium
from test_report_plugin import REST, predicted, validated

from plugins.report.plugin import Report
from trainer.checkpoint import LAYOUT
from trainer.run import Run

NAMES = ["T-shirt/top", "a class with a very, very, very long name", *"23456789"]
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
LINE = "getComputedStyle(document.querySelector('.line')).stroke"
OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", params=[10, 40], ids=["ten classes", "forty classes"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run with long names."""
    classes: int = request.param
    folder: Path = tmp_path_factory.mktemp("look")
    names = [*NAMES, *(f"class {k}" for k in range(10, classes))]
    data = {"name": "some data", "digest": 64 * "0", "class_names": names, "input_shape": [28, 28, 1]}
    (folder / "run.json").write_text(json.dumps({"layout": LAYOUT, "status": "running", "data": data}))
    counts = (20 * np.eye(classes, dtype=int) + np.eye(classes, k=1, dtype=int)).tolist()
    result = {"test": {"accuracy": 0.9, "per_class": [{}] * classes}, **REST}
    known = {"history": [validated(n) for n in range(1, 4)], "steps_per_epoch": 100, "data": data}
    Report().on_test_end(Run(directory=folder, result=result, predictions=predicted(counts, side=28), **known))
    return (folder / "report" / "index.html").as_uri()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_cut_off_on_a_screen_of_any_width(browser: Any, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate(OVERFLOW) <= 0
    widths = page.evaluate("[...document.querySelectorAll('.panel')].map(each => each.getBoundingClientRect().width)")
    assert len(widths) == 5
    assert all(0.75 * min(width, 400) < each < width for each in widths)
    page.close()


def test_colours_follow_the_dark_mode_without_a_slab_of_white(browser: Any, address: str) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(address)
        seen[scheme] = [page.evaluate(expression) for expression in (BACKGROUND, LINE)]
        page.close()
    assert seen == {
        "light": ["rgb(253, 252, 249)", "rgb(0, 105, 165)"],
        "dark": ["rgb(21, 23, 27)", "rgb(108, 182, 236)"],
    }


def test_the_page_loads_nothing_and_breaks_no_policy(browser: Any, address: str) -> None:
    page, asked, said = browser.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(address)
    image = page.evaluate("getComputedStyle(document.querySelector('.errors .image')).backgroundImage")
    assert image.startswith('url("data:image/png')
    assert [url for url in asked if not url.startswith("data:")] == [address]
    assert said == []
    page.close()
