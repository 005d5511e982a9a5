"""Does evaluate.py look at the images that it says, and at no others?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import make_images, run_script
from PIL import Image


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
    """A folder with data and two runs: one on data alone, one with test data from elsewhere."""
    folder = tmp_path_factory.mktemp("evaluate")
    write(folder / "own.npz", 200, 40)
    write(folder / "plain.npz", 200, 20, seed=1)
    quiet = ["--no-plugin", "mlflow", "--no-plugin", "plots", "--progress", "none", "--epochs", "1"]
    for run, *data in (("own", "--data", "own.npz"), ("two", "--data", "plain.npz", "--test-data", "own.npz")):
        done = run_script(folder, "fit.py", *data, *quiet, "--run-dir", run)
        assert done.returncode == 0, done.stderr
    return folder


def evaluate(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = run_script(folder, "evaluate.py", *arguments)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_the_runs_own_images_are_those_it_was_trained_with(folder):
    assert "own.npz, test images: 40" in evaluate(folder, "own")[1]
    assert "own.npz, train images: 180" in evaluate(folder, "own", "--split", "train")[1]


def test_data_that_were_replaced_since_are_refused(folder, tmp_path):
    for name in ("own", "own.npz"):
        (tmp_path / name).symlink_to(folder / name) if name == "own" else write(tmp_path / name, 200, 40, seed=9)
    status, output, errors = evaluate(tmp_path, "own")
    assert (status, output) == (1, "")
    assert "own.npz is not what the model was trained on: its digest is" in errors


@pytest.mark.slow
def test_the_training_data_of_a_run_with_other_test_data_are_known_as_such(folder):
    assert "plain.npz, test images: 20" in evaluate(folder, "two", "--data", "plain.npz")[1]
    assert (
        "plain.npz, validation images: 20" in evaluate(folder, "two", "--data", "plain.npz", "--split", "validation")[1]
    )
    assert "own.npz, test images: 40" in evaluate(folder, "two", "--data", "own.npz")[1]


@pytest.mark.slow
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
    assert "has the class '7', which is none of those learnt: 0, 1, 2, 3" in errors
