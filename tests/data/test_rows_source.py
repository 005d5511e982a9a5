"""Can a data source hold any rows, not only images, and are they split, described and trained on as promised?"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import SILENT, Done, make_images, run_script

from trainer.data.imageset import Source
from trainer.data.rows import ArrayRows
from trainer.data.sources.find import load_source
from trainer.data.split import as_known, as_lists, as_shapes, content_digest, split, with_test
from trainer.errors import DataError, UsageError

CLASSES = ("a", "b", "c")


def table(count: int = 90, seed: int = 0) -> ArrayRows:
    """Return rows with two inputs and a class; the first value of each row is its number."""
    random = np.random.default_rng(seed)
    left = random.normal(size=(count, 4)).astype(np.float32)
    left[:, 0] = np.arange(count)
    return ArrayRows({"left": left, "right": random.integers(0, 9, (count, 2, 3))}, np.arange(count) % 3)


def numbers(rows: ArrayRows) -> list[int]:
    return rows.x["left"][:, 0].astype(int).tolist()


def test_rows_keep_their_order_and_are_divided_by_class():
    data = split(Source("t", table(), None, CLASSES), seed=0)
    parts = [numbers(part) for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [73, 8, 9]
    assert sorted(number for part in parts for number in part) == list(range(90))
    assert all(part == sorted(part) for part in parts)
    assert np.bincount(data.test.y).tolist() == [3, 3, 3]


def test_the_seed_moves_validation_rows_and_never_test_rows():
    one, two = (split(Source("t", table(), None), seed=seed) for seed in (0, 1))
    assert numbers(one.test) == numbers(two.test)
    assert numbers(one.validation) != numbers(two.validation)


def test_labels_that_are_no_classes_need_not_repeat():
    prices = ArrayRows(np.ones((30, 2)), np.arange(30))
    assert len(split(Source("t", prices, None), seed=0).test) == 3


def test_order_and_content_are_part_of_the_digest():
    rows = table()
    first = split(Source("t", rows, None, CLASSES), seed=0)
    assert split(Source("u", table(), None, CLASSES), seed=5).digest == first.digest
    assert content_digest(Source("t", rows, None, CLASSES)) == first.digest
    for other in (rows.subset(np.arange(90)[::-1]), table(seed=1)):
        assert split(Source("t", other, None, CLASSES), seed=0).digest != first.digest


def test_other_rows_may_be_the_test_rows_if_they_have_the_same_structure():
    data = split(Source("t", table(), None, CLASSES), seed=0)
    tested = with_test(data, Source("u", table(12, seed=2), None, CLASSES))
    assert (len(tested.test), tested.source_digest) == (12, data.digest)
    assert tested.digest != data.digest
    other = Source("u", ArrayRows({"left": np.ones((9, 4))}, np.arange(9) % 3), None, CLASSES)
    with pytest.raises(DataError, match=r"cannot use u: its test rows are \(\{left: float32 \[N, 4\]\}, .*, not \("):
        with_test(data, other)
    with pytest.raises(DataError, match="cannot use u: its test rows are"):
        split(Source("u", table(), other.train, CLASSES), seed=0)


def test_rows_are_not_images_and_images_are_no_rows():
    rows, images = Source("t", table(), None, CLASSES), Source("i", make_images(40), None, tuple("abcd"))
    with pytest.raises(DataError, match=r"cannot use t: it has no images but \(\{left: "):
        as_known(rows, (12, 12, 1), tuple("abcd"))
    with pytest.raises(DataError, match="cannot use i: its test rows are"):
        with_test(split(rows, seed=0), images)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.arange(90) % 4, "label 3 of row 3 is none of the 3 classes, numbered from 0"),
        (np.arange(90) % 3 - 1, "label -1 of row 0"),
        (np.ones((90, 2)), "labels must be class numbers"),
        ({"a": np.ones(90)}, "labels must be class numbers"),
        (None, "labels must be class numbers"),
    ],
)
def test_a_source_with_classes_needs_their_numbers(labels, said):
    with pytest.raises(DataError, match=said):
        split(Source("t", ArrayRows(np.ones((90, 2)), labels), None, CLASSES), seed=0)


def test_rows_are_described_with_the_shapes_of_their_inputs():
    data = split(Source("t", table(), None, CLASSES), seed=0)
    assert data.input_shape == {"left": (4,), "right": (2, 3)}
    described = json.loads(json.dumps(data.describe()))
    assert described["input_shapes"] == {"left": [4], "right": [2, 3]}
    assert as_shapes(described["input_shapes"]) == data.input_shape
    assert "input_shape" not in described
    assert "90 to train; ({left: float32 [N, 4], right: int64 [N, 2, 3]}, int64 [N]), 3 classes" in repr(
        Source("t", table(), None, CLASSES)
    )
    nested = ((3,), {"a": (), "b": ((1, 2), (3,))})
    assert as_shapes(json.loads(json.dumps(as_lists(nested)))) == nested


MINE = '''
from trainer.registry import data_sources, models

@data_sources.register("flowers")
def flowers(folder, noise: float = 0.1):
    """Measurements of made-up flowers."""
    import numpy as np
    from trainer.data.imageset import Source
    from trainer.data.rows import ArrayRows
    random, y = np.random.default_rng(0), np.arange(300, dtype=np.int32) % 3
    x = {name: random.normal(y[:, None], noise, (300, 4)).astype(np.float32) for name in ("leaf", "petal")}
    return Source(f"flowers {noise}", ArrayRows(x, y), None, ("a", "b", "c"))

@models.register("two")
def two(input_shape, num_classes):
    """A dense layer on all inputs."""
    import keras
    inputs = {name: keras.Input(shape, name=name) for name, shape in input_shape.items()}
    return keras.Model(inputs, keras.layers.Dense(num_classes)(keras.layers.Concatenate()(list(inputs.values()))))
'''


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """The folder of a finished run on rows of a registered source, and what `fit.py` printed."""
    folder = tmp_path_factory.mktemp("rows")
    (folder / "mine.py").write_text(MINE)
    flags = ("--import", "mine", "--data", "flowers:noise=0.05", "--model", "two", "--lr", "0.1")
    return folder, run_script(folder, "fit.py", *flags, "--epochs", "8", "--run-dir", "run", *SILENT)


def test_a_registered_source_of_rows_is_trained_on(run):
    folder, done = run
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result["test"]["accuracy"] > 0.8
    assert result["data"]["name"] == "flowers 0.05"
    assert json.loads((folder / "run" / "run.json").read_text())["data"]["input_shapes"] == {"leaf": [4], "petal": [4]}
    assert "[data.args]\nnoise = 0.05\n" in (folder / "run" / "config.toml").read_text()


def test_a_run_on_rows_is_evaluated_on_its_own_rows(run):
    folder, _ = run
    done = run_script(folder, "evaluate.py", "run", "--import", "mine")
    assert (done.returncode, done.stderr) == (0, "")
    assert "flowers 0.05, test rows: 30" in done.stdout
    done = run_script(
        folder, "evaluate.py", "run", "--import", "mine", "--data", "flowers:noise=0.06", "--out", "other"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "flowers 0.06, all rows: 300" in done.stdout
    for flags, status, said in (
        (("--data", "mnist5k"), 1, "cannot use mnist5k: its inputs have the shape (28, 28, 1), not {'leaf': (4,), "),
        (("--robustness",), 2, "this needs one that maps images to one logit per class"),
    ):
        done = run_script(folder, "evaluate.py", "run", "--import", "mine", *flags)
        assert (done.returncode, len(done.stderr.splitlines())) == (status, 1)
        assert said in done.stderr


def test_a_run_on_rows_is_resumed_and_other_arguments_are_another_run(run):
    folder, _ = run
    again = ("--import", "mine", "--resume", "run", *SILENT)
    done = run_script(folder, "fit.py", *again, "--data", "flowers:noise=0.5")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "data.args.noise: 0.05 → 0.5" in done.stderr
    done = run_script(folder, "fit.py", *again, "--epochs", "9")
    assert done.returncode == 0
    assert json.loads((folder / "run" / "result.json").read_text())["epochs"] == 9


def write(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return f"arrays:file={path}"


def test_measurements_are_read_from_an_npz_file_as_they_are(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(40, 7)), np.arange(40) / 3
    name = write(tmp_path / "a.npz", X_train=x, target_train=y, x_test=x[:9], y_test=y[:9], note=y)
    source = load_source(name, tmp_path)
    np.testing.assert_allclose(source.train.x, x, rtol=1e-6)
    np.testing.assert_allclose(source.test.y, y[:9], rtol=1e-6)
    assert source.class_names == ()
    assert source.notices == (f"{tmp_path / 'a.npz'}: arrays that are not used: note",)
    assert split(source, seed=0).input_shape == (7,)


def test_several_inputs_and_weights_are_read_by_name(tmp_path):
    parts = {"x_train.left": np.ones((20, 8, 8, 1), np.uint8), "x_train.right": np.ones((20, 3))}
    name = write(tmp_path / "a.npz", **parts, y_train=np.arange(20) % 2, sample_weight_train=np.ones(20))
    source = load_source(f"{name},classes=2", tmp_path)
    assert source.train.x["left"].shape == (20, 8, 8, 1)
    assert source.train.sample_weight.shape == (20,)
    assert source.class_names == ("0", "1")
    assert split(source, seed=0).input_shape == {"left": (8, 8, 1), "right": (3,)}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"a": np.ones(3)}, r"x_train is missing \(found: a\); name the inputs x_train"),
        ({"x_train": np.ones((3, 2)), "y_train": np.ones(4)}, "all arrays must have the same number of rows"),
        ({"x_train": np.ones((3, 2)), "x_train.left": np.ones(3)}, "x_train.left and x_train could be the same"),
        ({"x_train.left": np.ones(3), "X_train": np.ones((3, 2))}, "X_train and x_train.left could be the same"),
        ({"x_train": np.array(1.0)}, r"its leaves must be arrays \[N, …\]"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(arrays, said, tmp_path):
    with pytest.raises(DataError, match=said):
        load_source(write(tmp_path / "a.npz", **arrays), tmp_path)


def test_the_file_of_arrays_must_exist_and_may_not_need_all_memory(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"--data arrays:file=\S+none\.npz: no such file"):
        load_source(f"arrays:file={tmp_path}/none.npz", tmp_path)
    with pytest.raises(UsageError, match="missing a required argument: 'file'"):
        load_source("arrays", tmp_path)
    name = write(tmp_path / "a.npz", x_train=np.ones((1000, 100)))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1_000_000))
    with pytest.raises(DataError, match="do not fit in half of"):
        load_source(name, tmp_path)


def test_a_model_for_images_is_not_built_for_other_rows(run):
    folder, _ = run
    done = run_script(folder, "fit.py", "--import", "mine", "--data", "flowers", *SILENT)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 2)
    assert "cannot build the model 'lenet' for inputs of shape {'leaf': (4,), 'petal': (4,)}: " in done.stderr
    assert "choose a model for such data with --model" in done.stderr
