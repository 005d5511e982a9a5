"""Are problems reported before step 0, without the check changing anything?"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SILENT, Script, make_images

from plugins.checkpoint import Checkpoint
from trainer import Durations, Every, Plugin, Run
from trainer.data.imageset import ImageSet
from trainer.errors import DataError, UsageError


def trainer(keras, *plugins: Plugin, classes: int = 4, side: int = 12, rate: Any = 1e-2, run_dir: Path | None = None):
    from trainer.trainer import Trainer

    keras.utils.set_random_seed(0)
    images = keras.Input((side, side, 1))
    x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(images))
    model = keras.Model(images, keras.layers.Dense(classes)(x), name="small")
    return Trainer(model, optimizer=keras.optimizers.Adam(rate), plugins=plugins, run_dir=run_dir)


def fingerprint(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_dry_run_prints_the_plan_and_writes_nothing(script: Script, tmp_path: Path, tiny: Path):
    done = script("fit.py", "--data", tiny, "--dry-run", "--epochs", "3", "--batch-size", "32", "--max-time", "10m")
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert {label: text.strip().partition("; ")[0] for label, text in rows.items()} == {
        "model": "lenet, 15,116 parameters",
        "data": f"{tiny}: 180 training, 20 validation, 40 test images",
        "steps": "18 (3 epochs of 6)",
        "time limit": "600 s",
        "learning rate": rows["learning rate"].strip(),
        "validation": "every epoch, 3 times in total",
        "checkpoints": rows["checkpoints"].strip().partition("; ")[0],
        "plugins": "nan_guard (every 100 steps), early_stopping, report, mlflow, checkpoint (every epoch), "
        "progress (every 0.25 seconds)",
        "run directory": rows["run directory"].strip(),
    }
    assert "peaks at 0.002" in rows["learning rate"]
    assert "each, at most 4 at a time; " in rows["checkpoints"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_dry_run_of_a_resume_says_from_where_and_touches_nothing(script: Script, tmp_path: Path, tiny: Path):
    flags = ("--data", tiny, "--batch-size", "32", *SILENT)
    assert script("fit.py", *flags, "--epochs", "2", "--run-dir", "run").returncode == 0
    last = tmp_path / "run" / "checkpoints" / (tmp_path / "run" / "checkpoints" / "last").read_text().strip()
    content = bytearray((last / "state.npz").read_bytes())
    content[100] ^= 1
    (last / "state.npz").write_bytes(content)
    before = fingerprint(tmp_path)
    done = script("fit.py", *flags, "--epochs", "4", "--resume", "run", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "resumed        from step 6 in epoch 1\n" in done.stdout
    assert "it is set aside and the previous one is used" in done.stderr
    assert fingerprint(tmp_path) == before
    wrong = script("fit.py", *flags, "--epochs", "4", "--lr", "0.1", "--resume", "run", "--dry-run")
    assert wrong.returncode == 2
    assert "optimizer.learning_rate: 0.002 → 0.1" in wrong.stderr
    assert fingerprint(tmp_path) == before


def test_a_run_after_a_dry_run_is_the_same_run(keras):
    first, second = trainer(keras), trainer(keras)
    plan = first.plan(make_images(100), validation_data=make_images(20), epochs=2)
    assert ("steps", "2 (2 epochs of 1)") in plan
    weights = []
    for each in (first, trainer(keras)):
        keras.utils.set_random_seed(1)
        each.model.set_weights(second.model.get_weights())
        each.fit(make_images(100), validation_data=make_images(20), epochs=2)
        weights.append([np.asarray(weight) for weight in each.model.trainable_variables])
    assert all((a == b).all() for a, b in zip(*weights, strict=True))


@pytest.mark.parametrize(
    ("arguments", "images", "message"),
    [
        (
            {"side": 28},
            make_images(40),
            r"the model takes images of shape \(28, 28, 1\), the data have \(12, 12, 1\)",
        ),
        ({"classes": 3}, make_images(40), "labels range from 0 to 3, the model has outputs for 0 to 2"),
        ({}, ImageSet(make_images(40).images, np.arange(40, dtype=np.int32) - 1), "labels range from -1 to 38, "),
    ],
)
def test_data_that_do_not_fit_the_model_are_refused_in_words(keras, tmp_path, arguments, images, message):
    with pytest.raises(UsageError, match=message):
        trainer(keras, run_dir=tmp_path / "run", **arguments).fit(images, epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_labels_of_validation_data_are_looked_at_too(keras):
    with pytest.raises(UsageError, match="labels range from 0 to 5, the model has outputs for 0 to 3"):
        trainer(keras).fit(make_images(40), validation_data=make_images(40, classes=6), epochs=1)


def test_a_stream_of_other_shapes_is_refused_without_reading_it(keras):
    import tensorflow as tf

    def read():
        raise AssertionError("read")
        yield

    spec = (tf.TensorSpec([None, 10, 10, 1], tf.float32), tf.TensorSpec([None], tf.int32))
    stream = tf.data.Dataset.from_generator(read, output_signature=spec).apply(
        tf.data.experimental.assert_cardinality(3)
    )
    with pytest.raises(UsageError, match=r"takes images of shape \(12, 12, 1\), the data have \(10, 10, 1\)"):
        trainer(keras).fit(stream, epochs=1)


def test_a_loss_that_is_lost_before_training_is_reported_before_training(keras, tmp_path):
    broken = trainer(keras, run_dir=tmp_path / "run")
    broken.model.set_weights([np.full(w.shape, np.nan, w.dtype) for w in broken.model.get_weights()])
    with pytest.raises(DataError, match="cannot train: the loss of the first batch is nan before the first step"):
        broken.fit(make_images(40), epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_a_schedule_that_ends_before_the_run_is_reported(keras, caplog):
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, 50)
    trainer(keras, rate=schedule).plan(make_images(128), epochs=100)
    assert "the learning rate is already 0 at step 90 of 100: its schedule is shorter than the run" in caplog.text
    caplog.clear()
    trainer(keras, rate=keras.optimizers.schedules.CosineDecay(1e-2, 100)).plan(make_images(128), epochs=100)
    assert caplog.text == ""


class Watcher(Plugin):
    every = Every()

    def on_step_end(self, run: Run) -> None:
        pass


def test_the_plan_says_when_validation_and_plugins_come(keras):
    def plan(*plugins: Plugin, **arguments: Any) -> dict[str, str]:
        return dict(trainer(keras, *plugins).plan(make_images(200), **arguments))

    images = make_images(20)
    assert plan(epochs=3)["validation"] == "none"
    often = plan(validation_data=images, durations=Durations(steps=5, validate_every=Every(steps=2)))
    assert often["validation"] == "every 2 steps, 3 times in total"
    rarely = plan(validation_data=images, durations=Durations(validate_every=Every(seconds=60)))
    assert rarely["validation"] == "every 60 seconds, and at the end"
    assert plan()["plugins"] == "none"
    assert plan(Checkpoint("loss", every_steps=9), Watcher())["plugins"] == "checkpoint (every 9 steps), watcher"
    assert plan(Checkpoint("loss"))["checkpoints"] == "none"  # without a run directory
    assert plan()["learning rate"] == "0.01"
