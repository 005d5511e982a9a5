"""Are images whose values use a small part of the range made bright, and all others left as they are?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.data.imageset import ImageSet, Source
from trainer.data.mapped import Mapped
from trainer.data.sources.find import load_source
from trainer.data.sources.image import read_image
from trainer.data.values import brightest, with_full_range
from trainer.errors import DataError

LABELS = np.arange(40, dtype=np.int32) % 2


def some(largest: int, dtype: type = np.uint8) -> np.ndarray:
    """Return 40 images of 6 x 5 with values from 0 to `largest`; only the last one has the largest."""
    images = np.random.default_rng(largest).integers(0, max(1, largest), (40, 6, 5)).astype(dtype)
    images[-1, -1, -1] = largest
    return images


def loaded(folder: Path, train: np.ndarray, test: np.ndarray | None = None) -> Source:
    arrays = {"x_train": train, "y_train": LABELS}
    if test is not None:
        arrays |= {"x_test": test, "y_test": LABELS}
    np.savez(folder / "a.npz", **arrays)
    return load_source(str(folder / "a.npz"), folder)


@pytest.mark.parametrize("white", [1, 3, 15, 16, 63])
def test_a_set_of_few_values_is_scaled_with_a_notice_that_names_the_maximum(tmp_path, white):
    images = some(white)
    source = loaded(tmp_path, images, images[::-1])
    assert source.notices == (
        f"{tmp_path / 'a.npz'}: values go up to {white}: read as 0 to {white}, scaled to 0 to 255",
    )
    np.testing.assert_array_equal(source.train.images[..., 0], np.rint(images * (255 / white)))
    np.testing.assert_array_equal(source.test.images, source.train.images[::-1])


def test_training_and_test_images_are_scaled_by_one_maximum(tmp_path):
    source = loaded(tmp_path, some(1), some(16))
    assert (source.train.images.max(), source.test.images.max()) == (16, 255)


@pytest.mark.parametrize("largest", [32, 100, 127, 128, 254, 255])
def test_other_sets_are_left_as_they_are_without_a_word(tmp_path, largest):
    source = loaded(tmp_path, some(largest), some(1))  # a dark test split is no reason
    assert source.notices == ()
    np.testing.assert_array_equal(source.train.images[..., 0], some(largest))


@pytest.mark.parametrize("largest", [0, 12])
def test_almost_black_sets_are_reported(tmp_path, largest):
    (notice,) = loaded(tmp_path, some(largest)).notices
    assert f"their largest value is {largest} of 255; scale them to 0 to 255" in notice


def test_one_bright_image_among_many_is_seen(tmp_path):
    images = np.ones((10_000, 2, 2, 1), np.uint8)
    images[7_800] = 200  # not in the sample
    assert brightest(images) == brightest(Mapped(images)) == 200


def test_images_on_disk_are_refused_and_large_ones_in_memory_scaled(tmp_path):
    np.save(tmp_path / "a.npy", some(1)[..., None])
    on_disk = ImageSet(Mapped(np.load(tmp_path / "a.npy", mmap_mode="r")), LABELS)
    with pytest.raises(
        DataError, match=r"^cannot use digits: its values go up to 1 instead of 255, .*; write its images"
    ):
        with_full_range(Source("digits", on_disk, None, ("a", "b")))
    in_memory = ImageSet(Mapped(some(1)[..., None]), LABELS)
    assert with_full_range(Source("digits", in_memory, None, ("a", "b"))).train.images.max() == 255


def write_deep(folder: Path, images: np.ndarray) -> Path:
    for i, image in enumerate(images):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "ab"[i % 2] / f"{i:02}.png")
    return folder


@pytest.mark.parametrize(("largest", "white"), [(1_020, 1_023), (1_023, 1_023), (4_000, 4_095), (255, 255)])
def test_16_bit_files_of_fewer_bits_are_read_as_such(tmp_path, monkeypatch, largest, white):
    monkeypatch.setattr("trainer.data.sources.depth.SAMPLE", 3)  # the brightest is not in the sample
    images = some(largest, np.uint16)
    source = load_source(str(write_deep(tmp_path / "set", images)), tmp_path)
    assert source.notices == (
        f"{tmp_path / 'set'}: 16-bit images have values up to {largest:,}: read as 0 to {white:,}, scaled to 0 to 255",
    )
    expected = np.concatenate([images[::2], images[1::2]]) * (255 / white)
    assert abs(source.train.images[..., 0] - expected).max() <= 0.5


def test_16_bit_files_of_16_bits_are_read_without_a_word(tmp_path):
    images = some(60_000, np.uint16)
    source = load_source(str(write_deep(tmp_path / "set", images)), tmp_path)
    assert source.notices == ()
    assert abs(source.train.images[0, ..., 0] - images[0] / 257).max() <= 0.5


def test_a_picture_to_predict_is_read_like_the_set_that_it_comes_from(tmp_path):
    images = some(1_020, np.uint16)
    source = load_source(str(write_deep(tmp_path / "set", images)), tmp_path)
    np.testing.assert_array_equal(read_image(tmp_path / "set" / "b" / "39.png", 1), source.train.images[-1])


def test_a_16_bit_file_that_cannot_be_decoded_is_skipped_as_ever(tmp_path):
    folder = write_deep(tmp_path / "set", some(1_020, np.uint16))
    path = folder / "a" / "00.png"
    path.write_bytes(path.read_bytes()[:60])
    skipped, depth = load_source(str(folder), tmp_path).notices
    assert "1 of 40 images skipped: a/00.png" in skipped
    assert "values up to 1,020" in depth
