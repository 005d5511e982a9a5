"""Writes the pages of a report: each one file with everything in it, for any browser, without a network or a script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plugins.report import evaluated, next_steps
from plugins.report.contents import Contents
from plugins.report.evaluated import Evaluated
from plugins.report.pictures.curves import curves
from plugins.report.pictures.errors import ACROSS
from plugins.report.pictures.panel import Panel, write_charts
from plugins.report.pictures.reliability import reliability_charts
from plugins.report.pictures.variations import variation_charts
from plugins.report.rendering import environment, in_shell
from trainer.files import write_atomic
from trainer.runs.reported import Apart
from trainer.text import command

TABLES = ("curves", "confusion", "per_class", "errors", "reliability", "robustness", "variations")
PAGE = "index.html"


def write_page(contents: Contents, report: Path) -> Path:
    """Write the page of a run and its charts, and return the path of the page; what the run lacks is left out.

    Args:
        contents: The contents of its report.
        report: The existing folder of the report.
    """
    charts = {"curves": curves(contents.history, contents.steps_per_epoch), **_charts(contents.test)}
    known = {
        "contents": contents,
        "commands": list(next_steps.commands(contents)),
        "remarks": list(next_steps.remarks(contents)),
        "again": f"{command('report')} {in_shell(contents.folder)}",
        "pages": [name for name in contents.others if (report / name / PAGE).is_file()],
    }
    return _write("page.html", report, contents.test, charts, known)


def write_images_page(folder: Path, title: str) -> Path:
    """Write the page about one set of images and its charts, and return the path of the page.

    Args:
        folder: The folder with the findings, whose files this process wrote.
        title: Heading of the page.

    Raises:
        InkwellError: If a file of the folder is damaged.
    """
    test = evaluated.read(Apart(folder))
    return _write("images.html", folder, test, _charts(test), {"title": title})


def _charts(test: Evaluated) -> dict[str, list[Panel]]:
    return {
        "reliability": reliability_charts(test.found.get("reliability", [])),
        "variations": variation_charts(test.variations),
    }


def _write(
    template: str, folder: Path, test: Evaluated, charts: Mapping[str, Sequence[Panel]], known: Mapping[str, Any]
) -> Path:
    for name, panels in charts.items():
        write_charts(panels, folder / f"{name}.svg")
    page = (
        environment()
        .get_template(template)
        .render(
            **known,
            test=test,
            found=test.found,
            across=ACROSS,
            charts={name: [panel.markup() for panel in panels] for name, panels in charts.items()},
            sprite=base64.b64encode(test.sprite).decode(),
            tables=[f"{name}.csv" for name in TABLES if (folder / f"{name}.csv").is_file()],
        )
    )
    write_atomic(folder / PAGE, page)
    return folder / PAGE
