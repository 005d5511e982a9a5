"""Are the charts, tables and images of a run there, readable and true to the numbers behind them?"""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from plugins.report import evaluated
from plugins.report.evaluated import Evaluated
from plugins.report.pictures.confusion import STRONGEST, pairs, shaded
from plugins.report.pictures.curves import best_point, curves, is_flat_at_the_end, thinned
from plugins.report.pictures.errors import error_rows, write_sprite
from plugins.report.pictures.evaluation import write_evaluation
from plugins.report.pictures.panel import Panel
from plugins.report.pictures.reliability import reliability_charts
from plugins.report.pictures.scale import Scale, around
from plugins.report.pictures.tables import write_table
from plugins.report.pictures.variations import variation_charts
from plugins.report.plugin import Report
from plugins.report.rendering import TEMPLATES
from trainer.checkpoint import LAYOUT
from trainer.errors import InkwellError
from trainer.evaluation.calibration import reliability
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.robustness.variations import VARIATIONS
from trainer.run import Run
from trainer.runs.reported import Apart, read_table

CONFUSION = [[990, 10, 0], [0, 1000, 0], [2, 0, 998]]
TABLES = ("confusion", "curves", "errors", "per_class", "reliability")


REST = {
    **{"model": "lenet", "params": {"count": 61706}, "epochs": 3, "steps": 300, "train_seconds": 12.0},
    **{"wall_seconds": 15.0, "images_per_second": 9000.0, "stop_reason": "", "temperature": 1.5, "bottleneck": ""},
    **{"best": {"epoch": 2, "val_accuracy": 0.99}, "time": {"steps": 10.0, "imports": 3.5}},
}
"""Further content of `result.json`."""


@pytest.fixture(autouse=True)
def _run_directory(tmp_path: Path) -> None:
    """Turn the test's folder into a run directory, as the engine does before any hook."""
    (tmp_path / "run.json").write_text(json.dumps({"layout": LAYOUT, "status": "running"}))


def epoch(number: int, **values: float | None) -> dict[str, Any]:
    numbers = {"loss": 1 / number, "accuracy": 1 - 0.2 / number, "learning_rate": 2e-3 / number}
    return {"kind": "epoch", "epoch": number, "step": 100 * number, **numbers, **values}


def validated(number: int) -> dict[str, Any]:
    return epoch(number, val_loss=0.5 / number + 0.02 * number, val_accuracy=1 - 0.1 / number)


def predicted(counts: list[list[int]] = CONFUSION, side: int = 6, channels: int = 1) -> Predictions:
    """Return predictions that give a confusion matrix, for noise images, with various confidences."""
    random, cells = np.random.default_rng(0), np.argwhere(np.array(counts))
    pairs = np.repeat(cells, [counts[true][read] for true, read in cells], axis=0)
    logits = random.normal(0, 0.3, (len(pairs), len(counts)))
    logits[np.arange(len(pairs)), pairs[:, 1]] = random.uniform(2, 9, len(pairs))
    images = random.integers(0, 256, (len(pairs), side, side, channels)).astype(np.uint8)
    return Predictions(logits, pairs[:, 0], images, temperature=1.5)


def ended(directory: Path | None, **fields: Any) -> Run:
    """Return a run in the state after its test."""
    result = {"test": {"accuracy": 0.996, "confusion": CONFUSION, "per_class": [{}] * 3}, **REST}
    history = [validated(number) for number in (1, 2, 3)]
    known = {"directory": directory, "history": history, "steps_per_epoch": 100, "result": result}
    return Run(**{**known, "predictions": predicted(), **fields})


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def shown(panel: Panel) -> Element:
    """Return a chart as whoever opens the file reads it."""
    return fromstring(panel.markup())


def texts(panel: Panel) -> list[str]:
    return [text.text or "" for text in shown(panel).iter("text")]


def boxes(chart: Element) -> list[tuple[str, float, float, float, float]]:
    """Return each text of a chart with its left, top, right and bottom, letters as wide as those of DejaVu Sans."""
    found = []
    for text in chart.iter("text"):
        size = 14 if text.get("class") == "name" else 12
        width = 0.6 * size * len(text.text or "")
        left = float(text.get("x")) - {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor")] * width
        bottom = float(text.get("y")) + 0.2 * size
        found.append((text.text or "", left, bottom - 0.95 * size, left + width, bottom))
    return found


def texts_in_each_others_way(panel: Panel) -> list[tuple[str, str]]:
    """Return the pairs of texts of a chart that overlap, and those that leave it, with an empty partner."""
    chart = shown(panel)
    _, _, width, height = map(float, chart.get("viewBox").split())
    found = boxes(chart)
    outside = [(text, "") for text, *box in found if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height]
    overlapping = [
        (a[0], b[0])
        for a, b in itertools.combinations(found, 2)
        if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
    ]
    return outside + overlapping


def points(panel: Panel, kind: str) -> list[list[tuple[float, float]]]:
    """Return the points of the lines of a class."""
    lines = [line for line in shown(panel).iter("polyline") if line.get("class") == kind]
    return [[tuple(map(float, point.split(","))) for point in line.get("points").split()] for line in lines]


def evaluation_of(folder: Path, predictions: Predictions, names: list[str]) -> Evaluated:
    write_evaluation(folder, predictions, names, {"data": "some images"})
    return evaluated.read(Apart(folder))


def test_a_run_that_was_tested_has_charts_tables_and_images(tmp_path: Path) -> None:
    plugin, run = Report(), ended(tmp_path, data={"class_names": ["zero", "one", "two"]})
    plugin.on_fit_start(run)
    plugin.on_test_end(run)
    plugin.on_fit_end(run)

    report = tmp_path / "report"
    files = {f"{name}.csv" for name in TABLES} | {"curves.svg", "reliability.svg"}
    others = {"evaluation.json", "errors.sprite.png", "index.html", "model_card.md"}
    assert {path.name for path in report.iterdir()} == files | others
    header, *rows = read_csv(report / "curves.csv")
    assert header == ["kind", "epoch", "step", "loss", "accuracy", "learning_rate", "val_loss", "val_accuracy"]
    assert [dict(zip(header, row, strict=True)) for row in rows] == [
        {key: str(value) for key, value in line.items()} for line in run.history
    ]
    header, *rows = read_csv(report / "confusion.csv")
    assert header[1:] == [row[0] for row in rows] == ["zero", "one", "two"]
    assert [[int(count) for count in row[1:]] for row in rows] == CONFUSION
    assert len(read_csv(report / "errors.csv")) == 1 + 12
    for name in ("curves", "reliability"):
        chart = fromstring((report / f"{name}.svg").read_text())
        assert chart.tag == "{http://www.w3.org/2000/svg}svg"
        assert "prefers-color-scheme: dark" in "".join(style.text or "" for style in chart.findall(".//{*}style"))


def test_the_report_is_written_once(tmp_path: Path) -> None:
    plugin, run = Report(), ended(tmp_path)
    plugin.on_fit_start(run)
    plugin.on_test_end(run)
    (tmp_path / "report" / "curves.svg").unlink()
    plugin.on_fit_end(run)
    assert not (tmp_path / "report" / "curves.svg").exists()


def test_a_run_that_ended_before_its_test_has_curves(tmp_path: Path) -> None:
    plugin, run = Report(), ended(tmp_path, result={}, predictions=None, status="interrupted")
    plugin.on_fit_start(run)
    plugin.on_fit_end(run)
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["curves.csv", "curves.svg", "index.html"]


def test_a_resumed_run_has_no_figures_of_earlier_weights(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "robustness.csv").write_text("corruption,accuracy,trained_for\nfog,0.1,False\n")
    Report().on_test_end(ended(tmp_path))
    assert not (tmp_path / "report" / "robustness.csv").exists()
    assert "fog" not in (tmp_path / "report" / "index.html").read_text()


def test_a_run_that_ended_before_its_first_epoch_has_no_charts(tmp_path: Path) -> None:
    plugin, run = Report(), ended(tmp_path, result={}, predictions=None, history=[])
    plugin.on_fit_start(run)
    plugin.on_fit_end(run)
    assert [path for path in tmp_path.rglob("*") if path.suffix in (".png", ".svg")] == []


def test_a_result_without_classes_has_curves_alone(tmp_path: Path) -> None:
    plugin, run = Report(), ended(tmp_path, result={"test": {"loss": 0.1}, **REST}, predictions=None)
    plugin.on_fit_start(run)
    plugin.on_test_end(run)
    assert {path.stem for path in (tmp_path / "report").iterdir()} == {"curves", "index", "model_card"}


def test_a_run_without_a_directory_has_no_report() -> None:
    plugin, run = Report(), ended(None)
    plugin.on_fit_start(run)
    plugin.on_test_end(run)
    plugin.on_fit_end(run)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([validated(1)], id="one epoch"),
        pytest.param([validated(number) for number in range(1, 201)], id="200 epochs"),
        pytest.param([epoch(number) for number in range(1, 6)], id="no validation"),
        pytest.param([validated(1), epoch(2, loss=math.nan, val_loss=math.nan), validated(3)], id="not a number"),
        pytest.param([epoch(1, loss=math.nan, val_loss=math.nan)], id="no number at all"),
        pytest.param([validated(1), epoch(2, loss=math.inf, val_loss=math.inf), validated(3)], id="infinite"),
        pytest.param([epoch(1, accuracy=None, val_accuracy=None)], id="null"),
        pytest.param([{**validated(1), "step": 20}], id="a fifth of an epoch"),
        pytest.param(
            [{"kind": "validation", "epoch": 1, "step": 50, "val_loss": 0.7}, validated(1)], id="in mid-epoch"
        ),
        pytest.param([{"kind": "epoch", "epoch": 1, "step": 100, "loss": 3.0}], id="loss alone"),
        pytest.param([epoch(n, loss=10.0**-n, val_loss=10.0**-n) for n in range(1, 9)], id="eight decades"),
        pytest.param([epoch(n, loss=1e16 + n, val_loss=1e300) for n in range(1, 4)], id="enormous"),
    ],
)
def test_no_text_of_the_curves_overlaps_another_or_leaves_the_chart(history: list[dict[str, Any]]) -> None:
    panels = curves(history, 100)
    assert panels
    assert {panel.name: texts_in_each_others_way(panel) for panel in panels} == {panel.name: [] for panel in panels}


def test_every_number_that_is_logged_gets_a_chart_the_loss_first_the_learning_rate_last() -> None:
    history = [{**validated(number), "top_k": 0.9, "val_top_k": 0.8} for number in (1, 2, 3)]
    assert [panel.name for panel in curves(history, 100)] == ["loss", "accuracy", "top k", "learning rate"]
    assert curves([{"kind": "batch", "epoch": 1, "step": 50, "batch_loss": 1.0}], 100) == []


def test_lines_are_labelled_where_they_end() -> None:
    loss = curves([validated(number) for number in range(1, 11)], 100)[0]
    ends = {text.text: float(text.get("y")) for text in shown(loss).iter("text") if text.text in LABELS}
    lines = {name: points(loss, f"line {colour}")[0][-1] for name, colour in LABELS.items()}
    assert set(ends) == set(LABELS)
    for name, (_, y) in lines.items():
        assert abs(ends[name] - y) < 25
    assert (ends["training"] < ends["validation"]) == (lines["training"][1] < lines["validation"][1])


LABELS = {"training": "blue", "validation": "orange"}


def test_the_scale_is_logarithmic_where_the_last_epochs_are_flat_on_a_linear_one() -> None:
    flat = [
        epoch(n, loss=2 * 0.5**n, accuracy=1 - 0.5**n, val_loss=2 * 0.6**n, val_accuracy=1 - 0.6**n)
        for n in range(1, 13)
    ]
    assert [panel.name for panel in curves(flat, 100)] == [
        *("loss, logarithmic", "error rate, logarithmic"),
        "learning rate",
    ]
    heights = [y for _, y in points(curves(flat, 100)[0], "line blue")[0]]
    steps = np.diff(heights)
    assert steps == pytest.approx(steps[0], abs=0.2)
    steep = [epoch(n, loss=2 - n / 8, accuracy=n / 13, val_loss=2 - n / 9, val_accuracy=n / 14) for n in range(1, 13)]
    assert [panel.name for panel in curves(steep, 100)] == ["loss", "accuracy", "learning rate"]


def test_an_error_rate_of_zero_keeps_the_linear_scale_on_which_it_has_a_place() -> None:
    values = [0.5, 0.1, 0.01, 0.004, 0.002, 0.002, 0.001, 0.0]
    assert is_flat_at_the_end([([*range(7)], values[:7])])
    assert not is_flat_at_the_end([([*range(8)], values)])


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    history = [epoch(n, loss=math.nan if n == 4 else 1 / n) for n in range(1, 8)]
    assert [len(line) for line in points(curves(history, 100)[0], "line blue")] == [3, 3]


def test_many_batches_are_averaged() -> None:
    epochs, values = thinned([*map(float, range(1000))], [1.0, 3.0] * 500, most=100)
    assert len(epochs) == len(values) == 100
    assert values == [2.0] * 100


@pytest.mark.parametrize(
    ("scale", "texts"),
    [
        (Scale(0, 1, percent=True), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        (Scale(0.5, 3.5, whole=True), ["1", "2", "3"]),
        (Scale(0.1, 2, log=True), ["0.1", "0.2", "0.5", "1", "2"]),
        (Scale(0.00008, 200, log=True), ["0.0001", "0.01", "1", "100"]),
        (Scale(1, 120_000, log=True), ["1", "10", "100", "1000", "10,000", "100,000"]),
        (Scale(0.11, 0.19, log=True), ["0.12", "0.14", "0.16", "0.18"]),
    ],
)
def test_round_values_are_written_beside_an_axis(scale: Scale, texts: list[str]) -> None:
    assert [scale.text(value) for value in scale.ticks()] == texts


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-3.0, 1e99], [1e16, 1e16 + 2], [-0.5, 4.0], [5e-324, 0.0]])
def test_any_values_have_a_scale(values: list[float]) -> None:
    for percent in (False, True):
        scale = around(values, percent=percent)
        assert all(0 <= scale.place(value) <= 1 for value in values)
        assert len(scale.ticks()) <= 8


def test_an_error_of_one_in_a_thousand_is_seen_beside_a_diagonal_of_99_percent() -> None:
    cells = shaded([[990, 10, 0], [0, 1000, 0], [1, 0, 999]])
    shades = np.array([[cell.shade for cell in row] for row in cells])
    assert shades[0, 1] == shades[1, 1] == pytest.approx(STRONGEST)
    assert shades[2, 0] > 0.15
    assert shades[shades > 0].min() >= 0.1
    assert [[cell.count for cell in row] for row in cells] == [[990, 10, 0], [0, 1000, 0], [1, 0, 999]]
    assert (shades == 0).sum() == 4


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """Return the contrast of two colours as WCAG 2.2 defines it, from 1 to 21."""
    linear = [
        np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722) for c in (one, other)
    ]
    return (max(linear) + 0.05) / (min(linear) + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_the_contrast_of_wcag_aa(scheme: str) -> None:
    light, dark = re.findall(r":root \{(.*?)\}", (TEMPLATES / "colours.css").read_text(), re.DOTALL)
    found = dict(re.findall(r"--(\w+): (#\w{6})", light if scheme == "light" else dark))
    colours = {name: rgb(value) for name, value in found.items()}
    for text, ground in itertools.product(("ink", "muted", "blue", "orange", "green"), ("paper", "card")):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for hue in ("blue", "orange"):
        strongest = STRONGEST * colours[hue] + (1 - STRONGEST) * colours["card"]
        assert contrast(colours["ink"], strongest) >= 4.5, hue


def test_the_most_confused_pairs_come_first() -> None:
    counts = [[90, 3, 7], [0, 10, 0], [3, 0, 9]]
    found = pairs(counts, [{"class": name} for name in ("a", "b", "c")])
    assert [(pair.true, pair.read, pair.count) for pair in found] == [("a", "c", 7), ("c", "a", 3), ("a", "b", 3)]
    assert found[0].share == pytest.approx(0.07)


def test_a_class_without_images_and_names_in_any_script_are_shown(tmp_path: Path) -> None:
    names = ["$\\x{$", "\u3042", ""]
    counts = [[1, 2, 0], [0, 0, 0], [0, 0, 3]]
    Report().on_test_end(ended(tmp_path, data={"class_names": names}, predictions=predicted(counts)))
    assert read_csv(tmp_path / "report" / "confusion.csv")[0][1:] == names
    page = (tmp_path / "report" / "index.html").read_text()
    assert all(f"<bdi>{name}</bdi>" in page for name in names)


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([0.4, 0.2, 0.3], (2.0, 0.2)),
        ([math.nan, 0.5, math.inf], (2.0, 0.5)),
        ([math.nan] * 3, None),
        ([0.1] * 3, (1.0, 0.1)),
    ],
)
def test_the_best_epoch_is_the_first_with_the_lowest_finite_validation_loss(
    values: list[float], best: tuple[float, float] | None
) -> None:
    assert best_point([1.0, 2.0, 3.0], values) == best


def test_the_best_epoch_is_marked_in_every_chart() -> None:
    panels = curves([validated(number) for number in range(1, 11)], 100)
    lowest = min(range(1, 11), key=lambda number: validated(number)["val_loss"])
    assert len(panels) == 3
    for panel in panels:
        assert f"best: epoch {lowest}" in texts(panel)
    (mark,) = [line for line in shown(panels[0]).iter("line") if line.get("class") == "dashed green"]
    assert float(mark.get("x1")) == points(panels[0], "line orange")[0][lowest - 1][0]


def test_a_report_needs_no_screen_and_loads_no_matplotlib_tensorflow_or_keras(tmp_path: Path) -> None:
    script = (
        "import json, sys; from pathlib import Path; from plugins.report.plugin import Report; "
        "from trainer.run import Run\n"
        "run, plugin = Run(directory=Path(sys.argv[1]), history=json.loads(sys.argv[2])), Report()\n"
        "plugin.on_fit_start(run); plugin.on_epoch_end(run); print('jinja2' in sys.modules)\n"
        "plugin.on_test_end(run); print({'matplotlib', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    process = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), json.dumps([validated(1)])],
        env={**os.environ, "PYTHONPATH": str(ROOT), "DISPLAY": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (process.stdout, process.stderr) == ("False\nset()\n", "")
    assert (tmp_path / "report" / "curves.svg").exists()


@pytest.mark.parametrize(("count", "channels"), [(1, 1), (7, 3), (60, 1)])
def test_each_image_read_wrong_is_in_the_sprite_where_the_page_looks_for_it(
    tmp_path: Path, count: int, channels: int
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, 6, 8, channels)).astype(np.uint8)
    write_sprite(images, tmp_path / "sprite.png")
    with Image.open(tmp_path / "sprite.png") as picture:
        sheet = np.asarray(picture).reshape(picture.height, picture.width, channels)
    for place, image in enumerate(images):
        top, left = 6 * (place // 10), 8 * (place % 10)
        assert (sheet[top : top + 6, left : left + 8] == image).all()


def test_errors_are_those_that_are_wrong_the_most_confident_first() -> None:
    predictions = predicted()
    rows = error_rows(predictions, ["zero", "one", "two"])
    told = [row["probability"] for row in rows]
    assert told == sorted(told, reverse=True)
    assert {(row["true"], row["read"]) for row in rows} == {("zero", "one"), ("two", "zero")}
    for row in rows:
        assert row["probability"] == pytest.approx(predictions.probabilities()[row["image"]].max())
        assert row["probability"] > row["probability_of_true"]


def test_the_page_knows_the_size_of_an_image_in_the_sprite(tmp_path: Path) -> None:
    many = evaluation_of(tmp_path, predicted([[5, 40, 3], [20, 5, 9], [30, 8, 4]], side=7), ["a", "b", "c"])
    assert (len(many.found["surest_errors"]), many.down, many.cell, many.wrong) == (60, 6, (7, 7), 110)
    none = evaluation_of(tmp_path, predicted([[5, 0], [0, 5]]), ["a", "b"])
    assert (none.sprite, none.down, none.cell, none.wrong) == (b"", 0, (0, 0), 0)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("errors.sprite.png", "<script>", "errors.sprite.png is damaged: it is not a PNG image"),
        (
            "evaluation.json",
            {"reliability": [{"probabilities": "as they are", "low": 0, "high": 1, "images": 3}]},
            "bin",
        ),
        ("evaluation.json", {"surest_errors": [{"true": "a", "read": "b", "probability": 2}]}, "probability"),
        ("evaluation.json", {"confusion": [[2**53] * 3] * 3}, "must count at most 9,007,199,254,740,992 images"),
        ("variations.csv", "variation,unit,amount,accuracy,low,high\nshift,pixels,many,1,1,1", "0.amount"),
    ],
)
def test_findings_that_are_damaged_or_forged_are_refused(tmp_path: Path, name: str, content: Any, said: str) -> None:
    write_evaluation(tmp_path, predicted(), ["a", "b", "c"], {})
    if isinstance(content, dict):
        content = json.dumps({**json.loads((tmp_path / name).read_text()), **content})
    (tmp_path / name).write_text(content)
    with pytest.raises(InkwellError, match=said) as refused:
        evaluated.read(Apart(tmp_path))
    assert str(refused.value).startswith(f"{tmp_path / name} is damaged: ")


def test_findings_behind_a_link_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("variation,unit,amount,accuracy,low,high\nshift,pixels,0,1,1,1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "variations.csv").symlink_to(tmp_path / "secret")
    with pytest.raises(InkwellError, match=r"cannot read .*variations\.csv: it is a link; remove it"):
        evaluated.read(Apart(tmp_path / "folder"))


def test_the_reliability_diagram_shows_every_bin_that_has_images() -> None:
    predictions = predicted()
    rows = [
        {"probabilities": kind, **row}
        for kind in ("as they are", "calibrated")
        for row in reliability(predictions.probabilities(kind == "calibrated"), predictions.labels)
    ]
    accuracy, images = reliability_charts(rows)
    assert texts_in_each_others_way(accuracy) == texts_in_each_others_way(images) == []
    assert {"as trained", "with the temperature"} <= set(texts(accuracy))
    filled = [row for row in rows if row["images"]]
    assert len(list(shown(images).iter("rect"))) == len(filled)
    assert len([line for line in shown(accuracy).iter("line") if "interval" in line.get("class")]) == len(filled)
    assert sum(row["images"] for row in rows) == 2 * len(predictions.labels)
    assert reliability_charts([]) == []


@pytest.mark.parametrize(
    ("temperature", "told"),
    [
        (None, ""),
        (3.0, "The temperature did not help on these images: neither error is lower with it."),
        (0.25, "The temperature helped on these images: it lowers both errors."),
    ],
)
def test_it_is_told_whether_the_temperature_helped(tmp_path: Path, temperature: float | None, told: str) -> None:
    logits = np.tile([[2.0, 0.0]], (400, 1)).astype(np.float32)
    labels = np.zeros(400, int)
    labels[:4] = 1  # 99 % are right, and 88 % is what the outputs say
    found = evaluation_of(tmp_path, Predictions(logits, labels, None, temperature), ["a", "b"])
    assert found.calibration == told


def test_no_text_about_variations_overlaps_another_or_leaves_the_chart() -> None:
    share = {"accuracy": 0.987, "low": 0.98, "high": 0.99}
    rows = [{"variation": v.name, "unit": v.unit, "amount": a, **share} for v in VARIATIONS for a in v.amounts]
    panels = variation_charts(rows)
    assert [panel.name for panel in panels] == [f"{v.name}: accuracy" for v in VARIATIONS]
    assert [texts_in_each_others_way(panel) for panel in panels] == [[]] * len(panels)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [{"name": "a, b", "share": 0.25, "seen": True}, {"name": "c", "share": None, "seen": False, "more": 2}]
    write_table(rows, tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv") == [{**rows[0], "more": None}, rows[1]]
