"""One chart as SVG, which follows the width and the colours of the page, and whose text is text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from markupsafe import Markup

from plugins.report.pictures.scale import Scale
from trainer.files import write_atomic
from trainer.text import printable

WIDTH, HEIGHT = 420.0, 250.0
TOP, BOTTOM, LEFT = 38.0, 40.0, 60.0
LABELS = 82.0
"""Width of the margin on the right where lines have labels; half a tick's text needs `PLAIN`."""
PLAIN = 22.0
APART = 15.0
"""Least distance between the baselines of two labels."""
ACROSS, EDGE = 3, 14.0
"""Charts side by side in a file, and the margin of the file."""
STYLES = ("colours.css", "chart.css")
TEMPLATES = Path(__file__).parents[1] / "templates"


class Panel:
    """A chart with a name, two axes, and what is drawn between them; sizes are pixels of a phone.

    Colours are `blue`, `orange`, `green` and `muted`; their values are in `templates/colours.css`.

    Args:
        name: What the vertical axis shows.
        x: Horizontal scale.
        y: Vertical scale.
        unit: What the horizontal axis shows.
        about: One sentence for those who do not see it.
        labels: Leave room for labels on the right.
    """

    def __init__(self, name: str, x: Scale, y: Scale, unit: str, about: str, *, labels: bool = False) -> None:
        self.name, self._x, self._y = name, x, y
        self._right = WIDTH - (LABELS if labels else PLAIN)
        self._labels: list[tuple[float, str, str]] = []
        kind = {"class": "panel", "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}", "role": "img", "aria-label": printable(about)}
        self._root = Element("svg", kind)
        self._text(0, 16, name, "name")
        self._axes(unit)

    def shows(self, y: float) -> bool:
        """Return True if a vertical value has a place on the axis."""
        return self._y.shows(y)

    def line(
        self, xs: Sequence[float], ys: Sequence[float], colour: str, *, dots: bool = False, faint: bool = False
    ) -> None:
        """Draw a line through points, broken where one has no place on the axes.

        Args:
            xs: Horizontal values.
            ys: Vertical values, as many.
            colour: A colour of the class.
            dots: Mark the points.
            faint: Keep it in the background.
        """
        for points in self._pieces(xs, ys):
            if len(points) > 1:
                self._shape("polyline", f"line {colour}{' faint' if faint else ''}", points=_joined(points))
            for x, y in points if dots or len(points) == 1 else ():
                self._shape("circle", f"dot {colour}", cx=f"{x:.1f}", cy=f"{y:.1f}", r="3")

    def ring(self, x: float, y: float, colour: str) -> None:
        """Draw a ring around a point."""
        for points in self._pieces([x], [y]):
            self._shape("circle", f"ring {colour}", cx=f"{points[0][0]:.1f}", cy=f"{points[0][1]:.1f}", r="6")

    def band(self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], colour: str) -> None:
        """Fill what lies between two lines."""
        edge = [self._point(x, y) for x, y in zip(xs, lows, strict=True)]
        edge += reversed([self._point(x, y) for x, y in zip(xs, highs, strict=True)])
        self._shape("polygon", f"band {colour}", points=_joined(edge))

    def interval(self, x: float, low: float, high: float, colour: str) -> None:
        """Draw an upright line from one value to another."""
        (left, bottom), (_, top) = self._point(x, low), self._point(x, high)
        self._line(left, bottom, left, top, f"interval {colour}")

    def bar(self, low: float, high: float, value: float, colour: str) -> None:
        """Draw a bar from the bottom to a value, between two horizontal values."""
        (left, top), (right, bottom) = self._point(low, value), self._point(high, self._y.low)
        size = {"width": f"{right - left:.1f}", "height": f"{max(bottom - top, 0):.1f}"}
        self._shape("rect", f"bar {colour}", x=f"{left:.1f}", y=f"{top:.1f}", **size)

    def upright(self, x: float, colour: str, label: str = "") -> None:
        """Draw a dashed line from bottom to top at a horizontal value, with a label above it."""
        left, _ = self._point(x, self._y.low)
        self._line(left, TOP, left, HEIGHT - BOTTOM, f"dashed {colour}")
        if label:
            place = (left - LEFT) / (self._right - LEFT)
            anchor = "start" if place < 0.3 else "end" if place > 0.7 else "middle"
            self._text(left, TOP - 5, label, f"label {colour}", anchor)

    def diagonal(self) -> None:
        """Draw a dashed line from one corner to the other."""
        self._line(LEFT, HEIGHT - BOTTOM, self._right, TOP, "dashed muted")

    def label(self, y: float, text: str, colour: str) -> None:
        """Write a label on the right of where a line ends."""
        self._labels.append((self._point(self._x.low, y)[1], text, colour))

    def key(self, entries: Sequence[tuple[str, str]]) -> None:
        """Write what colours stand for, above the chart, as pairs of colour and text."""
        left = LEFT
        for colour, text in entries:
            self._shape("circle", f"dot {colour}", cx=f"{left + 4:.1f}", cy=f"{TOP - 9:.1f}", r="4")
            self._text(left + 12, TOP - 5, text, f"label {colour}")
            left += 30 + 6.6 * len(text)

    def remark(self, text: str) -> None:
        """Write a remark in the middle."""
        self._text((LEFT + self._right) / 2, (TOP + HEIGHT - BOTTOM) / 2, text, "label muted", "middle")

    def element(self) -> Element:
        """Return the chart as an element of SVG."""
        for y, text, colour in _spread(self._labels):
            self._text(self._right + 7, y + 4, text, f"label {colour}")
        self._labels = []
        return self._root

    def markup(self) -> Markup:
        """Return the chart as part of a page, in which nothing is left to escape."""
        return Markup(tostring(self.element(), encoding="unicode"))

    def _axes(self, unit: str) -> None:
        bottom = HEIGHT - BOTTOM
        for value in self._y.ticks():
            _, y = self._point(self._x.low, value)
            self._line(LEFT, y, self._right, y, "grid")
            self._text(LEFT - 7, y + 4, self._y.text(value), "tick", "end")
        self._line(LEFT, bottom, self._right, bottom, "axis")
        for value in self._x.ticks(8):
            x, _ = self._point(value, self._y.low)
            self._text(x, bottom + 16, self._x.text(value), "tick", "middle")
        self._text((LEFT + self._right) / 2, HEIGHT - 6, unit, "tick", "middle")

    def _point(self, x: float, y: float) -> tuple[float, float]:
        across, up = self._x.place(x), self._y.place(y)
        return LEFT + across * (self._right - LEFT), TOP + (1 - up) * (HEIGHT - TOP - BOTTOM)

    def _pieces(self, xs: Sequence[float], ys: Sequence[float]) -> Iterator[list[tuple[float, float]]]:
        """Return the unbroken pieces of a line, as points on the chart."""
        for shown, points in groupby(zip(xs, ys, strict=True), lambda point: self.shows(point[1])):
            if shown:
                yield [self._point(*point) for point in points]

    def _line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self._shape("line", kind, x1=f"{x1:.1f}", y1=f"{y1:.1f}", x2=f"{x2:.1f}", y2=f"{y2:.1f}")

    def _text(self, x: float, y: float, text: str, kind: str, anchor: str = "start") -> None:
        place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor}
        SubElement(self._root, "text", {"class": kind, **place}).text = printable(text)

    def _shape(self, name: str, kind: str, **attributes: str) -> None:
        SubElement(self._root, name, {"class": kind, **attributes})


def write_charts(panels: Sequence[Panel], path: Path) -> None:
    """Write charts side by side as one SVG file that needs nothing else; without any, there is no such file."""
    if not panels:
        path.unlink(missing_ok=True)
        return
    across = min(ACROSS, len(panels))
    width, height = WIDTH * across + EDGE, HEIGHT * -(-len(panels) // across) + EDGE
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width:g} {height:g}"})
    SubElement(root, "style").text = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in STYLES)
    SubElement(root, "rect", {"class": "paper", "width": f"{width:g}", "height": f"{height:g}"})
    for place, panel in enumerate(panels):
        corner = {"x": f"{EDGE + WIDTH * (place % across):g}", "y": f"{EDGE / 2 + HEIGHT * (place // across):g}"}
        chart = panel.element()
        chart.attrib |= {**corner, "width": f"{WIDTH:g}", "height": f"{HEIGHT:g}"}
        root.append(chart)
    indent(root)
    write_atomic(path, tostring(root, encoding="unicode"))


def _joined(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _spread(labels: Sequence[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Return labels from top to bottom, moved apart where they would overlap."""
    placed: list[tuple[float, str, str]] = []
    for y, text, colour in sorted(labels):
        placed.append((max(y, placed[-1][0] + APART) if placed else y, text, colour))
    over = max(placed[-1][0] - (HEIGHT - BOTTOM), 0) if placed else 0
    return [(y - over, text, colour) for y, text, colour in placed]
