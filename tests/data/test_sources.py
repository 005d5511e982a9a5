"""Is good data read unchanged, and bad data refused with one line that says what is wrong, where, and what to do?"""

from __future__ import annotations

import gzip
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
from PIL import Image, ImageFile

import trainer
from trainer.data.imageset import ImageSet, Source
from trainer.data.sources.find import check_source, load_source
from trainer.data.sources.image import read_header, read_image
from trainer.errors import DataError, InkwellError, UsageError
from trainer.registry import Registry, data_sources

TRAIN, TEST = 40, 20


def some_images(number: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, *(shape or (28, 28))), np.uint8)


def some_labels(number: int, classes: int = 10) -> np.ndarray:
    return (np.arange(number) % classes).astype(np.uint8)


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder: Path, spelling: str = "{}-{}-idx{}-ubyte", pack: Callable[[bytes], bytes] = bytes) -> Path:
    """Write a small data set in MNIST's format: 40 and 20 images of 28 x 28."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, number in (("train", TRAIN), ("t10k", TEST)):
        for kind, array in (("images", some_images(number)), ("labels", some_labels(number))):
            (folder / spelling.format(split, kind, array.ndim)).write_bytes(pack(idx(array)))
    return folder


def write_npz(path: Path, **arrays: np.ndarray) -> Path:
    good = {
        "x_train": some_images(TRAIN),
        "y_train": some_labels(TRAIN),
        "x_test": some_images(TEST),
        "y_test": some_labels(TEST),
    }
    np.savez(path, **{name: array for name, array in {**good, **arrays}.items() if array is not None})
    return path


def write_classes(root: Path, *names: str, number: int = 3, mode: str = "L", size: tuple[int, int] = (7, 5)) -> Path:
    """Write `number` images of `size` (width, height) per class; pixel values differ by class and image."""
    for k, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            Image.new("L", size, 100 + 10 * k + i).convert(mode).save(root / name / f"{i}.png")
    return root


def png(width: int, height: int, bits: int, colour: int, data: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """Return a PNG assembled from its parts; `data` is uncompressed."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*pair) for pair in chunks)


def refuse(path: Path | str, *fragments: str, error: type[InkwellError] = DataError) -> str:
    """Assert that loading is refused in one line that contains the fragments; return the line."""
    with pytest.raises(error) as caught:
        load_source(str(path), Path("no-data-folder"))
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for fragment in fragments:
        assert fragment in message
    return message


# Names and paths


def test_an_unknown_name_is_refused_with_the_nearest_name_and_the_list(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown data source 'mnits'; did you mean 'mnist'\? \(known: auto, mnist"):
        check_source("mnits", tmp_path)


def test_names_of_tfds_are_suggested_but_not_listed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"did you mean 'cifar10'\?.*or any TFDS image-classification set") as caught:
        check_source("cifra10", tmp_path)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("name", ["no/such/folder", "./mnist", "digits.npz", "~/no-such-folder-at-home", "x" * 5000])
def test_a_missing_path_is_wrong_usage(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such file or folder|too long") as caught:
        check_source(name, tmp_path)
    assert caught.value.exit_status == 2


def test_an_empty_name_is_not_the_working_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown data source ''"):
        check_source("", tmp_path)


@pytest.mark.parametrize(
    "name", ["auto", "mnist", "mnist5k", "cifar10", "emnist/letters", "mnist:3.0.1", "svhn_cropped"]
)
def test_known_names_pass_the_check(name: str, tmp_path: Path) -> None:
    check_source(name, tmp_path)


def test_a_registered_name_goes_before_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_classes(Path("mnist5k"), "a", "b")
    assert load_source("mnist5k", tmp_path).name == "mnist5k"
    assert load_source("./mnist5k", tmp_path).class_names == ("a", "b")


def test_the_check_reads_no_data_and_imports_nothing_heavy(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from trainer.data.sources.find import check_source
from trainer.errors import UsageError
for name in ("auto", "mnist", "fashion_mnist", "cifar10", "emnist/letters", "mnits", "a/b", "a.npz", "."):
    try:
        check_source(name, Path("data"))
    except UsageError:
        pass
heavy = {"tensorflow", "tensorflow_datasets", "keras", "numpy", "pandas", "PIL", "requests"} & set(sys.modules)
assert not heavy, heavy
"""
    env = {**os.environ, "PYTHONPATH": str(Path(trainer.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def test_a_registered_source_must_return_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry("data source", "inkwell.data.test")
    registry.register("odd")(lambda folder: 42)
    monkeypatch.setattr("trainer.data.sources.find.data_sources", registry)
    with pytest.raises(UsageError, match=r"'odd' returned int, not trainer\.data\.imageset\.Source"):
        load_source("odd", tmp_path)


@pytest.fixture
def folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered source `folds` whose images are as bright as its fold."""
    registry = Registry("data source", "inkwell.data.test")

    @registry.register("folds")
    def read(folder: Path, fold: int, of: Literal[5, 10] = 5, *, names: tuple[str, ...] = ("a", "b")) -> Source:
        if fold >= of:
            raise ValueError(f"fold {fold} of {of}: folds are numbered from 0")
        return Source(
            f"fold {fold}",
            ImageSet(np.full((4, 5, 5, 1), 100 + fold, np.uint8), np.arange(4, dtype=np.int32) % 2),
            None,
            names,
        )

    monkeypatch.setattr("trainer.data.sources.find.data_sources", registry)


def test_a_registered_source_gets_the_arguments_after_its_name(folds: None, tmp_path: Path) -> None:
    source = load_source("folds:fold=3,names=['x', 'y']", tmp_path)
    assert (source.name, source.class_names, int(source.train.images[0, 0, 0, 0])) == ("fold 3", ("x", "y"), 103)
    assert load_source("folds", tmp_path, {"fold": 2}).name == "fold 2"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("folds:fold=two", "data source 'folds': fold='two': must be a whole number; it takes (fold: int, of: Literal"),
        ("folds:fould=2", "data source 'folds' has no argument 'fould'; did you mean 'fold'? it takes (fold: int"),
        ("folds:of=10", "data source 'folds': missing a required argument: 'fold'"),
        ("folds", "data source 'folds': missing a required argument: 'fold'"),
        ("folds:fold=1,of=7", "of=7: "),
        ("folds:folder=1", "has no argument 'folder'"),
        ("folds:fold=1,x", "write NAME:key=value,key=value; cannot read 'x'"),
        ("fould:fold=1", "unknown data source 'fould'; did you mean 'folds'?"),
        ("cifar10:fold=1", "--data cifar10 takes no arguments, unlike a registered data source: omit fold"),
    ],
)
def test_wrong_arguments_are_refused_before_data_are_read(folds: None, name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        check_source(name, tmp_path)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_arguments_that_a_source_refuses_itself_are_wrong_usage(folds: None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data source 'folds': fold 5 of 5: folds are numbered from 0"):
        load_source("folds:fold=5", tmp_path)


def test_arguments_after_a_path_are_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz")
    refuse(f"{path}:fold=1", "takes no arguments", "omit fold", error=UsageError)


def test_every_source_of_the_table_has_a_line_of_help() -> None:
    own = [entry for entry in data_sources.entries() if not entry.distribution]
    assert [entry.name for entry in own] == ["auto", "mnist", "mnist5k", "fashion_mnist", "arrays"]
    assert all(entry.help for entry in own)


def test_a_folder_that_may_not_be_read_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(folder: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("trainer.data.sources.folder._entries", forbid)  # root, as in containers, may read everything
    refuse(tmp_path, str(tmp_path), "cannot read data", "Permission denied")


# IDX files


@pytest.mark.parametrize("spelling", ["{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte"])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read_in_every_spelling(spelling: str, packed: bool, tmp_path: Path) -> None:
    pack = gzip.compress if packed else bytes
    write_idx(tmp_path, spelling + (".gz" if packed else ""), pack)
    source = load_source(str(tmp_path), tmp_path)
    assert source.test is not None
    np.testing.assert_array_equal(source.train.images[..., 0], some_images(TRAIN))
    np.testing.assert_array_equal(source.train.labels, some_labels(TRAIN))
    np.testing.assert_array_equal(source.test.images[..., 0], some_images(TEST))
    assert source.class_names == tuple("0123456789")
    assert (source.validation, source.name) == (0.1, str(tmp_path))


def test_idx_files_without_t10k_have_no_test_split(tmp_path: Path) -> None:
    write_idx(tmp_path)
    for path in tmp_path.glob("t10k-*"):
        path.unlink()
    source = load_source(str(tmp_path), tmp_path)
    assert source.test is None
    assert (source.validation, source.held_out) == (0.1, 0.1)


@pytest.mark.parametrize("missing", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_missing_idx_file_is_named(missing: str, tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / missing).unlink()
    refuse(tmp_path, f"{missing} is missing")


def test_idx_files_of_the_test_split_alone_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path)
    for path in tmp_path.glob("train-*"):
        path.unlink()
    refuse(tmp_path, "train-images-idx3-ubyte and train-labels-idx1-ubyte are missing")


@pytest.mark.parametrize(
    ("cut", "reason"),
    [
        (0, "it begins with nothing"),
        (3, "it begins with 00 00 08 instead of"),
        (10, "its header is truncated"),
        (16, "truncated: its header declares 31360 bytes, but it contains 0"),
        (5000, "truncated: its header declares 31360 bytes, but it contains 4984"),
        (-1, "truncated: its header declares 31360 bytes, but it contains 31359"),
    ],
)
def test_a_truncated_idx_file_is_refused(cut: int, reason: str, tmp_path: Path) -> None:
    path = write_idx(tmp_path) / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:cut])
    refuse(tmp_path, f"cannot read {path}: {reason}", "download the file again")


@pytest.mark.parametrize("cut", [0, 1, 5, 12, 30, 5000, -8, -5, -1])
def test_a_truncated_gzip_file_is_refused(cut: int, tmp_path: Path) -> None:
    path = write_idx(tmp_path, "{}-{}-idx{}-ubyte.gz", gzip.compress) / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:cut])
    refuse(tmp_path, str(path), "download the file again")


@pytest.mark.parametrize("at", [0, 5, 10, 100, 20_000, -6])
def test_a_corrupt_gzip_file_is_refused(at: int, tmp_path: Path) -> None:
    path = write_idx(tmp_path, "{}-{}-idx{}-ubyte.gz", gzip.compress) / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)
    if at == 5:  # the timestamp, which does not matter
        assert load_source(str(tmp_path), tmp_path)
    else:
        refuse(tmp_path, str(path), "download the file again")


def test_a_file_named_gz_that_is_not_gzip_is_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, "{}-{}-idx{}-ubyte.gz", bytes)
    refuse(tmp_path, "Not a gzipped file")


@pytest.mark.parametrize("magic", [b"\0\0\x08\x01", b"\0\0\x0d\x03", b"\x1f\x8b\x08\x00", b"<htm"])
def test_a_wrong_magic_number_is_refused(magic: bytes, tmp_path: Path) -> None:
    path = write_idx(tmp_path) / "train-images-idx3-ubyte"
    path.write_bytes(magic + path.read_bytes()[4:])
    refuse(tmp_path, f"it begins with {magic.hex(' ')} instead of 00 00 08 03")


@pytest.mark.parametrize("packed", [False, True])
def test_trailing_bytes_are_refused(packed: bool, tmp_path: Path) -> None:
    suffix, pack = (".gz", gzip.compress) if packed else ("", bytes)
    path = write_idx(tmp_path, "{}-{}-idx{}-ubyte" + suffix, pack) / f"train-labels-idx1-ubyte{suffix}"
    path.write_bytes(pack(idx(some_labels(TRAIN)) + b"\0"))
    refuse(tmp_path, str(path), "more than the 40 bytes that its header declares")


def test_images_and_labels_of_different_lengths_are_refused(tmp_path: Path) -> None:
    (write_idx(tmp_path) / "train-labels-idx1-ubyte").write_bytes(idx(some_labels(TRAIN - 1)))
    refuse(tmp_path, "has 40 images", "has 39 labels")


def test_a_header_that_declares_more_than_memory_is_refused_before_reading(tmp_path: Path) -> None:
    path = write_idx(tmp_path) / "train-images-idx3-ubyte"
    path.write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**31, 2**15, 2**15))
    refuse(tmp_path, str(path), "do not fit in half of", "choose a smaller set")


def test_an_idx_file_without_images_is_refused(tmp_path: Path) -> None:
    path = write_idx(tmp_path) / "train-images-idx3-ubyte"
    path.write_bytes(idx(some_images(TRAIN)[:0]))
    refuse(tmp_path, str(path), "declares an empty array")


# Labels and classes


def with_labels(folder: Path, split: str, labels: np.ndarray) -> Path:
    (write_idx(folder) / f"{split}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def test_the_first_label_outside_the_classes_is_named(tmp_path: Path) -> None:
    labels = some_labels(TRAIN)
    labels[[12, 30]] = 12, 11
    refuse(
        with_labels(tmp_path, "train", labels),
        "label 12 of training image 12 is outside the classes 0-9 (no training image has label 10)",
    )


def test_a_test_label_that_training_does_not_have_is_refused(tmp_path: Path) -> None:
    labels = some_labels(TEST)
    labels[7] = 10
    refuse(with_labels(tmp_path, "t10k", labels), "label 10 of test image 7 is outside the classes 0-9")


def test_labels_that_begin_at_one_are_refused(tmp_path: Path) -> None:
    labels = some_labels(TRAIN) + np.uint8(1)
    refuse(with_labels(tmp_path, "train", labels), "labels go from 1 to 10: subtract 1, since classes are numbered")


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    refuse(with_labels(tmp_path, "train", some_labels(TRAIN, classes=1)), "only one class")


def test_a_named_class_without_a_training_image_is_refused(tmp_path: Path) -> None:
    labels = some_labels(TRAIN)
    labels[labels == 4] = 5
    with_labels(tmp_path, "train", labels)
    with pytest.raises(DataError, match=r"mnist: no training image has label 4 \(class '4'\)"):
        load_source("mnist", tmp_path)


def test_a_negative_label_is_refused(tmp_path: Path) -> None:
    labels = some_labels(TRAIN).astype(np.int64)
    labels[3] = -1
    refuse(write_npz(tmp_path / "a.npz", y_train=labels), "label -1 of training image 3 is outside the classes 0-9")


def test_training_and_test_images_of_different_size_are_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x_test=some_images(TEST, 28, 27))
    refuse(path, "training images are 28x28x1 but test images 28x27x1")


# Named sources


def test_mnist_is_taken_from_idx_files_in_the_folder_or_its_sub_folder(tmp_path: Path) -> None:
    direct = load_source("mnist", write_idx(tmp_path / "one"))
    write_idx(tmp_path / "two" / "mnist", "{}-{}-idx{}-ubyte.gz", gzip.compress)
    below = load_source("mnist", tmp_path / "two")
    np.testing.assert_array_equal(direct.train.images, below.train.images)
    assert direct.name == below.name == "mnist"
    assert load_source("auto", tmp_path / "one").name == "mnist"


def test_fashion_is_taken_from_its_sub_folder_only_and_names_its_classes(tmp_path: Path) -> None:
    write_idx(tmp_path / "fashion_mnist")
    source = load_source("fashion_mnist", tmp_path)
    assert source.class_names[0] == "T-shirt/top"
    assert len(source.class_names) == 10


def test_mnist_without_its_test_files_is_refused_and_not_replaced(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    for name in ("mnist", "auto"):
        with pytest.raises(DataError, match="lacks the test split: t10k-images-idx3-ubyte and t10k-labels"):
            load_source(name, tmp_path)


def test_damaged_mnist_is_an_error_for_auto_too(tmp_path: Path) -> None:
    (write_idx(tmp_path) / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    with pytest.raises(DataError, match="its header is truncated"):
        load_source("auto", tmp_path)


def test_idx_files_of_another_size_are_not_mnist(tmp_path: Path) -> None:
    write_idx(tmp_path)
    for split, number in (("train", TRAIN), ("t10k", TEST)):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(idx(some_images(number, 20, 20)))
    with pytest.raises(DataError, match="holds 10 classes of 20x20x1 images, not 10 of 28x28x1"):
        load_source("mnist", tmp_path)


def test_a_label_outside_the_digits_is_not_mnist(tmp_path: Path) -> None:
    labels = some_labels(TRAIN)
    labels[5] = 10
    with_labels(tmp_path, "train", labels)
    with pytest.raises(DataError, match="mnist: label 10 of training image 5 is outside the classes 0-9"):
        load_source("mnist", tmp_path)


def test_mnist5k_has_500_images_a_digit_and_sets_500_and_500_aside(tmp_path: Path) -> None:
    source = load_source("mnist5k", tmp_path)
    assert source.train.images.shape == (5000, 28, 28, 1)
    assert (np.bincount(source.train.labels) == 500).all()
    assert 30 < source.train.images.mean() < 36  # MNIST's mean is 33.3
    assert source.train.images.max() == 255
    assert (source.validation, source.held_out, source.test) == (500, 500, None)


def test_sets_like_mnist_validate_on_5000_images_whatever_they_are_read_from(tmp_path: Path) -> None:
    many = np.zeros((50_000, 28, 28), np.uint8)
    path = write_npz(tmp_path / "a.npz", x_train=many, y_train=some_labels(50_000))
    assert load_source(str(path), tmp_path).validation == 5_000
    path = write_npz(tmp_path / "b.npz", x_train=many, y_train=some_labels(50_000), x_test=None, y_test=None)
    assert load_source(str(path), tmp_path).validation == 0.1


@pytest.mark.mnist
@pytest.mark.skipif("INKWELL_MNIST" not in os.environ, reason="INKWELL_MNIST names no folder")
def test_the_real_mnist_is_read() -> None:
    source = load_source("mnist", Path(os.environ["INKWELL_MNIST"]))
    assert source.test is not None
    assert (len(source.train), len(source.test), source.validation) == (60_000, 10_000, 5_000)
    assert source.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert source.train.images.mean() == pytest.approx(33.318421, abs=1e-6)


# NPZ files


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 1), (9, 8, 3)])
def test_an_npz_file_is_read(dtype: type, shape: tuple[int, ...], tmp_path: Path) -> None:
    train, test = some_images(TRAIN, *shape).astype(dtype), some_images(TEST, *shape).astype(dtype)
    labels = some_labels(TRAIN, 4).astype(dtype)[:, np.newaxis]
    path = write_npz(tmp_path / "a.npz", x_train=train, x_test=test, y_train=labels, y_test=some_labels(TEST, 3))
    source = load_source(str(path), tmp_path)
    np.testing.assert_array_equal(source.train.images.reshape(train.shape), train)
    np.testing.assert_array_equal(source.train.labels, labels[:, 0])
    assert source.class_names == ("0", "1", "2", "3")
    assert source.train.images.dtype == np.uint8


def test_an_npz_file_without_test_arrays_has_no_test_split(tmp_path: Path) -> None:
    assert load_source(str(write_npz(tmp_path / "a.npz", x_test=None, y_test=None)), tmp_path).test is None


@pytest.mark.parametrize(
    ("arrays", "fragments"),
    [
        ({"x_train": some_images(TRAIN) / 128}, ("x_train has values from 0 to 1.99", "floats must be from 0 to 1")),
        ({"x_train": np.where(some_images(TRAIN), np.nan, 0)}, ("image 0 of x_train", "NaN or infinite")),
        ({"x_train": some_images(TRAIN).astype(int) - 1}, ("x_train has values from -1 to 254",)),
        ({"x_train": some_images(TRAIN).astype(int) * 2}, ("x_train has values from 0 to 510",)),
        ({"x_train": some_images(TRAIN, 780)}, ("x_train has shape 40x780", "x_train.reshape(-1, HEIGHT, WIDTH)")),
        (
            {"x_train": some_images(TRAIN, 3072)},
            ("32x32 in colour", "x_train.reshape(-1, 32, 32, 3)", "reds come first"),
        ),
        (
            {"x_train": some_images(TRAIN, 16)},
            ("x_train has shape 40x16", "reshape(-1, HEIGHT, WIDTH)", "--help arrays"),
        ),
        ({"x_train": some_images(TRAIN, 28, 28, 4)}, ("has 4 channels", "x_train = x_train[..., :3]")),
        ({"x_train": some_images(TRAIN, 2, 28, 28)}, ("x_train has shape 40x2x28x28", "[N, H, W]")),
        ({"x_train": some_images(TRAIN)[:0]}, ("x_train is empty",)),
        ({"y_train": some_labels(TRAIN) / 2}, ("y_train[1] is 0.5", "must be whole numbers", "see --help arrays")),
        ({"y_train": np.full((TRAIN, 10), 0.1)}, ("y_train has shape (40, 10)", "[N], [N, 1], or one-hot [N, K]")),
        ({"y_train": np.array(["cat"] * TRAIN)}, ("y_train is <U3", "labels must be integers")),
        ({"Y_Train": some_labels(TRAIN)}, ("y_train and Y_Train could both be y_train", "keep one of them")),
        ({"y_train": np.full(TRAIN, 2**40)}, ("label 1099511627776 of image 0 is not a class number",)),
        ({"y_train": some_labels(TRAIN - 1)}, ("x_train has 40 images, but y_train has 39 labels",)),
        ({"y_train": None}, ("y_train is missing",)),
        ({"y_test": None}, ("y_test is missing",)),
        ({"x_train": None, "y_train": None}, ("x_train and y_train are missing (found: x_test, y_test)", "np.savez(")),
        ({"x_train": np.array(["a"] * TRAIN)}, ("x_train is <U1",)),
    ],
)
def test_wrong_npz_arrays_are_refused(
    arrays: dict[str, np.ndarray], fragments: tuple[str, ...], tmp_path: Path
) -> None:
    path = write_npz(tmp_path / "a.npz", **arrays)
    refuse(path, str(path), *fragments)


OTHER_NAMES = {
    "capitals": {"X_train": "x_train", "Y_train": "y_train", "X_test": "x_test", "Y_test": "y_test"},
    "MedMNIST": {
        "train_images": "x_train",
        "train_labels": "y_train",
        "test_images": "x_test",
        "test_labels": "y_test",
    },
    "words": {"training-data": "x_train", "TrainingTargets": "y_train", "imgsTest": "x_test", "label_test": "y_test"},
    "unsplit": {"images": "x_train", "labels": "y_train", "x_test": "x_test", "y_test": "y_test"},
}


@pytest.mark.parametrize("names", OTHER_NAMES.values(), ids=OTHER_NAMES)
def test_the_names_that_other_people_give_to_arrays_are_understood(names: dict[str, str], tmp_path: Path) -> None:
    with np.load(write_npz(tmp_path / "a.npz")) as good:
        np.savez(tmp_path / "b.npz", **{theirs: good[ours] for theirs, ours in names.items()})
    ours, theirs = (load_source(str(tmp_path / name), tmp_path) for name in ("a.npz", "b.npz"))
    assert theirs.test is not None
    np.testing.assert_array_equal(theirs.train.images, ours.train.images)
    np.testing.assert_array_equal(theirs.test.labels, some_labels(TEST))
    assert theirs.notices == ()


@pytest.mark.parametrize("swapped", [False, True])
def test_two_arrays_without_names_are_told_apart_by_their_shapes(swapped: bool, tmp_path: Path) -> None:
    pair = [some_images(TRAIN), some_labels(TRAIN)]
    np.savez(tmp_path / "a.npz", *reversed(pair) if swapped else pair)
    source = load_source(str(tmp_path / "a.npz"), tmp_path)
    np.testing.assert_array_equal(source.train.images[..., 0], pair[0])
    x, y = ("arr_1", "arr_0") if swapped else ("arr_0", "arr_1")
    assert source.notices == (f"{tmp_path / 'a.npz'}: {x} is read as the images and {y} as the labels",)


@pytest.mark.parametrize(
    "arrays", [(some_images(4), some_images(4)), (some_labels(4), some_labels(4)), (some_images(4),)]
)
def test_arrays_that_cannot_be_told_apart_are_listed_with_the_names_they_need(
    arrays: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", *arrays)
    refuse(tmp_path / "a.npz", "x_train and y_train are missing (found: arr_0", "np.savez('new.npz', x_train=")


def test_arrays_that_are_not_used_are_named(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", val_images=some_images(5), val_labels=some_labels(5), note=np.arange(3))
    assert load_source(str(path), tmp_path).notices == (
        f"{path}: arrays that are not used: val_images, val_labels, note",
    )


FORMS = {
    "flat": (lambda x: x.reshape(-1, 784), "784 values per image are read as 28x28 pixels"),
    "channels first": (lambda x: x[:, None], "channels are moved from the second axis to the last"),
    "images last": (lambda x: np.moveaxis(x, 0, -1), "its last axis, 40, is that of the images"),
    "whole floats": (lambda x: x.astype(np.float64), "whole numbers, stored as float64, are read as 0 to 255"),
}


@pytest.mark.parametrize(("form", "notice"), FORMS.values(), ids=FORMS)
def test_images_in_another_form_are_rearranged_with_a_notice(
    form: Callable[[np.ndarray], np.ndarray], notice: str, tmp_path: Path
) -> None:
    path = write_npz(tmp_path / "a.npz", x_train=form(some_images(TRAIN)))
    source = load_source(str(path), tmp_path)
    np.testing.assert_array_equal(source.train.images[..., 0], some_images(TRAIN))
    assert source.train.images.dtype == np.uint8
    assert source.notices == (f"{path}: x_train: {notice}",)


def test_a_notice_about_both_splits_is_one_line(tmp_path: Path) -> None:
    flat = {"x_train": some_images(TRAIN, 784), "x_test": some_images(TEST, 784)}
    path = write_npz(tmp_path / "a.npz", **flat)
    assert load_source(str(path), tmp_path).notices == (
        f"{path}: x_train and x_test: 784 values per image are read as 28x28 pixels",
    )


def test_floats_from_0_to_1_stay_floats_and_truth_values_become_black_and_white(tmp_path: Path) -> None:
    images = some_images(TRAIN)
    path = write_npz(tmp_path / "a.npz", x_train=images / 255, x_test=None, y_test=None)
    source = load_source(str(path), tmp_path)
    assert (source.train.images.dtype, source.notices) == (np.float32, ())
    np.testing.assert_allclose(source.train.images[..., 0], images / 255, rtol=1e-6)
    source = load_source(str(write_npz(path, x_train=images > 127, x_test=None, y_test=None)), tmp_path)
    assert set(np.unique(source.train.images)) == {0, 255}
    assert source.notices == (f"{path}: x_train: False and True are read as 0 and 255",)


@pytest.mark.parametrize("form", [lambda y: y / 1, lambda y: y[:, None], lambda y: y[None], lambda y: np.eye(10)[y]])
def test_labels_in_another_form_are_read_as_class_numbers(
    form: Callable[[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    path = write_npz(tmp_path / "a.npz", y_train=form(some_labels(TRAIN)))
    source = load_source(str(path), tmp_path)
    np.testing.assert_array_equal(source.train.labels, some_labels(TRAIN))
    one_hot = form(some_labels(TRAIN)).shape == (TRAIN, 10)
    assert [notice.partition(": ")[2] for notice in source.notices] == (
        ["y_train: one-hot labels of 10 classes are read as numbers"] if one_hot else []
    )


class Mischief:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.write_text, (self.path, "executed"))


def test_pickled_objects_are_refused_and_not_executed(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    assert pickle.loads(pickle.dumps(Mischief(proof)))
    assert proof.read_text() == "executed"
    proof.unlink()
    path = write_npz(tmp_path / "a.npz", x_train=np.array([Mischief(proof)], object))
    refuse(path, "pickled objects", "save plain arrays")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Mischief(proof)))
    refuse(tmp_path / "b.npz", "as .npz:")
    assert not proof.exists()


@pytest.mark.parametrize("cut", [0, 10, 3000, -30])
def test_a_truncated_npz_file_is_refused(cut: int, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz")
    path.write_bytes(path.read_bytes()[:cut])
    refuse(path, "as .npz:")


def test_a_flipped_bit_in_an_npz_file_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz")
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    refuse(path, "as .npz:", "CRC")


def test_an_npz_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", bytes(30_000_000))
        archive.writestr("y_train.npy", b"")
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=50_000_000))
    refuse(path, "do not fit in half of")


def test_a_zip_member_that_is_not_an_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train", b"text")
        archive.writestr("y_train", b"text")
    refuse(path, "x_train is not an array")


# Folders of class folders


def test_class_folders_are_read_in_sorted_order(tmp_path: Path) -> None:
    source = load_source(str(write_classes(tmp_path, "10", "9", "2", "b", "a")), tmp_path)
    assert source.class_names == ("2", "9", "10", "a", "b")
    assert source.train.images.shape == (15, 5, 7, 1)
    assert source.train.labels.tolist() == [k for k in range(5) for _ in range(3)]
    assert (source.train.images[:, 0, 0, 0] - 100).tolist() == [20, 21, 22, 10, 11, 12, 0, 1, 2, 40, 41, 42, 30, 31, 32]
    assert (source.test, source.validation, source.held_out, source.notices) == (None, 0.1, 0.1, ())


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "jpeg", "bmp", "gif", "webp"])
def test_every_image_format_is_read(suffix: str, tmp_path: Path) -> None:
    for name, value in (("a", 40), ("b", 200)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (6, 4), (value, value, value)).save(tmp_path / name / f"x.{suffix}")
    images = load_source(str(tmp_path), tmp_path).train.images
    assert images.shape[:3] == (2, 4, 6)
    np.testing.assert_allclose(images[:, 2, 3, 0], [40, 200], atol=2)


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", "a", "b")
    write_classes(tmp_path / "test", "b", number=2)
    source = load_source(str(write_classes(tmp_path, "val").parent / tmp_path.name), tmp_path)
    assert source.test is not None
    assert source.class_names == ("a", "b")
    assert source.test.labels.tolist() == [1, 1]
    assert source.notices == (f"{tmp_path}: only train and test are read, not val",)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert load_source(str(write_classes(tmp_path, "train", "car")), tmp_path).class_names == ("car", "train")


def test_a_test_class_that_training_does_not_have_is_refused(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", "a", "b")
    write_classes(tmp_path / "test", "a", "c")
    refuse(tmp_path, "test/c: the class 'c' is missing from")


@pytest.mark.parametrize(
    ("modes", "channels"),
    [(("L", "1"), 1), (("L", "LA"), 1), (("L", "I;16"), 1), (("L", "RGB"), 3), (("L", "P"), 3), (("RGBA", "L"), 3)],
)
def test_images_are_gray_if_every_file_is_stored_without_colour(
    modes: tuple[str, str], channels: int, tmp_path: Path
) -> None:
    for name, mode in zip("ab", modes, strict=True):
        write_classes(tmp_path, name, mode=mode)
    assert load_source(str(tmp_path), tmp_path).train.images.shape[3] == channels


def test_the_colour_of_a_skipped_image_does_not_count(tmp_path: Path) -> None:
    write_classes(tmp_path, "a", "b")
    Image.new("RGB", (99, 99)).save(tmp_path / "a" / "big.png")
    assert load_source(str(tmp_path), tmp_path).train.images.shape == (6, 5, 7, 1)


def test_colours_are_kept(tmp_path: Path) -> None:
    for name, colour in (("a", "red"), ("b", "blue")):
        (tmp_path / name).mkdir()
        Image.new("RGB", (6, 4), colour).save(tmp_path / name / "x.png")
    images = load_source(str(tmp_path), tmp_path).train.images
    assert images[:, 0, 0].tolist() == [[255, 0, 0], [0, 0, 255]]


def test_bad_images_among_good_ones_are_skipped_with_names_and_reasons(tmp_path: Path) -> None:
    write_classes(tmp_path, "a", "b", number=10)
    (tmp_path / "a" / "4.png").write_text("not an image")
    Image.new("L", (9, 9)).save(tmp_path / "b" / "0.png")
    whole = (tmp_path / "b" / "1.png").read_bytes()
    (tmp_path / "b" / "1.png").write_bytes(whole[:50])
    source = load_source(str(tmp_path), tmp_path)
    assert source.train.labels.tolist() == [0] * 9 + [1] * 8
    assert (source.train.images[:, 0, 0, 0] - 100).tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, *range(12, 20)]
    (notice,) = source.notices
    assert notice.startswith(f"{tmp_path}: 3 of 20 images skipped: a/4.png (not a PNG, JPEG,")
    assert "b/0.png (9x9 instead of 7x5), b/1.png (" in notice


def test_a_notice_names_five_skipped_files_and_counts_the_rest(tmp_path: Path) -> None:
    write_classes(tmp_path, "a", "b", number=10)
    for i in range(7):
        (tmp_path / "a" / f"{i}.png").write_bytes(b"")
    (notice,) = load_source(str(tmp_path), tmp_path).notices
    assert "7 of 20 images skipped" in notice
    assert notice.count(".png") == 5
    assert notice.endswith(" and 2 more")


def test_images_that_mostly_differ_in_size_are_refused_with_the_first_other_one(tmp_path: Path) -> None:
    write_classes(tmp_path, "a", number=3)
    write_classes(tmp_path, "b", number=2, size=(8, 8))
    for i in range(3):
        Image.new("L", (20 + i, 20)).save(tmp_path / "b" / f"x{i}.png")
    refuse(tmp_path, "only 3 of 8 images", "b/0.png (8x8 instead of 7x5)", "convert all images to one size")


def test_images_that_mostly_cannot_be_read_are_refused(tmp_path: Path) -> None:
    write_classes(tmp_path, "a", "b", number=3)
    for name, i in (("a", 0), ("a", 1), ("b", 0), ("b", 1)):
        path = tmp_path / name / f"{i}.png"
        path.write_bytes(path.read_bytes()[:44])
    refuse(tmp_path, "only 2 of 6 images", "a/0.png")


def test_an_empty_class_folder_is_refused(tmp_path: Path) -> None:
    write_classes(tmp_path, "a", "b")
    (tmp_path / "c").mkdir()
    refuse(tmp_path, f"{tmp_path / 'c'} contains no image")


def test_a_class_folder_without_a_readable_image_is_refused(tmp_path: Path) -> None:
    write_classes(tmp_path, "a", "b", number=5)
    write_classes(tmp_path, "c", number=1)
    (tmp_path / "c" / "0.png").write_text("text")
    refuse(tmp_path, f"{tmp_path / 'c'} contains no usable image: 0.png: not a PNG")


def test_a_class_folder_whose_only_image_is_truncated_is_refused(tmp_path: Path) -> None:
    write_classes(tmp_path, "a", "b", number=5)
    write_classes(tmp_path, "c", number=1)
    path = tmp_path / "c" / "0.png"
    path.write_bytes(path.read_bytes()[:44])
    refuse(tmp_path, f"{tmp_path / 'c'} contains no usable image: 0.png: ")


def test_a_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    Image.new("L", (5, 5)).save(tmp_path / "a.png")
    refuse(tmp_path, "neither IDX files nor class folders", "into its own subfolder")


def test_hidden_files_are_skipped_and_other_files_are_reported(tmp_path: Path) -> None:
    write_classes(tmp_path, "a", "b", ".hidden", "__MACOSX")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "a" / "._0.png").write_bytes(b"x")
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "a" / "scan.tif").write_text("x")
    (tmp_path / "a" / "deeper").mkdir()
    (tmp_path / "loose.png").write_bytes(b"x")
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "b" / "0.png")
    (tmp_path / "linked").symlink_to(tmp_path / "b")
    os.mkfifo(tmp_path / "b" / "pipe.png")
    source = load_source(str(tmp_path), tmp_path)
    assert source.class_names == ("a", "b")
    assert len(source.train) == 6
    (notice,) = source.notices
    assert notice == (
        f"{tmp_path}: ignored: 1 x .png file, 1 x .tif file, 1 x .txt file, 1 x folder inside a class folder, "
        "1 x image outside the class folders, 2 x symbolic link"
    )


# Single images


def test_transparent_ground_becomes_white_and_not_black(tmp_path: Path) -> None:
    for mode in ("RGBA", "LA"):
        canvas = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
        canvas.putpixel((1, 2), (0, 0, 0, 255))
        canvas.convert(mode).save(tmp_path / f"{mode}.png")
        for channels in (1, 3):
            image = read_image(tmp_path / f"{mode}.png", channels)
            assert image.shape == (4, 4, channels)
            assert image[0, 0].tolist() == [255] * channels
            assert image[2, 1].tolist() == [0] * channels


def test_a_transparent_palette_colour_becomes_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([0, 0, 0, 9, 9, 9])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=0)
    assert read_image(tmp_path / "a.png", 1).ravel().tolist() == [255, 9]


def test_16_bit_gray_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    assert read_header(tmp_path / "a.png").gray
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", 1).ravel(), np.arange(256))
    assert read_image(tmp_path / "a.png", 3).shape == (16, 16, 3)


def test_16_bit_transparency_becomes_white(tmp_path: Path) -> None:
    data = b"\0" + struct.pack(">2H", 257 * 7, 257 * 200)
    (tmp_path / "a.png").write_bytes(png(2, 1, 16, 0, data, (b"tRNS", struct.pack(">H", 257 * 7))))
    assert read_image(tmp_path / "a.png", 1).ravel().tolist() == [255, 200]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_the_exif_orientation_is_followed(suffix: str, tmp_path: Path) -> None:
    image = Image.new("L", (40, 24), 0)
    image.paste(255, (0, 0, 20, 24))  # the left half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate clockwise: left becomes top
    image.save(tmp_path / f"a.{suffix}", exif=exif)
    pixels = read_image(tmp_path / f"a.{suffix}", 1)
    header = read_header(tmp_path / f"a.{suffix}")
    assert pixels.shape == (header.height, header.width, 1) == (40, 24, 1)
    assert pixels[:16].min() > 200
    assert pixels[24:].max() < 50


def test_the_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a.gif", 1).max() == 10


def refuse_image(path: Path, *fragments: str) -> None:
    for read in (read_header, lambda path: read_image(path, 1)):
        with pytest.raises(DataError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert all(fragment in message for fragment in fragments), message


@pytest.mark.parametrize("content", [b"", b"text", b"%!PS-Adobe", b"II*\0\x08\0\0\0", b"\x89PNG\r\n\x1a\n"])
def test_what_is_not_an_image_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    refuse_image(tmp_path / "a.png", "not a PNG, JPEG, BMP, GIF or WEBP image")


@pytest.mark.parametrize("name", ["a.tiff", "a.ppm", "a.ico"])
def test_other_formats_are_refused_whatever_they_are_called(name: str, tmp_path: Path) -> None:
    Image.new("L", (32, 32)).save(tmp_path / name)
    (tmp_path / name).rename(tmp_path / "a.png")
    refuse_image(tmp_path / "a.png", "not a PNG, JPEG, BMP, GIF or WEBP image")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp"])
def test_a_truncated_image_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(some_images(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError, match=re.escape(str(path))):
        read_image(path, 1)


def test_a_missing_image_is_a_data_error(tmp_path: Path) -> None:
    refuse_image(tmp_path / "none.png", "No such file or directory")


def test_a_file_of_more_than_10_mb_is_refused_unopened(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(10_000_001)
    refuse_image(tmp_path / "a.png", "10.0 MB, more than 10 MB")


@pytest.mark.parametrize("side", [13_000, 5_001, 60_000])
def test_an_image_of_more_than_25_million_pixels_is_refused_from_its_header(
    side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(image: ImageFile.ImageFile) -> None:
        raise AssertionError("pixels are read")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    row = bytes(1 + (side + 7) // 8)
    (tmp_path / "a.png").write_bytes(png(side, side, 1, 0, row * min(side, 13_000)))
    refuse_image(
        tmp_path / "a.png", f"{side}x{side}, more than 25 million pixels" if side < 60_000 else "decompression bomb"
    )


def test_a_bomb_in_a_text_chunk_is_never_unpacked(tmp_path: Path) -> None:
    text = b"k\0\0" + zlib.compress(bytes(100_000_000), 1)
    (tmp_path / "a.png").write_bytes(png(1, 1, 8, 0, b"\0\7", (b"zTXt", text)))
    assert read_image(tmp_path / "a.png", 1).tolist() == [[[7]]]


def test_refused_images_leave_no_warning_filter_behind(tmp_path: Path) -> None:
    import warnings

    before = list(warnings.filters)
    (tmp_path / "a.png").write_bytes(png(13_000, 13_000, 1, 0, b""))
    refuse_image(tmp_path / "a.png", "million pixels")
    assert warnings.filters == before


# The common form of all sources


def test_an_image_set_refuses_other_channels_than_1_and_3() -> None:
    with pytest.raises(DataError, match="1 or 3 channels"):
        ImageSet(np.zeros((2, 4, 4, 2), np.uint8), np.zeros(2, np.int32))


def test_labels_are_checked_for_registered_sources_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry("data source", "inkwell.data.test")
    images = ImageSet(np.zeros((3, 4, 4, 1), np.uint8), np.array([0, 1, 5], np.int32))
    registry.register("mine")(lambda folder: Source("mine", images, None, ("a", "b")))
    monkeypatch.setattr("trainer.data.sources.find.data_sources", registry)
    with pytest.raises(DataError, match="mine: label 5 of training image 2 is outside the classes 0-1"):
        load_source("mine", tmp_path)
