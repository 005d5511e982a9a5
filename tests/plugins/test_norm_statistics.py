"""Does batch normalisation evaluate with the statistics of unaugmented images, without affecting training?"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import SILENT, Script, make_images, small_net

from plugins.norm_statistics import NormStatistics
from trainer.data.pipeline import EvaluationRows
from trainer.data.rows import evenly
from trainer.data.streams.stream import TrainingStream
from trainer.errors import UsageError
from trainer.kernels.batch_statistics import BatchStatistics
from trainer.plugin import Plugin
from trainer.registry import models as registry
from trainer.run import Run
from trainer.trainer import Trainer


class Watch(Plugin):
    """Records the logs at the end of every epoch."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.validated: list[float] = []

    def on_epoch_end(self, run: Run) -> None:
        self.losses.append(run.logs["loss"])
        self.validated.append(run.logs["val_loss"])


def test_training_is_not_affected(keras: ModuleType) -> None:
    train, validation = make_images(200), make_images(60, seed=1)
    seen = {}
    for measured in (False, True):
        keras.utils.set_random_seed(0)
        watch, model = Watch(), registry.build("inknet", (12, 12, 1), 4, width=4)
        plugins = [watch, NormStatistics(80)] if measured else [watch]
        Trainer(model, plugins=plugins).fit(train, validation_data=validation, epochs=3)
        weights = [np.asarray(weight) for weight in model.trainable_weights]
        seen[measured] = watch, weights
    assert seen[True][0].losses == seen[False][0].losses
    assert seen[True][0].validated != seen[False][0].validated
    for one, other in zip(seen[True][1], seen[False][1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("use_ema", [False, True], ids=["weights", "averages of weights"])
def test_what_is_tested_has_the_statistics_of_its_own_weights(keras: ModuleType, use_ema: bool) -> None:
    """With averaged weights, the statistics are those of the averages."""
    train, validation = make_images(200), make_images(60, seed=1)
    keras.utils.set_random_seed(0)
    model = small_net(keras)
    optimizer = keras.optimizers.Adam(0.01, use_ema=use_ema, ema_momentum=0.9)
    Trainer(model, optimizer=optimizer, plugins=[NormStatistics(70)]).fit(train, validation_data=validation, epochs=2)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    kept = [(np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)) for layer in layers]
    BatchStatistics(model, EvaluationRows(evenly(train, 70))).measure()
    for layer, (mean, variance) in zip(layers, kept, strict=True):
        np.testing.assert_array_equal(layer.moving_mean, mean)
        np.testing.assert_array_equal(layer.moving_variance, variance)


def test_what_cannot_be_measured_is_reported_before_anything_is_written(keras: ModuleType, tmp_path: Path) -> None:
    import tensorflow as tf

    data = make_images(40)
    trainer = Trainer(small_net(keras), plugins=[NormStatistics()], run_dir=tmp_path / "run")
    with pytest.raises(UsageError, match=r"^norm_statistics runs before every validation; give validation data"):
        trainer.fit(data)
    stream = tf.data.Dataset.from_tensor_slices((data.images.astype("float32") / 255, data.labels)).batch(8)
    with pytest.raises(UsageError, match=r"^norm_statistics cannot measure a stream of images; give an ImageSet"):
        trainer.fit(TrainingStream(stream), validation_data=data)
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_batch_normalisation_is_reported_in_a_line(script: Script, tiny: Path, tmp_path: Path) -> None:
    done = script("fit.py", "--data", tiny, "--plugin", "norm_statistics:images=50", "--run-dir", "x", *SILENT)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "fit.py: error: 'lenet' has no batch normalisation; remove the plugin norm_statistics",
    )
    assert not (tmp_path / "x").exists()
