"""Is the report of a run complete, correct, self-contained and safe to open?"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from conftest import make_images, run_script
from test_report_plugin import CONFUSION, REST, predicted, validated

from plugins.report.contents import Ending
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
epochs = 3
seed = 0
"""
ENDED = Ending({**REST, "test": {}}, [validated(1)], 100)
VOID = {"img", "meta", "link", "br"}


class Page(HTMLParser):
    """Parses a page into its tags, references and text; fails on unclosed tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.described: dict[str, list[str]] = {"svg": [], "span": []}
        self.texts: list[str] = []
        self.codes: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.tags.append(tag)
        self.sources += [values["src"] or ""] if "src" in values else []
        self.links += [values["href"] or ""] if "href" in values else []
        if values.get("role") == "img":
            self.described[tag].append(values.get("aria-label") or "")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._open[-1:] == ["code"]:
            self.codes.append(data)

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
    text = (report / "index.html").read_text()
    page = Page(text)
    assert page.sources == []
    assert re.findall(r'url\("(.*?),', text) == ["data:image/png;base64"]
    assert len(page.described["svg"]) == 5
    assert len(page.described["span"]) == 12
    assert all(page.described["svg"] + page.described["span"])
    assert not {"script", "link", "iframe", "object", "img", "form"} & set(page.tags)
    assert {(report / link).name for link in page.links if (report / link).is_file()} == set(page.links)
    assert "default-src 'none'" in text


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
    assert "evaluate " in text
    assert "--robustness" in text


def test_the_page_says_what_to_do_next_in_commands_for_a_shell(report, tmp_path):
    folder = tmp_path / "a run; rm -rf"
    shutil.copytree(report.parent, folder)
    write_report(folder, ENDED)
    page = Page((folder / "report" / "index.html").read_text())
    commands = [line.strip() for line in page.codes if line.startswith(("inkwell ", "python "))]
    words = [shlex.split(line) for line in commands]
    assert {line[1] for line in words} >= {"predict", "evaluate", "fit", "export", "report"}
    for line in words:
        assert str(folder) in {word.removesuffix("/config.toml") for word in line}
    card = (folder / "report" / "model_card.md").read_text()
    assert all(line in card for line in commands if " report " not in line)


def test_a_run_that_did_not_end_is_to_be_resumed(tmp_path):
    interrupted(tmp_path)
    page = Page((tmp_path / "report" / "index.html").read_text())
    assert f"inkwell fit --resume {tmp_path}" in page.codes


def test_what_stands_out_is_said(report):
    text = Page((report / "index.html").read_text()).text
    assert "The most frequent error is zero read as" in text
    assert "10 of 12 errors" in text
    assert "Class zero has the lowest recall: 990 of 1,000 images (99.0 %; 95 %: 98.2" in text


def test_calibration_is_told_as_trained_first(report):
    found = json.loads((report / "evaluation.json").read_text())
    text = Page((report / "index.html").read_text()).text
    as_trained, with_temperature = (f"{100 * numbers['ece']:.2f}" for numbers in found["calibration"].values())
    assert f"calibration error {as_trained} % as trained; with the temperature {with_temperature} %" in text


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
    for said in ("adam with a learning rate of 0.002", "900 training images", "99.60", "Lowest recall"):
        assert said in body


@pytest.mark.parametrize(
    ("names", "shape", "refuses"),
    [("0123456789", [28, 28, 1], True), ("0123456789", [32, 32, 3], False), ("abcdefghij", [28, 28, 1], False)],
)
def test_the_card_tells_which_models_refuse_pictures(tmp_path, names, shape, refuses):
    data = {**DATA, "class_names": [*names], "input_shape": shape}
    (tmp_path / "run.json").write_text(json.dumps({"layout": LAYOUT, "status": "running", "data": data}))
    (tmp_path / "report").mkdir()
    write_report(tmp_path, ENDED)
    card = (tmp_path / "report" / "model_card.md").read_text()
    assert "The model itself refuses nothing" in card
    assert ("refuse on its behalf" in card) == refuses
    assert ("`predict.py` refuses nothing either" in card) != refuses


def test_many_classes_show_the_confused_pairs_before_the_matrix(tmp_path):
    names = [f"class {n} {'of a very long name indeed ' * (n == 3)}" for n in range(20)]
    names.append("\u05d0\u05d1\u05d2 \u0627\u0628")
    counts = np.eye(21, dtype=int) * 3
    counts[3, 20] = 5
    data = {**DATA, "class_names": names}
    known = {"status": "running", "data": data}
    (tmp_path / "run.json").write_text(json.dumps({"layout": LAYOUT, **known}))
    result = {"test": {"accuracy": 0.9, "per_class": [{}] * 21}, **REST}
    Report().on_test_end(Run(directory=tmp_path, result=result, data=data, predictions=predicted(counts.tolist())))
    text = (tmp_path / "report" / "index.html").read_text()
    assert text.index("Most confused pairs") < text.index("All 21 classes") < text.index('class="matrix"')
    assert f"<bdi>{names[20]}</bdi>" in text
    assert "62.5" in Page(text).text


def test_robustness_is_reported_once_it_was_measured(report, tmp_path):
    shutil.copytree(report.parent, tmp_path, dirs_exist_ok=True)
    report = tmp_path / "report"
    rows = ["corruption,trained_for,accuracy,low,high", "fog,False,0.25,0.2,0.3", "shear,True,0.95,0.9,0.99"]
    (report / "robustness.csv").write_text("\n".join(rows))
    write_report(tmp_path, ENDED)
    text = Page((report / "index.html").read_text()).text
    assert "60.00" in text
    assert "25.00" in text
    assert "--robustness" not in text
    assert "fog (25.0" in (report / "model_card.md").read_text()


def interrupted(tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG)
    known = {"layout": LAYOUT, "status": "interrupted", "stop_reason": "SIGTERM", "data": {}}
    (tmp_path / "run.json").write_text(json.dumps(known))
    plugin, run = Report(), Run(directory=tmp_path, history=[validated(1)], steps_per_epoch=100)
    plugin.on_fit_start(run)
    plugin.on_fit_end(run)


def test_a_run_that_was_interrupted_has_a_page_that_says_so(tmp_path):
    interrupted(tmp_path)
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
    same = {"confusion.csv", "per_class.csv", "evaluation.json", "curves.csv", "errors.sprite.png", "curves.svg"}
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
    assert {"index.html", "model_card.md", "curves.svg", "confusion.csv"} <= names
    assert "errors.sprite.png" not in names
    assert 'class="matrix"' in (tmp_path / "run" / "report" / "index.html").read_text()


@pytest.mark.slow
def test_a_folder_that_is_not_a_run_is_wrong_usage(tmp_path):
    done = run_script(tmp_path, "report.py", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "report.py: error: nothing is not a run directory: run.json is missing\n"
