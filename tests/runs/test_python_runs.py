"""Can a run started from Python, without a configuration, be used like any other?"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import ROOT, make_images, small_net
from PIL import Image

from trainer.errors import CheckpointError, DataError
from trainer.runs.files import RunFiles
from trainer.runs.trained import load_trained

NETS = """
import keras

@keras.saving.register_keras_serializable("nets")
class Scale(keras.layers.Layer):
    def build(self, shape):
        self.factor = self.add_weight(shape=(), initializer="ones", name="factor")

    def call(self, x):
        return x * self.factor

@keras.saving.register_keras_serializable("nets")
def double(x):
    return 2 * x
"""


def fit(keras, model, folder: Path, **optimizer):
    """Train a model from Python into a run directory."""
    from plugins.checkpoint import Checkpoint
    from trainer.trainer import Trainer

    adam = keras.optimizers.Adam(1e-2, **optimizer)
    trainer = Trainer(model, optimizer=adam, plugins=[Checkpoint()], run_dir=folder, seed=3)
    held_out = {"validation_data": make_images(40, seed=1), "test_data": make_images(40, seed=2)}
    run = trainer.fit(make_images(200), **held_out, epochs=1)
    assert run.status == "done"
    return run


def write_data(path: Path) -> None:
    """Write the images that `fit` was tested on, with other training images."""
    train, test = make_images(8, seed=5), make_images(40, seed=2)
    np.savez(path, x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels)


@pytest.fixture
def nets(tmp_path, monkeypatch) -> ModuleType:
    """A user's module with its own layer and function."""
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    return import_module("nets")


def call(name: str, monkeypatch, *arguments: str | Path) -> int:
    """Run a script of the project in this process; return its exit status."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    return import_module(f"scripts.{name}").main()


@pytest.mark.slow
def test_a_run_from_python_is_evaluated_read_with_and_exported(keras, tmp_path, monkeypatch, capsys):
    images = make_images(40, seed=2)
    run = fit(keras, small_net(keras), tmp_path / "run")
    write_data(tmp_path / "other.npz")
    Image.fromarray(images.images[2, ..., 0]).save(tmp_path / "two.png")

    status = call(
        "evaluate", monkeypatch, tmp_path / "run", "--data", tmp_path / "other.npz", "--out", tmp_path / "out"
    )
    said = capsys.readouterr().out
    assert (status, "other.npz, test images: 40" in said) == (0, True)
    evaluation = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert evaluation["accuracy"]["right"] == round(40 * run.result["test"]["accuracy"])

    assert call("predict", monkeypatch, "--run", tmp_path / "run", "--format", "jsonl", tmp_path / "two.png") == 0
    read = json.loads(capsys.readouterr().out)
    assert read["digit"] in (0, 1, 2, 3)
    assert len(read["probabilities"]) == 4

    assert call("export", monkeypatch, "--run", tmp_path / "run", "--format", "keras", tmp_path / "exported") == 0
    spec = json.loads((tmp_path / "exported" / "spec.json").read_text())
    assert (spec["class_names"], spec["input"]["shape"]) == (["0", "1", "2", "3"], [None, 12, 12, 1])
    assert spec["origin"]["model"]["name"] == "small"
    assert (tmp_path / "exported" / "model.keras").is_file()


@pytest.mark.parametrize("use_ema", [False, True])
def test_it_has_the_weights_that_were_tested(keras, tmp_path, use_ema):
    model = small_net(keras)
    fit(keras, model, tmp_path / "run", use_ema=use_ema)
    loaded = load_trained(tmp_path / "run")
    assert [np.asarray(v).tobytes() for v in loaded.model.variables] == [
        np.asarray(v).tobytes() for v in model.variables
    ]
    assert loaded.config.training.seed == 3


def test_where_its_data_are_is_asked_for(keras, tmp_path):
    fit(keras, small_net(keras), tmp_path / "run")
    with pytest.raises(DataError, match="does not name its data; choose data with --data"):
        load_trained(tmp_path / "run").images(None, None, "test")


def own_net(keras, nets, anonymous: bool = False):
    """Return a model with a user-defined layer and function."""
    images = keras.Input((12, 12, 1))
    x = nets.Scale()(keras.layers.Flatten()(images))
    x = keras.layers.Lambda((lambda y: 2 * y) if anonymous else nets.double)(x)
    return keras.Model(images, keras.layers.Dense(4, activation=nets.double)(x))


def test_user_defined_classes_need_the_module_that_registers_them(keras, tmp_path, nets, monkeypatch, capsys):
    write_data(tmp_path / "other.npz")
    fit(keras, own_net(keras, nets), tmp_path / "run")
    with pytest.raises(CheckpointError) as caught:
        load_trained(tmp_path / "run")
    said = str(caught.value)
    assert said.startswith(f"cannot load {tmp_path / 'run' / 'model.json'}: config.json: 'nets>Scale' is a registered")
    assert said.endswith("name its module with --import")
    assert "\n" not in said
    arguments = (tmp_path / "run", "--data", tmp_path / "other.npz", "--out", tmp_path / "out", "--import", "nets")
    assert call("evaluate", monkeypatch, *arguments) == 0
    assert "other.npz" in capsys.readouterr().out


def test_another_module_is_not_trusted_with_them(keras, tmp_path, nets):
    (tmp_path / "others.py").write_text("")
    fit(keras, own_net(keras, nets), tmp_path / "run")
    with pytest.raises(CheckpointError, match="'nets>Scale' is a registered class of unknown origin"):
        load_trained(tmp_path / "run", imports=["others"])


def test_the_code_of_a_lambda_is_never_run(keras, tmp_path, nets):
    fit(keras, own_net(keras, nets, anonymous=True), tmp_path / "run")
    for imports in ([], ["nets"]):
        with pytest.raises(CheckpointError, match=r"model\.json: config\.json: .*--import$"):
            load_trained(tmp_path / "run", imports)


@pytest.mark.parametrize("forged", ["", "{", "[]", "null", '{"class_name": "Functional"}', "x" * (4 * 2**20 + 1)])
def test_a_model_that_was_tampered_with_is_refused_in_one_line(keras, tmp_path, forged):
    fit(keras, small_net(keras), tmp_path / "run")
    (tmp_path / "run" / "model.json").write_text(forged)
    with pytest.raises(Exception, match=r"model\.json") as caught:
        load_trained(tmp_path / "run")
    assert isinstance(caught.value, CheckpointError) or forged.startswith("x")
    assert "\n" not in str(caught.value)


def test_another_model_does_not_fit_the_weights(keras, tmp_path):
    fit(keras, small_net(keras), tmp_path / "run")
    other = (tmp_path / "run" / "model.json").read_text().replace('"units": 4', '"units": 5')
    (tmp_path / "run" / "model.json").write_text(other)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_trained(tmp_path / "run")


def test_only_a_run_without_configuration_keeps_its_model(keras, tmp_path):
    from trainer.trainer import Trainer

    fit(keras, small_net(keras), tmp_path / "run")
    assert json.loads(RunFiles(tmp_path / "run").model_text)["class_name"] == "Functional"
    named = {"model": {"name": "lenet"}}
    trainer = Trainer(small_net(keras), run_dir=tmp_path / "named", config=named, config_text="[model]\nname = 'lenet'")
    trainer.fit(make_images(100), epochs=1)
    assert RunFiles(tmp_path / "named").model_text == ""
