"""A picture of the README, much as GitHub shows it."""

from __future__ import annotations

from collections.abc import Iterator

from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from .browser import page, whole
from .workshop import ROOT, Workshop

WIDTH = 1012
"""CSS pixels of GitHub's column for a README and its margins."""
STYLE = """
body { box-sizing: border-box; max-width: 1012px; margin: 0 auto; padding: 32px; background: #fff; color: #1f2328;
  font: 16px/1.5 -apple-system, "Segoe UI", "Noto Sans", "Liberation Sans", Helvetica, Arial, sans-serif; }
h1, h2 { padding-bottom: .3em; border-bottom: 1px solid #d1d9e0; line-height: 1.25; margin: 24px 0 16px; }
a { color: #0969da; text-decoration: none; }
img { max-width: 100%; }
code, pre { font: 13.6px/1.45 "DejaVu Sans Mono", monospace; background: #f6f8fa; border-radius: 6px; }
code { padding: .2em .4em; }
pre { padding: 16px; overflow: auto; }
pre code { padding: 0; }
table { border-collapse: collapse; display: block; overflow: auto; }
th, td { padding: 6px 13px; border: 1px solid #d1d9e0; }
tr:nth-child(2n) { background: #f6f8fa; }
"""


def pictures(workshop: Workshop) -> Iterator[tuple[str, bytes]]:
    """Yield the picture with its name."""
    shown = workshop.folder / "readme.html"
    shown.write_text(html((ROOT / "README.md").read_text(encoding="utf-8")), encoding="utf-8")
    with page(workshop.browser, WIDTH, 1400, offline=True) as opened:
        opened.goto(shown.as_uri())
        yield "readme", whole(opened)


def html(markdown: str) -> str:
    """Return a page of Markdown; its relative links start at the root of the repository."""
    parser = MarkdownIt("commonmark", {"html": True, "highlight": _coloured}).enable("table")
    colours = HtmlFormatter().get_style_defs("pre")
    head = f'<meta charset="utf-8"><base href="{ROOT.as_uri()}/"><style>{colours}{STYLE}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{parser.render(markdown)}</body></html>"


def _coloured(code: str, language: str, _: str) -> str:
    return highlight(code, get_lexer_by_name(language or "text"), HtmlFormatter(nowrap=True))
