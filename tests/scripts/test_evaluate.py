"""Does evaluate.py use the images that it names, and no others?"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_images, run_script
from PIL import Image

pytestmark = pytest.mark.slow  # every answer takes a process that starts TensorFlow


def write(path: Path, train: int, test: int = 0, seed: int = 0) -> Path:
    parts = {"train": make_images(train, side=28, seed=seed), "test": make_images(test, side=28, seed=seed + 100)}
    arrays = {}
    for part, images in parts.items():
        if len(images):
            arrays |= {f"x_{part}": images.images, f"y_{part}": images.labels}
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and two runs: one on data alone, one with separate test data."""
    folder = tmp_path_factory.mktemp("evaluate")
    write(folder / "own.npz", 200, 40)
    write(folder / "plain.npz", 200, 20, seed=1)
    quiet = ["--no-plugin", "mlflow", "--no-plugin", "report", "--progress", "none", "--epochs", "1"]
    for run, *data in (("own", "--data", "own.npz"), ("two", "--data", "plain.npz", "--test-data", "own.npz")):
        done = run_script(folder, "fit.py", *data, *quiet, "--run-dir", run)
        assert done.returncode == 0, done.stderr
    return folder


def evaluate(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = run_script(folder, "evaluate.py", *arguments)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def said(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "evaluation.json").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_runs_own_images_are_those_it_was_trained_with(folder):
    assert "own.npz, test images: 40" in evaluate(folder, "own")[1]
    assert "own.npz, train images: 180" in evaluate(folder, "own", "--split", "train")[1]
    written = sorted(path.name for path in (folder / "own" / "report").iterdir())
    assert written == [
        *("confusion.csv", "curves.svg", "errors.csv", "errors.sprite.png", "evaluation.json"),
        *("index.html", "model_card.md", "own.npz-train-images", "per_class.csv", "reliability.csv", "reliability.svg"),
    ]
    assert said(folder / "own" / "report")["accuracy"]["images"] == 40
    assert said(folder / "own" / "report" / "own.npz-train-images")["accuracy"]["images"] == 180


def test_data_that_were_replaced_since_are_refused(folder, tmp_path):
    for name in ("own", "own.npz"):
        (tmp_path / name).symlink_to(folder / name) if name == "own" else write(tmp_path / name, 200, 40, seed=9)
    status, output, errors = evaluate(tmp_path, "own")
    assert (status, output) == (1, "")
    assert "own.npz is not what the model was trained on: its digest is" in errors


def test_the_training_data_of_a_run_with_other_test_data_are_known_as_such(folder):
    assert "plain.npz, test images: 20" in evaluate(folder, "two", "--data", "plain.npz")[1]
    assert (
        "plain.npz, validation images: 20" in evaluate(folder, "two", "--data", "plain.npz", "--split", "validation")[1]
    )
    assert "own.npz, test images: 40" in evaluate(folder, "two", "--data", "own.npz")[1]


def test_a_few_images_of_some_classes_are_matched_by_name_and_bad_ones_listed(folder, tmp_path):
    for name, value in (("1", 90), ("3", 200)):
        (tmp_path / "some" / name).mkdir(parents=True)
        for k in range(2):
            Image.fromarray(np.full((28, 28), value, np.uint8)).save(tmp_path / "some" / name / f"{k}.png")
    (tmp_path / "some" / "1" / "bad.png").write_text("no image")
    status, output, errors = evaluate(folder, "own", "--data", str(tmp_path / "some"))
    assert status == 0
    assert "all images: 4" in output
    assert "bad.png" in errors
    (tmp_path / "some" / "7").mkdir()
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "some" / "7" / "0.png")
    status, _, errors = evaluate(folder, "own", "--data", str(tmp_path / "some"))
    assert status == 1
    assert "its class '7' was not learned (known: 0, 1, 2, 3)" in errors


@pytest.fixture(scope="module")
def compared(folder) -> tuple[str, dict[str, Any]]:
    """The printed and written results of comparing one run with the other, including robustness."""
    arguments = ("own", "--compare", "two", "--robustness", "--out", "told")
    status, output, errors = evaluate(folder, *arguments)
    assert status == 0, errors
    return output, said(folder / "told")


def test_what_is_printed_is_what_is_written_and_adds_up(folder, compared):
    output, found = compared
    share = found["accuracy"]
    assert f"{100 * share['value']:.2f} % (95 %: {100 * share['low']:.2f} % to {100 * share['high']:.2f} %)" in output
    assert share["right"] == sum(row[k] for k, row in enumerate(found["confusion"]))
    assert share["images"] - share["right"] == len(rows(folder / "told" / "errors.csv"))
    assert [scores["images"] for scores in found["per_class"]] == [10] * 4
    assert sum(scores["right"] for scores in found["per_class"]) == share["right"]
    assert "corrected" in output
    assert found["corrected"] is None
    errors = rows(folder / "told" / "errors.csv")
    assert [row["probability"] for row in errors] == sorted((row["probability"] for row in errors), reverse=True)


def test_two_runs_are_compared_on_the_same_images(folder, compared):
    output, found = compared
    comparison = found["comparison"]
    assert evaluate(folder, "two", "--data", "own.npz", "--out", "other")[0] == 0
    gained = found["accuracy"]["right"] - said(folder / "other")["accuracy"]["right"]
    assert comparison["newly_right"] - comparison["newly_wrong"] == gained
    assert comparison["images"] == 40
    assert "compared with two" in output or "both models are right on the same" in output
    reverse = evaluate(folder, "two", "--data", "own.npz", "--compare", "own", "--out", "other")
    assert reverse[0] == 0
    assert said(folder / "other")["comparison"]["newly_wrong"] == comparison["newly_right"]


def test_images_that_one_of_two_was_trained_on_are_compared_apart(folder, tmp_path):
    theirs, new = make_images(200, side=28, seed=1), make_images(30, side=28, seed=7)
    arrays = {"x_train": np.concatenate([theirs.images, new.images])}
    np.savez(tmp_path / "mixed.npz", **arrays, y_train=np.concatenate([theirs.labels, new.labels]))
    data = ("--data", str(tmp_path / "mixed.npz"), "--out", str(tmp_path / "out"))
    status, output, errors = evaluate(folder, "own", "--compare", "two", *data)
    assert status == 0, errors
    told = dict(line.split("  ", 1) for line in output.splitlines() if line.startswith(("overlap", "on new images")))
    assert told["overlap"].strip() == "none of the 230 images was used for training"
    assert "on new images" in told
    status, output, _ = evaluate(folder, "two", *data)
    assert (
        "180 of 230 images were used for training; accuracy on the other 50, 20 of which were used for validation: "
        in output
    )
    found = said(tmp_path / "out")["overlap"]
    assert (found["trained_on"], found["validated_on"], found["others"]["images"]) == (180, 20, 50)


def test_robustness_is_measured_for_all_corruptions_and_variations(folder, compared):
    output, _ = compared
    corruptions = rows(folder / "told" / "robustness.csv")
    assert len(corruptions) == 15
    assert [row["corruption"] for row in corruptions if row["trained_for"] == "True"] == [
        *("shear", "scale", "rotate", "translate")
    ]
    mean = np.mean([float(row["accuracy"]) for row in corruptions])
    assert f"mean              {100 * mean:>6.2f} %  15 corruptions" in output
    neutral = {"shift": "0", "rotate": "0", "size": "1", "stroke": "0"}
    varied = rows(folder / "told" / "variations.csv")
    untouched = [float(row["accuracy"]) for row in varied if row["amount"] == neutral[row["variation"]]]
    assert untouched == [said(folder / "told")["accuracy"]["value"]] * 4
    page = (folder / "told" / "index.html").read_text()
    assert page.count('class="panel"') == 2 + len(neutral)
    for corruption in corruptions:
        assert (
            f">{corruption['corruption'].replace('_', ' ')}</th><td>{100 * float(corruption['accuracy']):.1f}" in page
        )
    assert {path.name for path in (folder / "told").glob("*.svg")} == {"reliability.svg", "variations.svg"}


def test_a_checkpoint_outside_of_a_run_needs_a_folder_to_write_to(folder, tmp_path):
    saved = next((folder / "own" / "checkpoints").glob("epoch*"))
    shutil.copytree(saved, tmp_path / "alone")
    status, output, errors = evaluate(folder, str(tmp_path / "alone"), "--data", "own.npz")
    assert (status, output) == (2, "")
    assert "is not in a run directory; choose a folder for tables and charts with --out" in errors
    assert evaluate(folder, str(tmp_path / "alone"), "--data", "own.npz", "--out", str(tmp_path / "o"))[0] == 0
    assert said(tmp_path / "o")["accuracy"]["images"] == 40


def test_a_run_that_cannot_be_compared_is_refused_in_one_line(folder, tmp_path):
    status, output, errors = evaluate(folder, "own", "--compare", "nothing")
    assert (status, output) == (2, "")
    assert "nothing is neither a run directory nor a checkpoint" in errors
    parts = {"x_train": make_images(60, classes=3, side=28), "x_test": make_images(12, classes=3, side=28)}
    arrays = {name: images.images for name, images in parts.items()}
    labels = {name.replace("x", "y"): images.labels for name, images in parts.items()}
    np.savez(tmp_path / "three.npz", **arrays, **labels)
    quiet = ["--no-plugin", "mlflow", "--no-plugin", "report", "--progress", "none", "--epochs", "1"]
    run = ["--data", str(tmp_path / "three.npz"), "--run-dir", str(tmp_path / "three")]
    assert run_script(folder, "fit.py", *run, *quiet).returncode == 0
    status, _, errors = evaluate(folder, "own", "--compare", str(tmp_path / "three"))
    assert status == 2
    assert "its model has other classes" in errors
