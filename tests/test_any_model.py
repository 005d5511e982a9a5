"""Does a run of a model that classifies no images work everywhere, or is it refused in one line with the cure?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import ROOT, SILENT, make_images, run_script
from PIL import Image

from trainer.errors import CheckpointError, InkwellError, UsageError
from trainer.registry import plugins
from trainer.runs.files import RunFiles
from trainer.runs.trained import load_trained
from trainer.tasks.task import Task

COUNT = 40


class Squares(Task):
    """The mean square of all outputs' errors, matched with the labels by name."""

    names = ("loss", "mean_error")

    def arrange(self, model, spec):
        from trainer.data.structure import Signature, by_name

        signature = Signature.of(model)
        if signature is None:
            return lambda batch: batch
        x, y = by_name(spec[0], signature.inputs, "x"), by_name(spec[1], signature.outputs, "y")
        return lambda batch: (x(batch[0]), y(batch[1]))

    def forward(self, model, batch, training, seed):
        import keras

        outputs = model(batch[0], training=training)
        pairs = zip(keras.tree.flatten(outputs), keras.tree.flatten(batch[1]), strict=True)
        return sum(keras.ops.mean(keras.ops.square(out - label)) for out, label in pairs), outputs

    def metrics(self):
        import keras

        return {"mean_error": keras.metrics.Mean(name="mean_error")}

    def update(self, metrics, batch, outputs) -> None:
        import keras

        out, label = keras.tree.flatten(outputs)[0], keras.tree.flatten(batch[1])[0]
        metrics["mean_error"].update_state(keras.ops.abs(out - label))


def inputs() -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(0)
    return {"image": make_images(COUNT).images, "extra": numbers.normal(size=(COUNT, 3)).astype(np.float32)}


def two_inputs(keras):
    """Return a regression from an image and numbers, with its data."""
    layers = keras.layers
    image, extra = keras.Input((12, 12, 1), name="image"), keras.Input((3,), name="extra")
    x = layers.Concatenate()([layers.Flatten()(image), extra])
    x = keras.ops.relu(layers.Dense(4)(x)[:, :3])
    model = keras.Model([image, extra], layers.Dense(1, name="price")(x), name="two_inputs")
    return model, inputs(), inputs()["extra"][:, :1]


def numbers(keras):
    """Return a regression from an image to a vector, which has the shape of a classifier, with its data."""
    image = keras.Input((12, 12, 1), name="image")
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(image)), name="numbers")
    return model, inputs()["image"], np.repeat(inputs()["extra"][:, :1], 4, axis=1)


def two_outputs(keras):
    """Return a model of one image with two outputs in a dict, with its data."""
    image = keras.Input((12, 12, 1), name="image")
    x = keras.layers.Flatten()(image)
    outputs = {name: keras.layers.Dense(units, name=name)(x) for name, units in (("box", 4), ("size", 1))}
    model = keras.Model(image, outputs, name="two_outputs")
    extra = inputs()["extra"]
    return model, inputs()["image"], {"size": extra[:, :1], "box": np.repeat(extra[:, :1], 4, axis=1)}


def subclassed(keras):
    """Return a subclassed model that is not built yet, with its data."""

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.dense = keras.layers.Dense(2)

        def call(self, x, training=False):
            return self.dense(x["extra"])

    return Own(), {"extra": inputs()["extra"]}, inputs()["extra"][:, :2]


MAKERS = {make.__name__: make for make in (two_inputs, two_outputs, numbers, subclassed)}


class Made(NamedTuple):
    """A run with everything that the questions need.

    Attributes:
        folder: The run directory.
        trainer: Its trainer.
        x: The inputs that it was tested on.
        make: Makes the model again, untrained.
    """

    folder: Path
    trainer: Any
    x: Any
    make: Callable[[], Any]


@pytest.fixture(scope="module", params=MAKERS)
def made(request, keras, tmp_path_factory) -> Made:
    """A finished run with checkpoints and a report, not to be modified."""
    from trainer.trainer import Trainer

    folder = tmp_path_factory.mktemp(request.param) / "runs" / "run"
    model, x, y = MAKERS[request.param](keras)
    used = [plugins.build(name) for name in ("checkpoint", "report")]
    trainer = Trainer(model, task=Squares(), optimizer=keras.optimizers.SGD(0.01), plugins=used, run_dir=folder)
    run = trainer.fit(x, y, validation_data=(x, y), test_data=(x, y), epochs=2, batch_size=20)
    assert run.status == "done"
    return Made(folder, trainer, x, lambda: MAKERS[request.param](keras)[0])


@pytest.fixture
def run(made, monkeypatch, capsys):
    """Return a function that runs a script of the project in the folder of the run; it returns what was printed."""
    monkeypatch.chdir(made.folder.parents[1])
    monkeypatch.syspath_prepend(str(ROOT))

    def call(name: str, *arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        assert import_module(f"scripts.{name}").main() == 0
        return capsys.readouterr().out

    return call


def leaves(tree: Any) -> list[np.ndarray]:
    import keras

    return keras.tree.flatten(tree)


def has_description(made: Made) -> bool:
    return made.trainer.model.name != "own"


def test_predictions_have_the_structure_of_the_outputs(keras, made):
    predicted = made.trainer.predict(made.x, batch_size=7)
    model = made.trainer.model
    scaled = keras.tree.map_structure(
        lambda leaf: leaf.astype(np.float32) / np.float32(255) if leaf.dtype == np.uint8 else leaf, made.x
    )
    expected = model(scaled, training=False)
    keras.tree.assert_same_structure(predicted, expected)
    for ours, theirs in zip(leaves(predicted), leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_it_is_loaded_with_the_weights_that_were_tested(made):
    if has_description(made):
        loaded = load_trained(made.folder).model
    else:
        with pytest.raises(CheckpointError, match=r"model\.json is missing .*; build it in Python and pass it"):
            load_trained(made.folder)
        from trainer.config.build import build_on

        loaded = made.make()
        build_on(loaded, made.trainer.evaluator.pipeline(made.x, made.x["extra"][:, :2]).spec[0])
        load_trained(made.folder, model=loaded)
    for ours, theirs in zip(loaded.variables, made.trainer.model.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_it_shows_itself(made):
    assert made.trainer.model.name in repr(made.trainer)
    assert "parameters" in repr(made.trainer.evaluator)
    assert "<div" in made.trainer._repr_html_()
    assert "loss" in repr(made.trainer.run.result)
    assert "None" not in repr(made.trainer.run.result)


def test_the_report_has_the_tasks_own_numbers_and_nothing_about_classes(made, run):
    test = RunFiles(made.folder).result["test"]
    assert str(made.folder / "report" / "index.html") in run("report", made.folder)
    page, card = ((made.folder / "report" / name).read_text() for name in ("index.html", "model_card.md"))
    for text in (page, card):
        assert f"{test['mean_error']:.4f}" in text
        for absent in ("Confusion", "image-classification", "images are classified", "handwriting", "None", "nan"):
            assert absent not in text
    assert "Learning" in page
    head = card.split("---")[1]
    assert json.loads(head.partition("metrics: ")[2].partition("\n")[0]) == ["mean_error"]


def test_it_is_listed(made, run):
    assert made.trainer.model.name in run("runs", made.folder.parent, "--sort", "test.mean_error")


COMMANDS = {
    "evaluate": ("evaluate", "RUN", "--data", "tiny.npz", "--out", "out"),
    "evaluate without data": ("evaluate", "RUN"),
    "predict": ("predict", "--run", "RUN", "two.png"),
    "ensemble": ("ensemble", "RUN", "RUN", "--run-dir", "both"),
    **{f"export {form}": ("export", "--run", "RUN", "--format", form, "out") for form in ("keras", "onnx", "mlflow")},
}


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_what_needs_a_classifier_of_images_says_so_in_one_line(made, run, tiny, arguments):
    folder = made.folder.parents[1]
    (folder / "tiny.npz").write_bytes(tiny.read_bytes())
    Image.fromarray(make_images(1).images[0, ..., 0]).save(folder / "two.png")
    before = sorted(folder.rglob("*"))
    with pytest.raises(InkwellError) as caught:
        run(*(str(made.folder) if word == "RUN" else word for word in arguments))
    said = str(caught.value)
    assert "\n" not in said
    assert str(made.folder) in said
    if not has_description(made):
        assert "model.json is missing" in said
    elif "ensemble" in arguments:
        assert "cannot join an ensemble" in said
    elif arguments == COMMANDS["evaluate without data"]:
        assert "images" in said
    else:
        assert "needs one that maps images to one logit per class; use it from Python" in said
    assert sorted(folder.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("made", ["numbers"], indirect=True)
def test_no_page_to_draw_on_is_served_with_it(made):
    done = run_script(made.folder.parent, "draw.py", "--run", made.folder, "--port", "0")
    assert done.returncode == 1
    assert "needs one that maps images to one logit per class" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


# Registered models

OWN = """
import keras
from trainer.registry import models

class Own(keras.Model):
    def __init__(self, classes):
        super().__init__(name="own")
        self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(classes)

    def call(self, x, training=False):
        return self.dense(self.flat(x))

@models.register("subclassed")
def subclassed(input_shape, num_classes):
    return Own(num_classes)

@models.register("two-inputs")
def two_inputs(input_shape, num_classes):
    image, extra = keras.Input(input_shape, name="image"), keras.Input((3,), name="extra")
    x = keras.layers.Concatenate()([keras.layers.Flatten()(image), extra])
    return keras.Model([image, extra], keras.layers.Dense(num_classes)(x))

@models.register("two-outputs")
def two_outputs(input_shape, num_classes):
    image = keras.Input(input_shape)
    x = keras.layers.Flatten()(image)
    return keras.Model(image, [keras.layers.Dense(num_classes, name=name)(x) for name in ("one", "other")])
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("two-inputs", "the model has {image: float32 [N, 12, 12, 1], extra: float32 [N, 3]}"),
        ("two-outputs", "the model has {one: float32 [N, 4], other: float32 [N, 4]}"),
    ],
)
def test_a_registered_model_that_images_do_not_fit_is_refused_in_one_line(script, tmp_path, tiny, name, said):
    (tmp_path / "own.py").write_text(OWN)
    done = script("fit.py", "--data", tiny, "--import", "own", "--model", name, *SILENT)
    assert (done.returncode, said in done.stderr.splitlines()[-1]) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.slow
def test_a_registered_subclassed_model_is_used_like_any_other(script, tmp_path, tiny):
    (tmp_path / "own.py").write_text(OWN)
    own = ("--import", "own")
    fit = script("fit.py", "--data", tiny, *own, "--model", "subclassed", "--epochs", "2", "--run-dir", "run", *SILENT)
    assert fit.returncode == 0, fit.stderr
    more = script("fit.py", "--resume", "run", *own, "--epochs", "3", *SILENT)
    assert more.returncode == 0, more.stderr
    for name, *arguments in (
        ("evaluate.py", "run"),
        ("export.py", "--run", "run", "--format", "savedmodel", "exported"),
        ("ensemble.py", "run", "run", "--run-dir", "both"),
    ):
        done = script(name, *arguments, *own)
        assert done.returncode == 0, done.stderr
    both = script("evaluate.py", "both", *own)
    assert both.returncode == 0, both.stderr
    assert "%" in both.stdout


# Inputs that do not fit


def test_wrong_inputs_are_refused_in_one_line(keras):
    from trainer.evaluator import Evaluator

    model, x, _ = two_inputs(keras)
    evaluator = Evaluator(model, Squares())
    for wrong, said in (
        ({"image": x["image"]}, r"the model has \{image: float32 \[N, 12, 12, 1\], extra: float32 \[N, 3\]\}"),
        ({**x, "extra": x["extra"][:5]}, "same number of rows"),
        (
            {**x, "extra": x["extra"][:, :2]},
            r"cannot predict: the model takes .* of shape \(3,\), the data have \(2,\)",
        ),
        ({name: leaf[:0] for name, leaf in x.items()}, "there are no inputs"),
        ("image.png", "cannot predict for str: give arrays"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            evaluator.predict(wrong)
        assert "\n" not in str(caught.value)
    evaluator = Evaluator(two_outputs(keras)[0], Squares())
    for single in (x["image"][0], x["image"][0, ..., 0]):
        with pytest.raises(UsageError, match=r"x is a single row, .*; add a batch axis: x\[None\]"):
            evaluator.predict(single)
        assert evaluator.predict(single[None])["size"].shape == (1, 1)


@pytest.mark.parametrize("form", ["tuple", "dataset", "labelled dataset", "rows"])
def test_inputs_may_come_in_any_form(keras, form):
    import tensorflow as tf

    from trainer.data.rows import ArrayRows
    from trainer.evaluator import Evaluator

    model, x, y = two_inputs(keras)
    evaluator = Evaluator(model, Squares())
    given = {
        "tuple": lambda: (x["image"], x["extra"]),
        "dataset": lambda: tf.data.Dataset.from_tensor_slices(x).batch(16),
        "labelled dataset": lambda: tf.data.Dataset.from_tensor_slices((x, y)).batch(16),
        "rows": lambda: ArrayRows(x, y),
    }[form]()
    np.testing.assert_allclose(evaluator.predict(given), evaluator.predict(x), atol=1e-6)


def test_a_model_that_the_data_cannot_build_is_refused_in_one_line(keras):
    from trainer.trainer import Trainer

    model = keras.Sequential([keras.layers.Conv2D(2, 3), keras.layers.Dense(1)])
    x = inputs()["extra"]
    with pytest.raises(
        UsageError, match=r"cannot build the model sequential\S* from the data: .*; give it keras.Input"
    ) as caught:
        Trainer(model, task=Squares(), plugins=[]).fit(x, x[:, :1], epochs=1)
    assert "\n" not in str(caught.value)


def test_an_unbuilt_sequential_is_built_from_the_data(keras):
    from trainer.trainer import Trainer

    model = keras.Sequential([keras.layers.Dense(1)])
    x = inputs()["extra"]
    trainer = Trainer(model, task=Squares(), plugins=[])
    assert "not built yet" in repr(trainer)
    assert trainer.fit(x, x[:, :1], epochs=1).status == "done"
    assert trainer.predict(x[:4]).shape == (4, 1)


# MLflow


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType:UserWarning")  # by MLflow while imported
def test_mlflow_has_the_run_and_says_why_it_has_no_model(keras, tmp_path, caplog):
    from mlflow_stores import client_of

    from plugins.mlflow.store import Store
    from trainer.trainer import Trainer

    model, x, y = numbers(keras)
    used = [plugins.build(name) for name in ("checkpoint", "mlflow")]
    trainer = Trainer(model, task=Squares(), plugins=used, run_dir=tmp_path / "runs" / "run")
    with caplog.at_level("INFO", "trainer"):
        trainer.fit(x, y, validation_data=(x, y), test_data=(x, y), epochs=1)
    (said,) = [line for line in caplog.messages if line.startswith("mlflow: ")]
    assert said.startswith("mlflow: the model was not logged: cannot log ")
    client = client_of(Store.at(None, tmp_path / "runs").uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    assert (run.info.status, run.data.tags["model_not_logged"] in said) == ("FINISHED", True)
    assert run.data.metrics["test/mean_error"] == pytest.approx(trainer.run.result["test"]["mean_error"])
