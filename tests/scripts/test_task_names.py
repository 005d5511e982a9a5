"""Can a task be chosen on the command line, with losses and metrics by name?"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import SILENT, make_images, run_script


@pytest.fixture(scope="module")
def unbalanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz file of 200 images, 170 of which are of class 0."""
    path = tmp_path_factory.mktemp("unbalanced") / "data.npz"
    train, test = make_images(680), make_images(40, seed=1)
    kept = np.concatenate([np.flatnonzero(train.labels == 0)[:170], np.flatnonzero(train.labels)[:30]])
    np.savez(path, x_train=train.images[kept], y_train=train.labels[kept], x_test=test.images, y_test=test.labels)
    return path


@pytest.fixture(scope="module")
def done(unbalanced: Path) -> dict[str, list]:
    """Three runs of `fit.py`, by their tasks."""
    folder = unbalanced.parent
    tasks = (
        "supervised:loss=crossentropy,metrics=[accuracy, roc_auc],class_weight=balanced",
        "supervised:loss=crosentropy",
        "classification:class_weight={9=2}",
    )

    def fit(number: int) -> list:
        flags = ("--data", str(unbalanced), "--epochs", "1", "--model", "mlp:units=[8]", *SILENT)
        ended = run_script(folder, "fit.py", "--task", tasks[number], *flags, "--run-dir", str(folder / f"run{number}"))
        return [ended, folder / f"run{number}"]

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(("trained", "unknown", "no class"), pool.map(fit, range(3)), strict=True))


def test_metrics_by_name_and_a_score_for_unbalanced_classes_are_written_and_said(done):
    ended, run = done["trained"]
    assert ended.returncode == 0, ended.stderr
    result = json.loads((run / "result.json").read_text())
    names = {"loss", "accuracy", "roc_auc", "balanced_accuracy"}
    assert names <= set(result["test"])
    assert {f"val_{name}" for name in names} <= set(result["best"])
    assert "; balanced accuracy " in ended.stdout.splitlines()[0]
    assert "the best weights are chosen by val_balanced_accuracy, since classes are unbalanced" in ended.stderr
    assert "classes are unbalanced: class 0 has " not in ended.stderr  # they are weighted


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("unknown", "fit.py: error: unknown loss 'crosentropy'; did you mean 'crossentropy'? (known: "),
        ("no class", "fit.py: error: cannot weigh class '9': classes are 0 to 3 (0, 1, 2, 3)"),
    ],
)
def test_a_wrong_name_is_one_line_before_anything_is_written(done, run, said):
    ended, folder = done[run]
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith(said)
    assert "Traceback" not in ended.stderr
    assert not folder.exists()
