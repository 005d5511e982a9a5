"""Do the generated photos show what they promise?"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from scripts.synthetic.photos import GROUNDS, JUNK, junk, lines, photos


def opened(data: bytes) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data)))


def test_the_same_seed_makes_the_same_photos_and_another_one_others():
    first, again, other = photos(2, seed=4), photos(2, seed=4), photos(2, seed=6)
    assert [photo.data for photo in first] == [photo.data for photo in again]
    assert not {photo.data for photo in first} & {photo.data for photo in other}


@pytest.mark.slow
def test_photos_show_each_digit_as_often_and_junk_each_kind():
    assert [photo.truth for photo in photos(20)] == [str(k % 10) for k in range(20)]
    assert [photo.truth.split()[0] for photo in junk(8)] == [*JUNK, *JUNK]


@pytest.mark.slow
def test_lines_have_3_to_10_digits():
    made = lines(6)
    assert all(photo.truth.isdecimal() and 3 <= len(photo.truth) <= 10 for photo in made)
    assert len({len(photo.truth) for photo in made}) > 2


@pytest.mark.slow
def test_photos_differ_in_all_that_is_promised():
    made = photos(150, seed=1)
    sizes = [max(opened(photo.data).size) for photo in made]
    assert min(sizes) < 80
    assert max(sizes) > 2500
    assert {photo.made.split()[0] for photo in made} == set(GROUNDS)
    assert {Image.open(io.BytesIO(photo.data)).format for photo in made} == {"JPEG", "PNG", "WEBP", "BMP"}
    assert {Image.open(io.BytesIO(photo.data)).getexif().get(0x0112, 1) for photo in made} == {1, 3, 6, 8}
    bright = [np.asarray(opened(photo.data).convert("L")).mean() for photo in made if photo.made != "canvas"]
    assert min(bright) < 60 < 200 < max(bright)
    assert any(opened(photo.data).mode == "RGBA" for photo in made)
