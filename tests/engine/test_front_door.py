"""Does a newcomer get from Python, in ten lines, what the terminal gives?"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from conftest import ALONE, Script, make_images

from trainer import Durations, Plugin, Run, checkpoint
from trainer.errors import UsageError


def net(keras, seed: int = 0):
    keras.utils.set_random_seed(seed)
    images = keras.Input((12, 12, 1))
    return keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)), name="small")


def arrays(count: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    made = make_images(count, seed=seed)
    return made.images[..., 0], made.labels


def test_ten_lines_of_python_give_the_weights_of_the_terminal_bit_for_bit(keras, script: Script, tiny: Path, tmp_path):
    from models.lenet import lenet
    from trainer import Trainer
    from trainer.data import load

    flags = ("--data", tiny, "--model", "lenet", "--epochs", "3", "--seed", "7", "--batch-size", "32")
    done = script("fit.py", *flags, "--run-dir", "run", *ALONE)
    assert done.returncode == 0, done.stderr
    best = checkpoint.read(tmp_path / "run" / "checkpoints" / (tmp_path / "run/checkpoints/best").read_text().strip())

    keras.utils.set_random_seed(7)
    data = load(str(tiny), seed=7)
    trainer = Trainer(lenet(data.input_shape, data.num_classes), seed=7)
    run = trainer.fit(data, epochs=3, batch_size=32)

    for ours, theirs in zip(trainer.model.variables, best.arrays, strict=False):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert done.stdout.startswith(f"{100 * run.result.test.accuracy:.2f} % of 40 test images (95 %: ")
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]


def test_arrays_pairs_and_sets_are_the_same_data(keras):
    from trainer import Trainer

    x, y = arrays()
    weights = []
    for given in ((x, y), (x[..., None], y[:, None]), (x / np.float32(255), y.astype(np.int64)), (make_images(200),)):
        trainer = Trainer(net(keras), plugins=[])
        trainer.fit(*given, validation_data=arrays(40, seed=1), epochs=2)
        weights.append([np.asarray(weight) for weight in trainer.model.weights])
    for others in weights[1:]:
        for one, other in zip(weights[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


def test_plain_arrays_are_not_augmented_and_loaded_sets_are(keras, tiny: Path):
    from trainer import Trainer
    from trainer.data import load

    plain, loaded = Trainer(net(keras), plugins=[]), Trainer(net(keras), plugins=[])
    plain.fit(*arrays(), epochs=1)
    loaded.fit(load(str(tiny)), epochs=1)
    assert plain.loop.course.train.strength is None
    assert loaded.loop.course.train.strength is not None
    assert Trainer(net(keras), plugins=[], augmentation="strong").plan(*arrays())


def test_the_best_weights_are_kept_in_memory_and_nothing_is_written(keras, tmp_path, monkeypatch):
    from trainer import Trainer

    monkeypatch.chdir(tmp_path)
    optimizer = keras.optimizers.SGD(30.0)  # diverges: the best weights are not the last
    trainer = Trainer(net(keras), optimizer=optimizer, plugins=None)
    run = trainer.fit(*arrays(), validation_data=arrays(60, seed=1), test_data=arrays(40, seed=2), epochs=6)
    losses = {line["step"]: line["val_loss"] for line in run.history if "val_loss" in line}
    best = min(losses, key=losses.__getitem__)
    assert run.result.best.step == best < max(losses)
    assert trainer.evaluate(*arrays(60, seed=1)).loss == pytest.approx(losses[best], rel=1e-5)
    assert run.result.best.checkpoint is None
    assert list(tmp_path.iterdir()) == []


def test_the_defaults_are_those_of_the_terminal(keras, tmp_path, monkeypatch):
    from trainer import Trainer
    from trainer.config.schema import DEFAULT_PLUGINS

    monkeypatch.chdir(tmp_path)
    rows = dict(Trainer(net(keras)).plan(*arrays(), validation_data=arrays(40, seed=1)))
    assert rows["learning rate"].startswith("starts at 2e-05, ")
    assert "0.00" in rows["learning rate"]
    assert rows["steps"] == "800 (400 epochs of 2)"
    written = Trainer(net(keras), run_dir="auto")
    rows = dict(written.plan(*arrays(), validation_data=arrays(40, seed=1)))
    assert [word.split(" ")[0] for word in rows["plugins"].split(", ")] == list(DEFAULT_PLUGINS)
    assert str(written.run_dir).startswith("runs/small-")
    assert list(tmp_path.iterdir()) == []


def test_without_validation_data_early_stopping_and_best_are_off_with_a_notice(keras, caplog, tmp_path):
    from trainer import Trainer

    with caplog.at_level(logging.INFO, "trainer"):
        run = Trainer(net(keras), run_dir=tmp_path / "run").fit(*arrays(), epochs=1)
    said = [record.getMessage() for record in caplog.records if "no validation" in record.getMessage()]
    assert said == ["no validation data: early stopping is off, and the last weights are kept, not the best"]
    assert (run.status, run.step, sorted(run.saved)) == ("done", 2, ["last"])


class Counter(Plugin):
    """Counts epochs."""

    def __init__(self) -> None:
        self.epochs = 0

    def on_epoch_end(self, run: Run) -> None:
        self.epochs += 1


def test_callbacks_are_plugins_of_one_run_besides_the_trainers_own(keras):
    from trainer import Trainer

    own, extra = Counter(), Counter()
    extra.name = "extra"
    trainer = Trainer(net(keras), plugins=[own])
    trainer.fit(*arrays(), epochs=2, callbacks=[extra])
    trainer.fit(*arrays(), epochs=1)
    assert (own.epochs, extra.epochs) == (3, 2)
    assert [plugin.name for plugin in trainer.loop.hooks.plugins] == ["counter"]


def test_what_is_not_a_plugin_is_reported_in_one_line(keras):
    from trainer import Trainer

    theirs = keras.callbacks.EarlyStopping()
    with pytest.raises(UsageError, match=r"^EarlyStopping of keras\.\S+ is not a plugin; plugins are instances of sub"):
        Trainer(net(keras), plugins=[]).fit(*arrays(), callbacks=[theirs])
    with pytest.raises(UsageError, match=r"^Counter is a class; pass an instance: Counter\(\)$"):
        Trainer(net(keras), plugins=[Counter])


def test_a_result_is_typed_and_has_its_json_behind_it(keras):
    from trainer import Trainer

    run = Trainer(net(keras), plugins=[]).fit(*arrays(), test_data=arrays(40, seed=2), epochs=2)
    result = run.result
    assert (result.epochs, result.steps, result.model) == (2, 4, "small")
    assert result.test.accuracy == result["test"]["accuracy"] == result.to_dict()["test"]["accuracy"]
    assert result.parameters == 580
    assert (result.best.step, result.best.checkpoint) == (4, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((np.zeros((4, 12, 12)),), r"^cannot learn: batches must be \(x, y\) or \(x, y, sample_weight\)"),
        (("data",), r"^cannot train on str: "),
        ((np.zeros((4, 12)), np.zeros(4, int)), r"^cannot train: the model takes images of shape \(12, 12, 1\), "),
        (
            (np.zeros((4, 12, 12), np.int64), np.zeros(4, int)),
            r"^images must be uint8 .* or floats .*int64; ",
        ),
        ((np.zeros((4, 12, 12)), np.zeros(3, int)), r"^4 images but 3 labels; give one label per image"),
        ((np.zeros((0, 12, 12)), np.zeros(0, int)), r"^0 images but 0 labels; "),
        ((np.zeros((4, 12, 12)), np.full(4, 9)), r"^cannot learn: labels range from 9 to 9, "),
        ((make_images(4), np.zeros(4, int)), "^an ImageSet contains its labels and weights; omit y"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_line(keras, given, said):
    from trainer import Trainer

    with pytest.raises(UsageError, match=said) as caught:
        Trainer(net(keras), plugins=[]).fit(*given)
    assert "\n" not in str(caught.value)


def test_a_stream_of_unknown_length_needs_a_length(keras):
    import tensorflow as tf

    from trainer import Trainer

    x, y = arrays(100)
    stream = tf.data.Dataset.from_tensor_slices((x[..., None] / np.float32(255), y)).batch(20).filter(lambda *_: True)
    trainer = Trainer(net(keras), plugins=[])
    with pytest.raises(UsageError, match=r"^cannot train: the number of batches is unknown, .*Durations\(steps_per_e"):
        trainer.fit(stream)
    with pytest.raises(UsageError, match=r"^cannot evaluate: the data are endless; .*Durations\(validation_steps=…\)"):
        trainer.fit(*arrays(), validation_data=stream.repeat())
    lengths = Durations(epochs=2, steps_per_epoch=5, validation_steps=5)
    run = trainer.fit(stream, validation_data=stream, durations=lengths)
    assert (run.step, run.validation_steps) == (10, 5)
    with pytest.raises(UsageError, match=r"^batch_size is for arrays and image sets; "):
        trainer.fit(stream, batch_size=3, durations=lengths)
    with pytest.raises(UsageError, match=r"^give epochs or durations, not both"):
        trainer.fit(*arrays(), epochs=3, durations=lengths)
