"""Is the report of a run complete, correct, self-contained and safe to open?"""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import make_images, run_script
from test_report_plugin import CONFUSION, REST, predicted, validated

from plugins.report.plugin import Report
from plugins.report.rebuild import rebuild, write_report
from trainer.checkpoint import LAYOUT
from trainer.errors import UsageError
from trainer.run import Run

HOSTILE = "<script>alert(1)</script>|*a*"
DATA = {
    **{"name": HOSTILE, "digest": "0123", "train": 900, "validation": 100, "test": 3000, "input_shape": [6, 6, 1]},
    **{"class_names": ["zero", HOSTILE, "two"], "notices": [f"only a part: {HOSTILE}"]},
}
CONFIG = """
[model]
name = "lenet"

[data]
name = "<b>bold</b>"
batch_size = 128
augmentation = "light"

[optimizer]
name = "adam"
learning_rate = 0.002
schedule = "cosine"

[training]
seed = 0
"""
VOID = {"img", "meta", "link", "br"}


class Page(HTMLParser):
    """Parses a page into its tags, references and text; fails on unclosed tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.tags.append(tag)
        self.sources += [values["src"] or ""] if "src" in values else []
        self.links += [values["href"] or ""] if "href" in values else []
        self.pictures += [values.get("alt") or ""] if tag == "img" else []
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        """The readable text, in one line."""
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's report as written by its plugin; every name in it is hostile."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "config.toml").write_text(CONFIG)
    known = {
        "command": f"fit.py {HOSTILE}",
        "versions": {"python": "3.11"},
        "git_commit": "abc",
        "started": "2026-01-31T12:00:00+0000",
    }
    (folder / "run.json").write_text(json.dumps({"layout": LAYOUT, "status": "running", "data": DATA, **known}))
    result = {"test": {"accuracy": 0.996, "ece": 0.01, "nll": 0.02, "confusion": CONFUSION, "per_class": [{}] * 3}}
    history = [validated(number) for number in (1, 2, 3)]
    values = {"directory": folder, "history": history, "steps_per_epoch": 100, "result": {**result, **REST}}
    Report().on_test_end(Run(**values, data=DATA, predictions=predicted()))
    return folder / "report"


def test_the_page_needs_nothing_but_itself(report):
    page = Page((report / "index.html").read_text())
    assert len(page.sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert all(page.pictures)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert {(report / link).name for link in page.links if (report / link).is_file()} == set(page.links)
    assert "default-src 'none'" in (report / "index.html").read_text()


def test_the_page_says_what_the_run_was(report):
    text = Page((report / "index.html").read_text()).text
    for said in (
        "99.60",
        "61,706",
        "12 s",
        "95",
        "Validation chose the weights of epoch 2",
        "steps 10.000",
        "batch_size",
    ):
        assert said in text
    found = json.loads((report / "evaluation.json").read_text())
    assert found["accuracy"]["right"] == 2988
    assert f"{100 * found['accuracy']['low']:.2f}" in text
    assert "Not measured" in text


def test_names_are_shown_verbatim_and_never_executed(report):
    page = (report / "index.html").read_text()
    assert HOSTILE in Page(page).text
    assert "<script>alert" not in page
    assert "<b>bold" not in page
    card = (report / "model_card.md").read_text().split("---")[2]
    assert "<script>" not in card.replace("\\<", "")
    assert all(line.count("|") - line.count("\\|") == 6 for line in card.splitlines() if "zero |" in line)


def test_the_card_has_a_head_for_machines_and_figures_for_people(report):
    yaml = pytest.importorskip("yaml")
    card = (report / "model_card.md").read_text()
    _, head, body = card.split("---\n", 2)
    values = yaml.safe_load(head)
    (entry,) = values["model-index"]
    (result,) = entry["results"]
    assert {metric["type"]: metric["value"] for metric in result["metrics"]} == {
        "accuracy": 0.996,
        "ece": 0.01,
        "nll": 0.02,
    }
    assert values["datasets"] == [HOSTILE]
    for section in ("Intended use", "Limits", "Data", "Procedure", "Evaluation", "How to use"):
        assert f"\n## {section}\n" in body
    for said in ("adam with a learning rate of 0.002", "900 images to train", "99.60", "Hardest classes"):
        assert said in body


def test_robustness_is_reported_once_it_was_measured(report, tmp_path):
    shutil.copytree(report.parent, tmp_path, dirs_exist_ok=True)
    report = tmp_path / "report"
    rows = ["corruption,trained_for,accuracy,low,high", "fog,False,0.25,0.2,0.3", "shear,True,0.95,0.9,0.99"]
    (report / "robustness.csv").write_text("\n".join(rows))
    write_report(tmp_path, {**REST, "test": {}})
    text = Page((report / "index.html").read_text()).text
    assert "60.00" in text
    assert "25.00" in text
    assert "Not measured" not in text
    assert "fog (25.0" in (report / "model_card.md").read_text()


def test_a_run_that_was_interrupted_has_a_page_that_says_so(tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG)
    known = {"layout": LAYOUT, "status": "interrupted", "stop_reason": "SIGTERM", "data": {}}
    (tmp_path / "run.json").write_text(json.dumps(known))
    plugin, run = Report(), Run(directory=tmp_path, history=[validated(1)], steps_per_epoch=100)
    plugin.on_fit_start(run)
    plugin.on_fit_end(run)
    text = Page((tmp_path / "report" / "index.html").read_text()).text
    assert "The run is interrupted: SIGTERM. It has not been tested." in text
    assert not (tmp_path / "report" / "model_card.md").exists()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is not a run directory"):
        rebuild(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a run on it, including its report."""
    folder = tmp_path_factory.mktemp("report")
    train, test = make_images(200, side=28), make_images(40, side=28, seed=1)
    np.savez(folder / "own.npz", x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels)
    arguments = (
        "--data",
        "own.npz",
        "--epochs",
        "1",
        "--run-dir",
        "run",
        "--no-plugin",
        "mlflow",
        "--progress",
        "none",
    )
    done = run_script(folder, "fit.py", *arguments)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_report_is_made_again_from_the_run(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copy(trained / "own.npz", tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run" / "report").iterdir()}
    shutil.rmtree(tmp_path / "run" / "report")
    done = run_script(tmp_path, "report.py", "run")
    assert (done.returncode, done.stdout) == (0, "run/report/index.html\n"), done.stderr
    after = {path.name: path.read_bytes() for path in (tmp_path / "run" / "report").iterdir()}
    assert set(after) == set(before)
    same = {"confusion.csv", "per_class.csv", "evaluation.json", "curves.csv", "confusion.png", "curves.png"}
    assert {name for name in same if after[name] != before[name]} == set()


@pytest.mark.slow
def test_a_report_without_the_data_says_what_is_missing(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "report")
    done = run_script(tmp_path, "report.py", "run")
    assert (done.returncode, done.stdout) == (0, "run/report/index.html\n")
    assert "Traceback" not in done.stderr
    assert "report.py: the test images were not read again" in done.stderr
    names = {path.name for path in (tmp_path / "run" / "report").iterdir()}
    assert {"index.html", "model_card.md", "curves.png", "confusion.png"} <= names
    assert "errors.png" not in names


@pytest.mark.slow
def test_a_folder_that_is_not_a_run_is_wrong_usage(tmp_path):
    done = run_script(tmp_path, "report.py", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "report.py: error: nothing is not a run directory: run.json is missing\n"
