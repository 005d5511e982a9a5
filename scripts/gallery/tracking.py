"""Pictures of MLflow's pages with three runs: their numbers, and their curves."""

from __future__ import annotations

from collections.abc import Iterator

from plugins.mlflow.page import address

from .browser import page
from .server import serving
from .workshop import Workshop

MODELS = ("mlp", "tiny9k", "lenet")
FLAGS = ("--data", "mnist5k", "--epochs", "8", "--no-plugin", "report")
ASSISTANT = '[data-component-id="mlflow.assistant.chat_panel.close"]'
"""The button that closes MLflow's assistant, which is open at first."""
FOLDER = "compared"
"""Folder of the runs and their store, apart from the runs of other pictures."""
STORE = f"sqlite:///{FOLDER}/mlflow.db"
WIDTH = 1280
CHARTS = 3
"""Charts in the first row of the page."""


def pictures(workshop: Workshop) -> Iterator[tuple[str, bytes]]:
    """Yield the pictures with their names."""
    for model in MODELS:
        workshop.record("scripts/fit.py", "--model", model, "--run-dir", f"{FOLDER}/{model}", *FLAGS)
    with (
        serving(workshop.folder, "-m", "mlflow", "ui", "--workers", "1", "--backend-store-uri", STORE) as port,
        page(workshop.browser, WIDTH, 480) as opened,
    ):
        opened.goto(address("1").replace(":5000", f":{port}"))
        opened.wait_for_selector('[role="columnheader"]:has-text("test/accuracy")')
        opened.wait_for_selector(f"text={MODELS[-1]}")
        opened.get_by_label("Hide banner").click()
        opened.locator(ASSISTANT).click()
        opened.wait_for_selector(ASSISTANT, state="hidden")
        yield "mlflow", opened.screenshot()
        opened.locator('label:has(input[value="CHART"])').click()
        opened.set_viewport_size({"width": WIDTH, "height": 900})
        opened.wait_for_function(f"document.querySelectorAll('.js-line').length >= {CHARTS * len(MODELS)}")
        yield "mlflow-curves", opened.screenshot()
