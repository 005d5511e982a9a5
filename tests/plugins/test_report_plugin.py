"""Are the pictures of a run there, legible and consistent with the tables behind them?"""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from plugins.report.pictures.confusion import cell_colours, draw_confusion
from plugins.report.pictures.curves import best_point, draw_curves
from plugins.report.pictures.errors import draw_errors, error_rows
from plugins.report.pictures.reliability import draw_reliability
from plugins.report.pictures.robustness import draw_corruptions, draw_variations
from plugins.report.pictures.tables import write_table
from plugins.report.plugin import Report
from trainer.checkpoint import LAYOUT
from trainer.evaluation.calibration import reliability
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.robustness.corruptions import CORRUPTIONS
from trainer.evaluation.robustness.measure import summary
from trainer.evaluation.robustness.variations import VARIATIONS
from trainer.run import Run
from trainer.runs.reported import read_table

CONFUSION = [[990, 10, 0], [0, 1000, 0], [2, 0, 998]]
PICTURES = ("confusion", "curves", "errors", "reliability")


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


def rendered(figure: Figure) -> FigureCanvasAgg:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas


def texts_in_each_others_way(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of visible texts in a figure that overlap, and those that leave it, paired with an empty one."""
    canvas = rendered(figure)
    axes = [axis for parent in figure.axes for axis in (parent, *parent.child_axes)]
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axis in axes:
        texts += [*axis.texts, axis.xaxis.label, axis.yaxis.label]
        for side in (axis.xaxis, axis.yaxis):
            low, high = sorted(side.get_view_interval())
            # Ticks beyond the axis limits have texts that are never drawn.
            texts += [tick.label1 for tick in side.get_major_ticks() if low <= tick.get_loc() <= high]
            texts += [tick.label2 for tick in side.get_major_ticks() if low <= tick.get_loc() <= high]
    shown = [text for text in texts if text.get_visible() and text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in shown]
    inside = figure.bbox.padded(1.0)
    outside = [
        (text, "") for text, box in boxes if not inside.contains(box.x0, box.y0) or not inside.contains(*box.max)
    ]
    return outside + [(a, b) for (a, one), (b, other) in itertools.combinations(boxes, 2) if one.overlaps(other)]


def test_a_run_that_was_tested_has_both_pictures_and_their_tables(tmp_path: Path) -> None:
    plugin, run = Report(), ended(tmp_path, data={"class_names": ["zero", "one", "two"]})
    plugin.on_fit_start(run)
    plugin.on_test_end(run)
    plugin.on_fit_end(run)

    report = tmp_path / "report"
    files = {f"{name}.{kind}" for name in PICTURES for kind in ("csv", "png")}
    others = {"per_class.csv", "evaluation.json", "index.html", "model_card.md"}
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
    for name in PICTURES:
        with Image.open(report / f"{name}.png") as picture:
            assert picture.format == "PNG"
            assert len(picture.convert("RGB").getcolors(10**6) or []) > 10


def test_pictures_are_drawn_once(tmp_path: Path) -> None:
    plugin, run = Report(), ended(tmp_path)
    plugin.on_fit_start(run)
    plugin.on_test_end(run)
    (tmp_path / "report" / "curves.png").unlink()
    plugin.on_fit_end(run)
    assert not (tmp_path / "report" / "curves.png").exists()


def test_a_run_that_ended_before_its_test_has_curves(tmp_path: Path) -> None:
    plugin, run = Report(), ended(tmp_path, result={}, predictions=None, status="interrupted")
    plugin.on_fit_start(run)
    plugin.on_fit_end(run)
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["curves.csv", "curves.png", "index.html"]


def test_a_run_that_continued_has_no_figures_of_earlier_weights(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "robustness.csv").write_text("corruption,accuracy,trained_for\nfog,0.1,False\n")
    Report().on_test_end(ended(tmp_path))
    assert not (tmp_path / "report" / "robustness.csv").exists()
    assert "fog" not in (tmp_path / "report" / "index.html").read_text()


def test_a_run_that_ended_before_its_first_epoch_has_no_pictures(tmp_path: Path) -> None:
    plugin, run = Report(), ended(tmp_path, result={}, predictions=None, history=[])
    plugin.on_fit_start(run)
    plugin.on_fit_end(run)
    assert list(tmp_path.rglob("*.png")) == []


def test_a_result_without_classes_has_curves_alone(tmp_path: Path) -> None:
    plugin, run = Report(), ended(tmp_path, result={"test": {"loss": 0.1}, **REST}, predictions=None)
    plugin.on_fit_start(run)
    plugin.on_test_end(run)
    assert {path.stem for path in (tmp_path / "report").iterdir()} == {"curves", "index", "model_card"}


def test_a_run_without_a_directory_is_not_drawn() -> None:
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
    ],
)
def test_no_text_of_the_curves_overlaps_another_or_leaves_the_picture(history: list[dict[str, Any]]) -> None:
    assert texts_in_each_others_way(draw_curves(history, 100, "a-run-with-a-rather-long-name " * 4)) == []


@pytest.mark.parametrize("names", [["0", "1"], ["cat", "a very long class name indeed"], [*"0123456789"]])
def test_no_text_of_the_confusion_matrix_overlaps_another_or_leaves_the_picture(names: list[str]) -> None:
    counts = np.full((len(names), len(names)), 8888)
    assert texts_in_each_others_way(draw_confusion(counts, names, "lenet-20260101-120000")) == []


@pytest.mark.slow
def test_a_hundred_classes_with_long_names_stay_legible() -> None:
    names = [f"a class with a long name {number}" for number in range(100)]
    figure = draw_confusion((np.eye(100, dtype=int) + np.eye(100, k=1, dtype=int)) * 8888, names, "many")
    assert texts_in_each_others_way(figure) == []
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(set(labels)) == 100
    assert min(float(label.get_fontsize()) for label in figure.axes[0].get_yticklabels()) >= 6


def test_every_count_that_is_not_zero_is_printed() -> None:
    figure = draw_confusion(np.array(CONFUSION), ["a", "b", "c"])
    printed = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in figure.axes[0].texts}
    assert printed == {(0, 0): "990", (0, 1): "10", (1, 1): "1000", (2, 0): "2", (2, 2): "998"}


def test_an_error_of_one_in_a_thousand_is_seen_beside_a_diagonal_of_99_percent() -> None:
    shares = np.array(CONFUSION) / 1000
    shares[2] = (0.001, 0.0, 0.999)
    colours = cell_colours(shares)
    assert np.abs(colours[2, 0] - colours[2, 1]).max() > 0.15
    assert np.abs(colours[2, 0] - colours[0, 1]).max() > 0.15
    red, _, blue, _ = np.moveaxis(colours, -1, 0)
    assert (np.diag(blue) > np.diag(red)).all()
    assert all(red[cell] > blue[cell] for cell in [(0, 1), (2, 0)])


def test_a_class_without_images_and_names_that_look_like_formulas_are_drawn(tmp_path: Path) -> None:
    names = ["$\\x{$", "あ", ""]
    counts = [[1, 2, 0], [0, 0, 0], [0, 0, 3]]
    Report().on_test_end(ended(tmp_path, data={"class_names": names}, predictions=predicted(counts)))
    assert read_csv(tmp_path / "report" / "confusion.csv")[0][1:] == names
    with Image.open(tmp_path / "report" / "confusion.png") as picture:
        assert min(picture.size) > 200


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


def test_the_best_epoch_is_marked_in_every_panel_and_named_in_the_heading() -> None:
    figure = draw_curves([validated(number) for number in range(1, 11)], 100, "run")
    lowest = min(range(1, 11), key=lambda number: validated(number)["val_loss"])
    assert len(figure.axes) == 3
    for axis in figure.axes:
        assert [lowest, lowest] in [np.asarray(line.get_xdata()).tolist() for line in axis.lines]
    assert f"at epoch {lowest}" in figure.get_suptitle()


def test_pictures_need_no_screen_and_load_no_pyplot_and_epochs_load_no_matplotlib(tmp_path: Path) -> None:
    script = (
        "import json, sys; from pathlib import Path; from plugins.report.plugin import Report; "
        "from trainer.run import Run\n"
        "run, plugin = Run(directory=Path(sys.argv[1]), history=json.loads(sys.argv[2])), Report()\n"
        "plugin.on_fit_start(run); plugin.on_epoch_end(run); print('matplotlib' in sys.modules)\n"
        "plugin.on_test_end(run); print({'matplotlib.pyplot', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    process = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), json.dumps([validated(1)])],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "TkAgg", "DISPLAY": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (process.stdout, process.stderr) == ("False\nset()\n", "")
    assert (tmp_path / "report" / "curves.png").exists()


NAMES = [["0", "1", "2"], ["T-shirt/top", "Ankle boot", "a class with a very long name"]]


@pytest.mark.parametrize(("names", "most"), [(NAMES[0], 1), (NAMES[1], 7), (NAMES[0], 60), (NAMES[1], 60)])
def test_no_text_of_the_errors_overlaps_another_or_leaves_the_picture(names: list[str], most: int) -> None:
    predictions = predicted([[5, 40, 3], [20, 5, 9], [30, 8, 4]], channels=3 if most == 7 else 1)
    rows = error_rows(predictions, names)
    assert len(rows) == 110
    images = np.stack([predictions.images[row["image"]] for row in rows[:most]])
    assert texts_in_each_others_way(draw_errors(images, rows[:most], len(rows), "a-run: some data " * 5)) == []


def test_errors_are_those_that_are_wrong_the_most_confident_first() -> None:
    predictions = predicted()
    rows = error_rows(predictions, ["zero", "one", "two"])
    told = [row["probability"] for row in rows]
    assert told == sorted(told, reverse=True)
    assert {(row["true"], row["read"]) for row in rows} == {("zero", "one"), ("two", "zero")}
    for row in rows:
        assert row["probability"] == pytest.approx(predictions.probabilities()[row["image"]].max())
        assert row["probability"] > row["probability_of_true"]


def test_no_text_of_the_reliability_diagram_leaves_the_picture() -> None:
    predictions = predicted()
    kinds = {
        name: reliability(predictions.probabilities(name == "calibrated"), predictions.labels)
        for name in ("as they are", "calibrated")
    }
    figure = draw_reliability(kinds, {"as they are": 0.01, "calibrated": 0.002}, "a-run-with-a-rather-long-name " * 4)
    assert texts_in_each_others_way(figure) == []
    for bins in kinds.values():
        assert sum(row["images"] for row in bins) == len(predictions.labels)


@pytest.mark.parametrize("trained", [(), ("shear", "scale"), tuple(c.name for c in CORRUPTIONS)])
def test_no_text_about_robustness_overlaps_another_or_leaves_the_picture(trained: tuple[str, ...]) -> None:
    share = {"accuracy": 0.987, "low": 0.98, "high": 0.99}
    rows = [{"corruption": c.name, "trained_for": c.name in trained, **share} for c in CORRUPTIONS]
    assert texts_in_each_others_way(draw_corruptions(rows, summary(rows), "a-run: data " * 9)) == []
    varied = [{"variation": v.name, "unit": v.unit, "amount": a, **share} for v in VARIATIONS for a in v.amounts]
    assert texts_in_each_others_way(draw_variations(varied, "a-run: data " * 9)) == []


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [{"name": "a, b", "share": 0.25, "seen": True}, {"name": "c", "share": None, "seen": False, "more": 2}]
    write_table(rows, tmp_path / "table.csv")
    assert read_table(tmp_path / "table.csv") == [{**rows[0], "more": None}, rows[1]]
