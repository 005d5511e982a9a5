"""Do objects show themselves: one readable line at a prompt, and a card in a notebook? Nothing real is mocked."""

from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import psutil
import pytest
from conftest import ROOT, make_images, small_net
from PIL import Image

from trainer import Run
from trainer.checkpoint import Checkpoints
from trainer.config.schema import Config
from trainer.data.imageset import ImageSet, Source
from trainer.data.split import split
from trainer.display.shown import LONGEST, Shown
from trainer.evaluation.predictions import Predictions
from trainer.registry import plugins
from trainer.result import Result, Scores
from trainer.runs.files import RunFiles

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e&"
"""A name as others may make it."""


@pytest.fixture(scope="module")
def shown(keras, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown]:
    """One object of each kind, from a run with hostile names."""
    from trainer import Trainer
    from trainer.runs.manifest import read_saved

    names = tuple(f"{HOSTILE}{k}" for k in range(4))
    data = split(Source(HOSTILE, make_images(200), None, names, notices=(HOSTILE,)), seed=0)
    folder = tmp_path_factory.mktemp("shown") / "<script>run"
    trainer = Trainer(small_net(keras), plugins=[plugins.build("checkpoint")], run_dir=folder)
    trainer.fit(data, epochs=2)
    run, files, course = trainer.run, RunFiles(folder), trainer.loop.course
    run.stop_reason = HOSTILE
    saved = read_saved(next(Checkpoints(folder / "checkpoints").newest()))
    images = replace(data.train, images=data.train.images.astype(np.float32) / 255)
    values = [data, data.train, images, run, run.result, run.result.test, run.result.best, run.predictions, trainer]
    values += [trainer.evaluator, trainer.task, files, files.run, files.seen, saved, saved.checkpoint, saved.manifest]
    values += [Checkpoints(folder / "checkpoints"), course.train, course.validation, Config(), Result(), Run()]
    return {f"{k} {type(value).__name__}": value for k, value in enumerate(values)}


def pictures(html: str, kind: str) -> list[bytes]:
    """Return the pictures of a kind that stand in HTML."""
    return [b64decode(found) for found in re.findall(rf"data:image/{re.escape(kind)};base64,([\w+/=]+)", html)]


class Tags(HTMLParser):
    """Collects the names of tags, and checks that each one that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.add(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(html: str) -> set[str]:
    reader = Tags()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader.names


def test_everything_has_one_readable_line(shown):
    for name, value in shown.items():
        line = repr(value)
        assert line.startswith(f"{type(value).__name__}("), name
        assert line.isprintable(), name
        assert len(line) < LONGEST + 50, name


def test_everything_has_a_card_in_which_no_name_becomes_a_tag(shown):
    for name, value in shown.items():
        html = value._repr_html_()
        assert html is not None, name
        assert tags(html) <= {"a", "div", "img", "pre", "span", "table", "tbody", "td", "th", "thead", "tr"}, name
        assert all(line.isprintable() for line in html.split("\n")), name
        assert len(html) < 60_000, name


def test_the_card_of_data_counts_each_part_and_class_and_shows_images(shown):
    html = shown["0 Data"]._repr_html_()
    assert html.count("data:image/png") == 12
    for words in ("train", "validation", "test", "162", "18", "20"):
        assert words in html
    assert repr(shown["0 Data"]).endswith("162 to train, 18 to validate, 20 to test; 12x12x1, 4 classes)")


def test_the_card_of_a_run_has_headline_curves_and_epochs(shown):
    html = next(value for name, value in shown.items() if name.endswith(" Run"))._repr_html_()
    assert "of 20 test images, 95 %: " in html
    assert "data:image/svg+xml" in html
    assert "val accuracy" in html


@pytest.mark.parametrize("labels", [[-1, 5], [0, 2**31 - 1], [7, 7]])
def test_labels_of_any_number_are_counted(labels):
    images = ImageSet(np.zeros((2, 8, 8, 3), np.uint8), np.array(labels, np.int32))
    assert str(max(labels)) in images._repr_html_()
    assert repr(images) == "ImageSet(2 images of 8x8x3)"


def test_many_classes_are_summed_up():
    html = make_images(200, classes=20, side=20)._repr_html_()
    assert "largest class" in html
    assert html.count("data:image/png") == 12


def test_of_a_large_set_only_the_images_that_are_shown_are_read(tmp_path: Path):
    pixels = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=(20_000, 1000, 1000, 1))  # 20 GB, none of it written
    images = ImageSet(pixels, np.arange(20_000, dtype=np.int32) % 10)
    before = psutil.Process().memory_info().rss
    assert repr(images) == "ImageSet(20,000 images of 1000x1000x1)"
    drawn = Image.open(BytesIO(pictures(images._repr_html_(), "png")[0]))
    assert max(drawn.size) <= 96
    assert psutil.Process().memory_info().rss - before < 200_000_000


class Odd(Shown):
    """Says a line that a terminal would obey, or raises."""

    def __init__(self, said: str | None) -> None:
        self.said = said

    def _line(self) -> str:
        return self.said + "!"


def test_whatever_a_class_says_of_itself_is_harmless():
    assert repr(Odd("a\x1b[31m\nb")) == "Odd(a\\x1b[31m\\nb!)"
    assert "<b>" not in Odd("<b>")._repr_html_()
    assert len(repr(Odd("x" * 10_000))) < LONGEST + 50
    assert "Odd object" in repr(Odd(None))


@pytest.mark.parametrize("kind", [ImageSet, Run, Config, RunFiles, Predictions, Checkpoints])
def test_what_is_half_made_is_shown_without_an_exception(kind):
    half = kind.__new__(kind)
    assert kind.__name__ in repr(half)
    half._repr_html_()


def test_a_run_directory_that_has_gone_is_shown_without_an_exception(shown, tmp_path: Path):
    import shutil

    files = next(value for value in shown.values() if isinstance(value, RunFiles))
    gone = RunFiles(Path(shutil.copytree(files.path, tmp_path / "gone")))
    shutil.rmtree(gone.path)
    assert "RunFiles" in repr(gone)
    gone._repr_html_()


def test_a_number_that_is_missing_or_not_finite_has_a_headline_still():
    assert Scores({"accuracy": float("nan"), "loss": 0.5}).headline() == "loss 0.5000"
    assert Scores({"accuracy": 0.5}).headline() == "accuracy 50.00 %"
    assert Scores().headline() == ""


def test_curves_leave_out_what_is_not_a_finite_number():
    losses = [2.0, float("nan"), float("inf"), None, 1.0]
    history = [{"kind": "epoch", "epoch": k, "step": k, "loss": loss} for k, loss in enumerate(losses, 1)]
    html = Run(history=history)._repr_html_()
    picture = ElementTree.fromstring(pictures(html, "svg+xml")[0])
    assert picture.find(".//{*}polyline").get("points").count(",") == 2
    assert "data:image" not in Run(history=history[1:4])._repr_html_()


def test_a_headline_has_the_interval_of_wilson():
    scores = Scores({"accuracy": 0.976, "confusion": [[250, 4], [8, 238]]})
    assert scores.headline("test image") == "97.60 % of 500 test images, 95 %: 95.85 to 98.62"


def test_a_plugin_shows_its_arguments_but_no_address():
    assert repr(plugins.build("early_stopping", monitor="val_loss", patience=3)).startswith("EarlyStopping(")
    assert "patience=3" in repr(plugins.build("early_stopping", monitor="val_loss", patience=3))
    assert "secret" not in repr(plugins.build("mlflow", tracking_uri="http://me:secret@127.0.0.1:1"))


def test_to_show_itself_an_object_imports_nothing_heavy():
    program = (
        "import sys, numpy as np\n"
        "from trainer import Run\n"
        "from trainer.config.schema import Config\n"
        "from trainer.data.imageset import ImageSet\n"
        "from trainer.result import Scores\n"
        "images = ImageSet(np.zeros((9, 8, 8, 1), np.uint8), np.zeros(9, np.int32))\n"
        "history = [{'kind': 'epoch', 'epoch': 1, 'step': 1, 'loss': 1.0}]\n"
        "for each in (images, Run(history=history), Config(), Scores({'accuracy': 0.5, 'confusion': [[1, 1]]})):\n"
        "    assert repr(each) and each._repr_html_()\n"
        "print({'tensorflow', 'keras', 'matplotlib', 'pandas', 'scipy', 'IPython'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("set()\n", "")
