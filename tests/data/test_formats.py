"""Are the files that people have read as they mean them: CSV, Parquet, HDF5, MATLAB, and folders of these?"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet
from scipy.io import savemat

from trainer.data.imageset import Source
from trainer.data.sources.find import check_source, load_source
from trainer.errors import DataError, InkwellError, UsageError

NUMBER = 40
IMAGES = np.random.default_rng(0).integers(0, 256, (NUMBER, 28, 28), np.uint8)
LABELS = (np.arange(NUMBER) % 10).astype(np.uint8)
PIXELS = [f"pixel{i}" for i in range(784)]


def load(path: Path) -> Source:
    return load_source(str(path), path.parent / "data")


def refuse(path: Path, *fragments: str, error: type[InkwellError] = DataError) -> None:
    """Assert that loading is refused in one line that contains the fragments."""
    with pytest.raises(error) as caught:
        load(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for fragment in fragments:
        assert fragment in message


def is_as_meant(source: Source) -> bool:
    """Return True if a source has our images and labels in their order."""
    return (
        np.array_equal(source.train.images[..., 0], IMAGES)
        and np.array_equal(source.train.labels, LABELS)
        and source.class_names == tuple("0123456789")
    )


def csv(
    header: list[str] | None = None, columns: np.ndarray | None = None, delimiter: str = ",", end: str = "\n"
) -> str:
    """Return the text of a CSV file, by default as Kaggle has it: the label, then the pixels."""
    table = np.c_[LABELS, IMAGES.reshape(NUMBER, -1)] if columns is None else columns
    lines = [delimiter.join(header)] if header else []
    return end.join([*lines, *(delimiter.join(map(str, row)) for row in table), ""])


# CSV

KAGGLE = ["label", *PIXELS]
LAST = np.c_[IMAGES.reshape(NUMBER, -1), LABELS]
WITH_ID = np.c_[np.arange(NUMBER), LABELS, IMAGES.reshape(NUMBER, -1)]
SPELLINGS: dict[str, bytes] = {
    "Kaggle's": csv(KAGGLE).encode(),
    "without header": csv().encode(),
    "of CRLF": csv(KAGGLE, end="\r\n").encode(),
    "with a semicolon and a mark": b"\xef\xbb\xbf" + csv(KAGGLE, delimiter=";").encode(),
    "with a mark and no header": b"\xef\xbb\xbf" + csv().encode(),
    "of tabs": csv(KAGGLE, delimiter="\t").encode(),
    "without a last newline": csv(KAGGLE).rstrip().encode(),
    "with an empty line": csv(KAGGLE).replace("\n", "\n\n", 1).encode(),
    "in quotes": csv([f'"{name}"' for name in KAGGLE]).encode(),
    "row and column": csv(["label", *(f"{i + 1}x{j + 1}" for i in range(28) for j in range(28))]).encode(),
    "numbered": csv(["label", *map(str, range(784))]).encode(),
    "label last": csv([*PIXELS, "Class"], LAST).encode(),
    "label of another name": csv([*PIXELS, "letter"], LAST).encode(),
    "index of pandas": csv(["", *KAGGLE], WITH_ID).encode(),
    "gzipped": gzip.compress(csv(KAGGLE).encode()),
}


@pytest.mark.parametrize("content", SPELLINGS.values(), ids=SPELLINGS)
def test_a_csv_of_pixels_is_read(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / ("train.csv.gz" if content[:2] == b"\x1f\x8b" else "train.csv")
    path.write_bytes(content)
    source = load(path)
    assert is_as_meant(source)
    assert (source.name, source.test, source.notices) == (str(path), None, ())


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv(["writer", *KAGGLE], WITH_ID))
    source = load(path)
    assert is_as_meant(source)
    assert source.notices == (f"{path}: columns that are not used: writer",)


def test_classes_that_a_subset_lacks_are_left_out_with_a_notice(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv(KAGGLE, np.c_[LABELS, IMAGES.reshape(NUMBER, -1)][LABELS != 5]))
    source = load(path)
    assert source.class_names == tuple("012346789")
    assert source.train.labels[:9].tolist() == list(range(9))
    assert source.notices == (f"{path}: 1 of 10 classes have no image and are left out: 5",)


def changed(row: int, column: int, cell: str) -> str:
    """Return the CSV with another cell; rows and columns from 0, the header included."""
    lines = [line.split(",") for line in csv(KAGGLE).splitlines()]
    lines[row][column] = cell
    return "\n".join(map(",".join, lines))


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        (changed(7, 3, "dot"), ("line 8: pixel2 is 'dot'; a whole number from 0 to 255 is needed",)),
        (changed(7, 3, "256"), ("line 8: pixel2 is '256'", "from 0 to 255")),
        (changed(7, 3, "0.5"), ("line 8: pixel2 is '0.5'",)),
        (changed(7, 3, ""), ("line 8: a cell is empty",)),
        (changed(7, 3, "\x1b[31m"), (r"line 8: pixel2 is '\\x1b[31m'",)),
        (changed(9, 0, "cat"), ("line 10: label is 'cat'; a class number is needed",)),
        (changed(9, 783, "1,2"), ("line 10 has 786 cells instead of 785; correct or remove it",)),
        (csv(PIXELS, IMAGES.reshape(NUMBER, -1)), ("784 columns of pixels and none of labels", "need a column label")),
        (csv(None, IMAGES.reshape(NUMBER, -1)), ("784 columns of pixels and none of labels",)),
        (csv(KAGGLE[:781], LAST[:, :781]), ("780 values are no square image", "np.loadtxt('a.csv'", "t[:, 1:781]")),
        (csv(KAGGLE).partition("\n")[0] + "\n", ("a header and no rows",)),
        ("", ("its first line is empty",)),
        ("name,age\nAnn,7\n", ("no column of pixels, such as pixel0 (found: name, age)",)),
        (csv(["writer", "place", *PIXELS], WITH_ID), ("writer, place could all be the label; name one of them label",)),
        (csv(KAGGLE).partition("\n")[0] + "\n" * 5_000, ("a.csv has no rows",)),
        ("1," * 80_000 + "1", ("it has 80,001 columns, more than 70,000",)),
        ("label," + "x" * 5_000_000, ("its first line has more than 1.0 MB",)),
        ("label,pixel0\n" + "1" * 9_000_000, ("line 2 has more than 1.0 MB", "one image per line")),
    ],
)  # fmt: skip
def test_a_wrong_csv_is_refused_with_line_and_column(text: str, fragments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    refuse(tmp_path / "a.csv", str(tmp_path / "a.csv"), *fragments)


@pytest.mark.parametrize("cut", [5, 5000, -1])
def test_a_truncated_csv_gz_is_refused(cut: int, tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(csv(KAGGLE).encode())[:cut])
    refuse(tmp_path / "a.csv.gz", "cannot read", "a.csv.gz as CSV")


def test_a_csv_that_does_not_fit_in_memory_is_read_from_the_cache(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "a.csv").write_text(csv(KAGGLE))
    monkeypatch.setattr("trainer.data.sources.memory.available", lambda: 60_000)
    source = load(tmp_path / "a.csv")
    assert isinstance(np.asarray(source.train.images[:1]), np.ndarray)
    assert np.array_equal(source.train.images[:][..., 0], IMAGES)
    assert "do not fit in memory and are read from" in source.notices[0]


def test_empty_lines_of_a_forged_csv_take_no_memory(tmp_path: Path, monkeypatch: Any) -> None:
    lines = csv(KAGGLE)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((lines + "\n" * 5_000_000).encode()))
    monkeypatch.setattr("trainer.data.sources.memory.available", lambda: 40_000_000)
    source = load(tmp_path / "a.csv.gz")
    assert is_as_meant(source)
    assert source.notices == ()


# Parquet


def png(image: np.ndarray, mode: str = "L") -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).convert(mode).save(content, "PNG")
    return content.getvalue()


def write_parquet(path: Path, images: Any, names: list[str] | None = None, **columns: Any) -> Path:
    table = pyarrow.table({"image": images, "label": LABELS, **columns})
    if names:
        features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    parquet.write_table(table, path)
    return path


def files(mode: str = "L") -> pyarrow.Array:
    return pyarrow.array([{"bytes": png(image, mode), "path": f"{i}.png"} for i, image in enumerate(IMAGES)])


def lists(values: np.ndarray, depth: int) -> pyarrow.Array:
    kind = pyarrow.uint8()
    for _ in range(depth):
        kind = pyarrow.list_(kind)
    return pyarrow.array(values.tolist(), kind)


HUGGING_FACE: dict[str, Callable[[], pyarrow.Array]] = {
    "image files": files,
    "bytes": lambda: pyarrow.array([png(image) for image in IMAGES]),
    "nested lists": lambda: lists(IMAGES, 2),
    "with channels": lambda: lists(IMAGES[..., None], 3),
    "flat lists": lambda: lists(IMAGES.reshape(NUMBER, -1), 1),
}


@pytest.mark.parametrize("images", HUGGING_FACE.values(), ids=HUGGING_FACE)
def test_a_parquet_file_of_images_is_read(images: Callable[[], pyarrow.Array], tmp_path: Path) -> None:
    source = load(write_parquet(tmp_path / "train.parquet", images()))
    assert is_as_meant(source)
    assert source.notices == ()


def test_a_parquet_file_of_pixel_columns_is_read(tmp_path: Path) -> None:
    columns = {"label": LABELS, **{name: IMAGES.reshape(NUMBER, -1)[:, i] for i, name in enumerate(PIXELS)}}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert is_as_meant(load(tmp_path / "a.parquet"))


def test_the_names_of_classes_are_those_of_hugging_face(tmp_path: Path) -> None:
    names = [f"digit {k}" for k in range(10)]
    source = load(write_parquet(tmp_path / "a.parquet", files("RGB"), names))
    assert source.class_names == tuple(names)
    assert source.train.images.shape == (NUMBER, 28, 28, 3)


def some_file(other: Any) -> pyarrow.Array:
    return pyarrow.array(
        [*({"bytes": png(image), "path": "x"} for image in IMAGES[:-1]), {"bytes": other, "path": "x"}]
    )


@pytest.mark.parametrize(
    ("images", "fragments"),
    [
        (lambda: some_file(None), ("row 39 of image has no image", "outside the file")),
        (lambda: some_file(b"text"), ("row 39 of image: not a PNG",)),
        (lambda: some_file(png(IMAGES[0, :9])), ("row 39 of image is of another size",)),
        (lambda: some_file(png(IMAGES[0], "RGB")), ("row 39 of image is in colour",)),
        (lambda: pyarrow.array([[0] * (64 + i % 2) for i in range(NUMBER)]), ("image has images of different sizes",)),
        (lambda: pyarrow.array([[0.5] * 64] * NUMBER), ("image is float64", "whole numbers from 0 to 255")),
        (lambda: pyarrow.array(["x"] * NUMBER), ("no column of pixels",)),
    ],
)
def test_wrong_images_of_a_parquet_file_are_refused(
    images: Callable[[], pyarrow.Array], fragments: tuple[str, ...], tmp_path: Path
) -> None:
    refuse(write_parquet(tmp_path / "a.parquet", images()), str(tmp_path), *fragments)


def test_a_parquet_file_without_labels_rows_or_sense_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"image": files()}), path)
    refuse(path, "has no column of labels (found: image); name it label")
    parquet.write_table(pyarrow.table({"image": files()[:0], "label": LABELS[:0]}), path)
    refuse(path, "has no rows")
    path.write_bytes(path.read_bytes()[:-5])
    refuse(path, f"cannot read {path} as Parquet")


def test_a_parquet_file_that_repeats_one_row_again_and_again_is_refused(tmp_path: Path) -> None:
    zeros = pyarrow.array(np.zeros(200_000 * 64, np.uint8))
    columns = {"image": pyarrow.FixedSizeListArray.from_arrays(zeros, 64), "label": zeros[:200_000]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet", compression="zstd")
    refuse(tmp_path / "a.parquet", "declares 12.8 MB of images but has only")


# HDF5 and MATLAB


@pytest.mark.parametrize(
    "names",
    [
        {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:9], "y_test": LABELS[:9]},
        {"train/data": IMAGES, "train/target": LABELS, "test/data": IMAGES[:9], "test/target": LABELS[:9]},
        {"train_set_x": IMAGES, "train_set_y": LABELS, "test_set_x": IMAGES[:9], "test_set_y": LABELS[:9]},
    ],
)
def test_an_hdf5_file_is_read(names: dict[str, np.ndarray], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in names.items():
            file.create_dataset(name, data=array, compression="gzip")
    source = load(tmp_path / "a.h5")
    assert is_as_meant(source)
    assert source.test is not None
    assert len(source.test) == 9


def test_hdf5_links_and_other_files_are_not_followed(tmp_path: Path) -> None:
    np.full(NUMBER * 784, 7, np.uint8).tofile(tmp_path / "secret.bin")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = IMAGES
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["y"], file["x"] = LABELS, h5py.ExternalLink("other.h5", "x")
    refuse(tmp_path / "a.h5", "x_train is missing (found: y)")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["y"] = LABELS
        file.create_dataset("x", (NUMBER, 28, 28), "u1", external=[("secret.bin", 0, NUMBER * 784)])
    refuse(tmp_path / "b.h5", "x stores its data in another file")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["y"], layout = LABELS, h5py.VirtualLayout((NUMBER, 28, 28), "u1")
        layout[:] = h5py.VirtualSource("other.h5", "x", (NUMBER, 28, 28))
        file.create_virtual_dataset("x", layout)
    refuse(tmp_path / "c.h5", "x stores its data in another file")
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_group("a")["back"] = file["/"]
    refuse(tmp_path / "d.h5", "nested deeper than 8 levels")


def test_an_hdf5_file_that_declares_more_than_it_stores_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["y"] = np.zeros(2_000_000, np.uint8)
        file.create_dataset("x", (2_000_000, 8, 8), "u1", chunks=(1000, 8, 8))
    refuse(tmp_path / "a.h5", "declares 128.0 MB but stores 0 bytes")


def test_hdf5_files_that_are_damaged_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = IMAGES, LABELS
    content = path.read_bytes()
    for damaged in (b"", b"text", content[:3000]):
        path.write_bytes(damaged)
        refuse(path, f"cannot read {path} as HDF5")


def test_the_house_numbers_of_svhn_are_read(tmp_path: Path) -> None:
    colours = np.repeat(IMAGES[:, :8, :8, None], 3, axis=3)
    house = {"X": np.moveaxis(colours, 0, -1), "y": np.where(LABELS == 0, 10, LABELS)[:, None]}
    savemat(tmp_path / "train_32x32.mat", house, do_compression=True)
    source = load(tmp_path / "train_32x32.mat")
    np.testing.assert_array_equal(source.train.images, colours)
    np.testing.assert_array_equal(source.train.labels, LABELS)
    assert source.class_names == tuple("0123456789")
    assert [notice.partition(": ")[2] for notice in source.notices] == [
        "X: its last axis, 40, is that of the images",
        "label 10 is read as the digit 0, as in SVHN",
    ]


@pytest.mark.parametrize("version", ["4", "5", "7.3"])
def test_every_version_of_a_mat_file_is_read(version: str, tmp_path: Path) -> None:
    path, columns = tmp_path / "a.mat", {"data": IMAGES.reshape(NUMBER, -1).T, "label": LABELS[None]}
    if version == "7.3":
        with h5py.File(path, "w", userblock_size=512) as file:
            for name, array in columns.items():
                file[name] = array.T
            file.create_group("#refs#")["x"] = IMAGES
        with path.open("r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    else:
        savemat(path, columns, format=version, do_compression=version == "5")
    source = load(path)
    assert is_as_meant(source)
    assert len(source.notices) >= 2


def test_a_mat_file_without_numbers_or_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"X": np.array([1, "x"], object), "y": {"a": 1}})
    refuse(path, "x_train and y_train are missing (found: nothing)")
    savemat(path, {"X": IMAGES, "y": LABELS}, do_compression=True)
    content = path.read_bytes()
    for damaged in (b"", content[:100], content[:3000], content[:3000] + bytes(50) + content[3050:]):
        path.write_bytes(damaged)
        refuse(path, str(path))


def test_a_mat_file_that_grows_when_decompressed_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    savemat(tmp_path / "a.mat", {"X": np.zeros((5000, 28, 28), np.uint8), "y": LABELS}, do_compression=True)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=6_000_000))
    refuse(tmp_path / "a.mat", "do not fit in half of")


def test_a_mat_file_that_holds_more_than_it_declares_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    path, size = tmp_path / "a.mat", 8_000_000
    savemat(path, {"X": np.zeros((1, size), np.uint8)})
    content = path.read_bytes()
    element = zlib.compress(content[128:].replace(struct.pack("<i", size), struct.pack("<i", 64), 1))
    path.write_bytes(content[:128] + struct.pack("<II", 15, len(element)) + element)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=6_000_000))
    refuse(path, "do not fit in half of")


# Folders of files


def test_a_folder_of_a_competition_is_read_without_its_unlabelled_test_images(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(csv(KAGGLE))
    (tmp_path / "test.csv").write_text(csv(PIXELS, IMAGES.reshape(NUMBER, -1)))
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    source = load(tmp_path)
    assert is_as_meant(source)
    assert (source.name, source.test) == (str(tmp_path), None)
    assert source.notices == (
        f"{tmp_path}: test.csv has no labels and is left out",
        f"{tmp_path}: files that are not used: sample_submission.csv",
    )


def test_a_labelled_test_file_is_the_test_split_with_the_same_classes(tmp_path: Path) -> None:
    table = np.c_[LABELS, IMAGES.reshape(NUMBER, -1)]
    (tmp_path / "mnist_train.csv").write_text(csv(KAGGLE))
    (tmp_path / "mnist_test.csv").write_text(csv(KAGGLE, table[LABELS % 2 == 0]))
    source = load(tmp_path)
    assert is_as_meant(source)
    assert source.test is not None
    assert set(source.test.labels.tolist()) == {0, 2, 4, 6, 8}


def test_the_parts_of_a_parquet_set_are_joined(tmp_path: Path) -> None:
    whole = pyarrow.table({"image": files(), "label": LABELS})
    for i in range(2):
        parquet.write_table(whole[20 * i : 20 * i + 20], tmp_path / f"train-0000{i}-of-00002.parquet")
    parquet.write_table(whole[:10], tmp_path / "test-00000-of-00001.parquet")
    source = load(tmp_path)
    assert is_as_meant(source)
    assert source.test is not None
    assert len(source.test) == 10


def test_two_files_that_could_be_the_training_data_are_refused(tmp_path: Path) -> None:
    for name in ("train.csv", "train_small.csv"):
        (tmp_path / name).write_text(csv(KAGGLE))
    refuse(tmp_path, "train.csv and", "could both be the data of one split")


def test_class_folders_go_before_files_and_test_images_without_them_are_left_out(tmp_path: Path) -> None:
    for k in range(2):
        (tmp_path / "train" / str(k)).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(IMAGES[i]).save(tmp_path / "train" / str(k) / f"{i}.png")
    (tmp_path / "test").mkdir()
    Image.fromarray(IMAGES[0]).save(tmp_path / "test" / "0.png")
    (tmp_path / "train.csv").write_text("id,label\n")
    source = load(tmp_path)
    assert (source.test, len(source.train)) == (None, 6)
    assert source.notices[0] == (
        f"{tmp_path / 'test'}: its images are in no class folders, so that they have no labels and are left out"
    )


# Other files


@pytest.mark.parametrize(
    ("name", "fragments"),
    [
        ("digits.pkl", ("pickle.load(open('digits.pkl', 'rb'))", "np.savez('digits.npz', x_train=")),
        ("digits.npy", ("d = np.load('digits.npy')", "np.savez('digits.npz', x_train=")),
        ("digits", ("d = LOAD('digits')", "np.savez('digits.npz', x_train=")),
        ("digits.zip", ("unpack it first",)),
        ("digits.png", ("one subfolder per class",)),
    ],
)
def test_a_file_of_another_kind_is_refused_with_the_lines_that_convert_it(
    name: str, fragments: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError) as caught:
        check_source(str(tmp_path / name), tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    for fragment in (f"--data {tmp_path / name}: ", *fragments):
        assert fragment in str(caught.value)
    for code in re.findall(r"as \.npz: (.*)", str(caught.value)):
        compile(code, "shown", "exec")


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet", ".h5", ".mat"])
def test_what_is_not_a_regular_file_is_refused(suffix: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"a{suffix}")
    with pytest.raises(UsageError, match="neither a folder nor a regular file"):
        check_source(str(tmp_path / f"a{suffix}"), tmp_path)
