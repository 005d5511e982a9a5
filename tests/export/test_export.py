"""Is an export the same model, and is anything else detected and deleted?"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import SILENT, run_script, small_net

from trainer.config.schema import Config
from trainer.errors import InkwellError, UsageError
from trainer.export import formats
from trainer.export.exporting import export
from trainer.export.format import Format, Served
from trainer.export.images import digits
from trainer.export.original import Original
from trainer.export.proof import Answer, Proof, compare
from trainer.runs.trained import Trained, load_trained

IMAGES = digits(300, (28, 28, 1))


def train(folder: Path, model: str) -> Path:

    run = folder / model
    done = run_script(
        folder, "fit.py", "--data", "mnist5k", "--model", model, "--epochs", "1", "--run-dir", run, *SILENT
    )
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("export"), "lenet")


@pytest.fixture(scope="module")
def trained(run_dir: Path) -> Trained:
    return load_trained(run_dir)


@pytest.fixture(scope="module")
def original(trained: Trained) -> Original:
    return Original.of(trained)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_the_script_exports_and_says_how_it_compares(run_dir, tmp_path):
    out = tmp_path / "new" / "served"
    done = run_script(tmp_path, "export.py", "--format", "mlflow", out, "--run", run_dir)
    assert (done.returncode, done.stderr) == (0, "")
    head, columns, line, *steps = done.stdout.splitlines()
    assert steps == ["", "next:", f"  predict  python scripts/predict.py FILE --recognizer {out}"]
    assert "compared on 1,000 images (mnist5k, test and validation and train images)" in head
    assert columns.split() == ["format", "bytes", "one", "image", "difference", "other", "classes", "folder"]
    assert (line.split()[0], line.split()[5]) == ("mlflow", "0")
    assert {"MLmodel", "README.md", "requirements.txt", "conda.yaml", "spec.json"} <= set(files(out))
    spec = json.loads((out / "spec.json").read_text())
    assert spec["input"]["shape"] == [None, 28, 28, 1]
    assert spec["class_names"] == list("0123456789")
    assert spec["origin"]["run"] == run_dir.name
    assert spec["proof"]["images"] == 1000
    pinned = [line.partition("==") for line in (out / "requirements.txt").read_text().splitlines()]
    assert [(name, sign) for name, sign, version in pinned if version] == [
        *[("mlflow", "=="), ("numpy", "=="), ("tensorflow", "==")]
    ]
    assert "$" not in (out / "README.md").read_text().replace("$schema", "")
    assert files(out.parent) == ["served"]  # nothing is left next to it


@pytest.mark.slow
@pytest.mark.parametrize("name", ["keras", "litert", "litert-int8", "onnx", "savedmodel"])
def test_every_format_takes_batches_of_any_size_and_gives_probabilities(trained, original, tmp_path, name):
    for package in {"litert": ["ai_edge_litert"], "onnx": ["tf2onnx", "onnxruntime"]}.get(name.partition("-")[0], []):
        pytest.importorskip(package)
    proof = export(original, name, tmp_path / "out")
    assert proof.holds
    assert proof.images == 1000
    classify = formats.resolve(name).read(tmp_path / "out")
    for count in (1, 7, 300):
        probabilities = classify(IMAGES[:count])
        assert (probabilities.shape, probabilities.dtype) == ((count, 10), np.float32)
        rounding = 10 / 256 if name == "litert-int8" else 1e-5
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=rounding)
    whole = hashlib.sha256()
    for variable in trained.model.variables:
        array = np.asarray(variable)
        whole.update(f"{array.dtype.str}{array.shape}\n".encode() + array.tobytes())
    assert json.loads((tmp_path / "out" / "spec.json").read_text())["origin"]["weights_sha256"] == whole.hexdigest()


@pytest.mark.slow
def test_an_export_that_is_another_model_is_found_out_and_deleted(original, tmp_path, monkeypatch, keras):
    """The export of a network whose last bias was forgotten: it is written and read without an error."""
    from trainer.export import saved_model

    def forget(served: Served, folder: Path) -> None:
        other = keras.models.clone_model(served.model)
        other.set_weights([*served.model.get_weights()[:-1], np.full(10, [5.0] + 9 * [0.0])])
        saved_model.write(dataclasses.replace(served, model=other), folder)

    monkeypatch.setattr(saved_model, "FORMAT", Format(forget, saved_model.read))
    with pytest.raises(
        InkwellError, match=r"differs from the model and was deleted: 1,000 images .* \d+ classes differ"
    ):
        export(original, "savedmodel", tmp_path / "out")
    assert files(tmp_path) == []


@pytest.mark.slow
def test_an_export_that_cannot_be_read_is_deleted(original, tmp_path, monkeypatch, keras):
    from trainer.export import saved_model

    def cut(served: Served, folder: Path) -> None:
        saved_model.write(served, folder)
        (data,) = (folder / "variables").glob("variables.data*")
        data.write_bytes(data.read_bytes()[:1000])

    monkeypatch.setattr(saved_model, "FORMAT", Format(cut, saved_model.read))
    with pytest.raises(InkwellError, match="cannot use the export in a fresh process: "):
        export(original, "savedmodel", tmp_path / "out")
    assert files(tmp_path) == []


@pytest.mark.slow
def test_layers_that_only_inkwell_has_are_no_keras_file(tmp_path):
    """A .keras file of LeNet-5 can only be read where its layers are defined, so it is not an export."""
    run = train(tmp_path, "lenet5")
    done = run_script(tmp_path, "export.py", "--format", "keras", "out", "--run", run)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "cannot use the export in a fresh process" in done.stderr
    assert files(tmp_path) == ["lenet5"]
    assert export(Original.of(load_trained(run)), "savedmodel", tmp_path / "out").holds


@pytest.mark.slow
def test_where_the_data_of_the_run_are_gone_digits_stand_in(trained, tmp_path):
    elsewhere = dataclasses.replace(trained.config.data, name=str(tmp_path / "gone.npz"))
    moved = dataclasses.replace(trained, config=dataclasses.replace(trained.config, data=elsewhere))
    assert "mnist5k, not images of" in str(export(Original.of(moved), "savedmodel", tmp_path / "out"))


def test_wrong_usage_is_reported_before_tensorflow_is_imported(tmp_path):
    (tmp_path / "there").mkdir()
    for arguments, text in (
        (["--format", "mlflow", "there"], "cannot create export there: it already exists"),
        (["--format", "mlflw", "new"], "did you mean 'mlflow'?"),
        (["--format", "mlflow", "new"], "no finished run in runs"),
        (["--format", "mlflow", "new", "--run", "there"], "there is neither a run directory nor a checkpoint"),
        (["new"], "--format"),
    ):
        done = run_script(tmp_path, "export.py", *arguments, timeout=300)
        assert (done.returncode, done.stdout) == (2, "")
        assert text in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert files(tmp_path) == ["there"]


def test_a_model_whose_outputs_are_no_logits_of_classes_is_refused(keras):
    described = {"class_names": ["a", "b"], "input_shape": [12, 12, 1]}
    trained = Trained(small_net(keras), Config(), described, Path("runs/odd"))
    with pytest.raises(UsageError, match=r"needs one that maps images to one logit per class; use it from Python"):
        Served.of(trained, np.zeros((1, 12, 12, 1), np.uint8))


@pytest.mark.parametrize(("units", "activation"), [(2, "softmax"), (2, None), (1, "sigmoid"), (1, None)])
def test_probabilities_are_those_of_the_model_whatever_it_ends_in(keras, tmp_path, units, activation):
    from trainer.export import keras_file
    from trainer.export.serving import serving

    inputs = keras.Input((12, 12, 1))
    head = keras.layers.Dense(units, activation=activation)
    model = keras.Model(inputs, head(keras.layers.Flatten()(inputs)))
    images = np.random.default_rng(0).integers(0, 256, (20, 12, 12, 1)).astype(np.uint8)
    outputs = np.asarray(model(images / np.float32(255), training=False))
    if activation is None:
        outputs = np.asarray((keras.ops.softmax if units == 2 else keras.ops.sigmoid)(outputs))
    expected = outputs if units == 2 else np.concatenate([1 - outputs, outputs], axis=1)
    served = Served(model, (12, 12, 1), ("a", "b"), 1.0, images, {})
    np.testing.assert_allclose(serving(model, (12, 12, 1), 1.0)(images)["probabilities"], expected, atol=1e-6)
    keras_file.write(served, tmp_path)
    np.testing.assert_allclose(keras_file.read(tmp_path)(images), expected, atol=1e-6)


def test_a_proof_detects_another_class_a_difference_and_nan():
    source = np.array([[0.6, 0.4], [0.1, 0.9]])

    def proof(found: np.ndarray, tolerance: float, others: float = 0.0) -> Proof:
        return compare("test", source, Answer(found), Format(print, print, tolerance, others))

    assert proof(source.astype(np.float32), 1e-5).holds
    assert not proof((source + 2e-5).astype(np.float32), 1e-5).holds
    swapped = proof(source[:, ::-1].astype(np.float32), 1.0)
    assert (swapped.holds, swapped.other_classes) == (False, 2)
    one = np.array([[0.4, 0.6], [0.1, 0.9]], np.float32)
    assert proof(one, 1.0, others=0.5).holds
    assert not proof(one, 1.0, others=0.4).holds
    lost = np.array([[np.nan, 0.4], [0.1, np.nan]], np.float32)  # argmax would choose NaN
    assert not proof(lost, 1.0).holds
    for wrong in (source, source[:1].astype(np.float32)):
        with pytest.raises(InkwellError, match="the export returns"):
            proof(wrong, 1e-5)


def test_digits_come_in_the_size_of_the_model():
    for shape in ((28, 28, 1), (40, 20, 3)):
        images = digits(50, shape)
        assert (images.shape, images.dtype) == ((50, *shape), np.uint8)
        assert images.max() > 200
    assert len(np.unique(digits(50, (28, 28, 1)).reshape(50, -1), axis=0)) == 50


def test_a_disk_that_is_full_leaves_nothing(tmp_path, monkeypatch):
    """Any error of a format's writer is reported in one line."""
    import trainer.export.exporting as exporting

    def full(served: Served, folder: Path) -> None:
        (folder / "part").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "formats", SimpleNamespace(resolve=lambda name: Format(full, lambda folder: None)))
    with pytest.raises(InkwellError, match=r"cannot write .*No space left"):
        export(SimpleNamespace(served=None), "any", tmp_path / "out")
    assert files(tmp_path) == []
