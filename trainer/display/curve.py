"""Learning curves as a small SVG picture, drawn without a plotting library."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from trainer.display.html import BLUE, GRAY, ORANGE, RULE
from trainer.text import printable

WIDTH, HEIGHT = 216, 120
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 22, 18
MOST = 400
"""Points of a curve that are drawn."""
STEEP = 20
"""Ratio of the largest to the smallest value from which the axis is logarithmic."""

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" '
    'font-family="sans-serif" font-size="11">{2}</svg>'
)

History = Sequence[Mapping[str, Any]]
Points = list[tuple[float, float]]


def curves(history: History, steps_per_epoch: int = 0, names: Sequence[str] = ("loss", "accuracy")) -> Markup:
    """Return a picture with a panel per number, training and validation in each; empty before there is anything.

    Args:
        history: The lines of `history.jsonl`.
        steps_per_epoch: Places validations in mid-epoch; 0 if unknown.
        names: The numbers.
    """
    drawn = []
    for name in names:
        lines = [(key, points(history, key, steps_per_epoch)) for key in (name, f"val_{name}")]
        if any(found for _, found in lines):
            drawn.append(_panel(name, lines))
    if not drawn:
        return Markup("")
    width = len(drawn) * (WIDTH + 12)
    moved = [
        Markup('<g transform="translate({} 0)">{}</g>').format(k * (WIDTH + 12), each) for k, each in enumerate(drawn)
    ]
    picture = Markup(SVG).format(width, HEIGHT, Markup("").join(moved))
    address = f"data:image/svg+xml;base64,{b64encode(picture.encode()).decode()}"
    image = '<img src="{}" alt="learning curves of {}" style="max-width:100%">'
    return Markup(image).format(address, " and ".join(names))


def points(history: History, name: str, steps_per_epoch: int) -> Points:
    """Return the epochs and the finite values of a logged number, thinned out if there are many."""
    found = []
    for line in history:
        value = line.get(name)
        if line.get("kind") != "batch" and isinstance(value, int | float) and math.isfinite(value):
            found.append((line["step"] / steps_per_epoch if steps_per_epoch else line["epoch"], float(value)))
    every = -(-len(found) // MOST)
    return found[:: every or 1]


def _panel(name: str, lines: Sequence[tuple[str, Points]]) -> Markup:
    """Return one number over the epochs."""
    xs = [x for _, found in lines for x, _ in found]
    ys = [y for _, found in lines for _, y in found]
    log = min(ys) > 0 and max(ys) > STEEP * min(ys)
    across, up = _scale(min(xs), max(xs), LEFT, WIDTH - RIGHT), _scale(min(ys), max(ys), HEIGHT - BOTTOM, TOP, log)
    text = '<text x="{}" y="{}" fill="{}" text-anchor="{}">{}</text>'
    parts = [
        Markup('<path d="M{0} {1}V{2}H{3}" fill="none" stroke="{4}"/>').format(
            LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT, RULE
        ),
        Markup(text).format(LEFT, 12, GRAY, "start", printable(name).replace("_", " ")),
        *(Markup(text).format(LEFT - 5, round(up(y) + 4, 1), GRAY, "end", f"{y:.3g}") for y in {min(ys), max(ys)}),
        *(Markup(text).format(round(across(x), 1), HEIGHT - 4, GRAY, "middle", f"{x:.3g}") for x in {min(xs), max(xs)}),
    ]
    for (key, found), colour, place in zip(lines, (BLUE, ORANGE), (WIDTH - 66, WIDTH - 8), strict=True):
        if found:
            label = "validation" if key.startswith("val_") else "training"
            parts.append(Markup(text).format(place, 12, colour, "end", label))
            parts.append(_line([(across(x), up(y)) for x, y in found], colour))
    return Markup("").join(parts)


def _line(places: Points, colour: str) -> Markup:
    """Return a curve; where it has few points, each gets a dot."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    line = Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="1.8"/>').format(path, colour)
    dot = '<circle cx="{:.1f}" cy="{:.1f}" r="2.2" fill="{}"/>'
    return line + Markup("").join(Markup(dot).format(x, y, colour) for x, y in places if len(places) <= 30)


def _scale(low: float, high: float, start: float, end: float, log: bool = False) -> Any:
    """Return the function from values to places, linear or logarithmic; a single value lies in the middle."""
    form = math.log if log else float
    span = form(high) - form(low)
    return lambda value: start + (end - start) * ((form(value) - form(low)) / span if span else 0.5)
