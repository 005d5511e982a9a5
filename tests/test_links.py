"""Does every link, picture and path in the documentation lead somewhere? Links to other sites are not followed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

markdown_it = pytest.importorskip("markdown_it")

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PATH = re.compile(r"(?:docs|models|plugins|scripts|tests|trainer)/[\w./-]*\w(?:/|\.\w+)|\.ci/run|\.github/[\w./-]+")
"""Code that is the path of a file or folder of the repository, such as `trainer/engine/loop.py`."""
SOURCE = re.compile(r'<(?:img|a)\b[^>]*?\b(?:src|href)="([^"]+)"')


@cache
def tokens(page: Path) -> list:
    """Return the pieces of a page, inner ones included."""
    found = markdown_it.MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    return [piece for token in found for piece in (token, *(token.children or []))]


def targets(page: Path) -> Iterator[str]:
    """Yield where the links and pictures of a page lead."""
    for token in tokens(page):
        if address := token.attrGet("href") or token.attrGet("src"):
            yield str(address)
        if token.type.startswith("html"):
            yield from SOURCE.findall(token.content)


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub and the generator of the pages name them."""
    found = tokens(page)
    titles = [text.content for text, before in zip(found[1:], found, strict=False) if before.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def problem(page: Path, address: str) -> str | None:
    """Return what is wrong with a link; None if it leads somewhere, or to another site."""
    if re.match(r"[a-z]+:", address):
        return None
    name, _, anchor = address.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return f"{address}: no such file"
    if anchor and anchor not in anchors(target):
        return f"{address}: no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path):
    assert [said for address in targets(page) if (said := problem(page, address))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_path_that_is_named_exists(page: Path):
    if page.name == "CHANGELOG.md":
        return  # names what was there at the time
    named = {token.content.partition("::")[0] for token in tokens(page) if token.type == "code_inline"}
    assert [path for path in sorted(named) if PATH.fullmatch(path) and not (ROOT / path).exists()] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a](docs/speed.md#whole-runs)", []),
        ("[a](docs/speed.md#half-runs)", ["docs/speed.md#half-runs: no such heading"]),
        ("[a](#here)\n\n## Here", []),
        ("![a](docs/none.png)", ["docs/none.png: no such file"]),
        ('<img src="docs/none.png" width="60%">', ["docs/none.png: no such file"]),
        ("[a](https://example.org/none)", []),
        ("`[a](none.md)`", []),
    ],
)
def test_a_broken_link_is_found(text: str, said: list[str], tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    assert [found for address in targets(page) if (found := problem(page, address))] == said
