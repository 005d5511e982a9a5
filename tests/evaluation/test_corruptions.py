"""Do corrupted images match the published ones, and are they the same every time?"""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from conftest import make_images

from trainer.data.augmentation.strength import LIGHT, STRONG, Strength
from trainer.data.imageset import ImageSet
from trainer.evaluation.robustness.clouds import clouds
from trainer.evaluation.robustness.corruptions import CORRUPTIONS
from trainer.evaluation.robustness.measure import corrupted, corruptible, summary, varied
from trainer.evaluation.robustness.seeding import generators
from trainer.evaluation.robustness.variations import VARIATIONS

NAMED = {corruption.name: corruption for corruption in CORRUPTIONS}
every_corruption = pytest.mark.parametrize("name", NAMED)
every_variation = pytest.mark.parametrize("variation", VARIATIONS, ids=lambda variation: variation.name)


def digits(count: int = 12) -> np.ndarray:
    """Return images of bars with a hook, centred, uint8 `[N, 28, 28, 1]`; all are different."""
    images = np.zeros((count, 28, 28, 1), np.uint8)
    for k, image in enumerate(images):
        image[6:22, 11 + k % 5 : 14 + k % 5] = 200 + k
        image[6 + k % 9 : 9 + k % 9, 8:20] = 255
    return images


def ink(images: np.ndarray) -> tuple[float, float, float]:
    """Return the sum of the ink, and its mean row and column relative to the centre."""
    shares = images.astype(float).sum(axis=(0, 3))
    rows, columns = np.mgrid[: len(shares), :28] - 13.5
    return shares.sum(), (shares * rows).sum() / shares.sum(), (shares * columns).sum() / shares.sum()


def test_there_are_the_fifteen_of_the_paper():
    assert sorted(NAMED) == [
        *("brightness", "canny_edges", "dotted_line", "fog", "glass_blur", "impulse_noise", "motion_blur", "rotate"),
        *("scale", "shear", "shot_noise", "spatter", "stripe", "translate", "zigzag"),
    ]


@every_corruption
def test_an_image_is_corrupted_the_same_way_in_any_batch_at_any_time(name):
    images, corruption = digits(), NAMED[name]
    worse = corruption(images)
    assert (worse.dtype, worse.shape) == (np.uint8, images.shape)
    assert (corruption(images[::-1]) == worse[::-1]).all()
    assert (corruption(images[3:4]) == worse[3:4]).all()
    assert (worse != images).any(axis=(1, 2, 3)).all()
    assert (images == digits()).all()


@pytest.mark.parametrize("name", ["shot_noise", "impulse_noise", "fog", "spatter", "zigzag", "dotted_line"])
def test_another_image_gets_other_random_numbers(name):
    ground = np.full((2, 28, 28, 1), 90, np.uint8)
    ground[1, 0, 0] = 91
    one, other = NAMED[name](ground).astype(int)
    assert (one != other)[2:].mean() > 0.02


def test_noise_is_as_strong_as_published():
    gray = np.full((40, 28, 28, 1), 153, np.uint8)  # 0.6 of white
    gray[:, 0, 0, 0] = np.arange(40)
    flipped = NAMED["impulse_noise"](gray)[:, 1:]
    assert (flipped == 0).mean() == pytest.approx(0.085, abs=0.006)
    assert (flipped == 255).mean() == pytest.approx(0.085, abs=0.006)
    counted = NAMED["shot_noise"](gray)[:, 1:]
    assert set(np.unique(counted)) <= {0, 85, 170, 255}
    assert (counted == 0).mean() == pytest.approx(np.exp(-1.8), abs=0.01)


def test_brightness_and_stripes_are_exact():
    images = digits()
    assert (NAMED["brightness"](images)[:, 0, 0] == 128).all()
    striped = NAMED["stripe"](images)
    assert (striped[:, :, 7:21] == images[:, :, 7:21]).all()
    assert (striped[:, :, [0, 6, 21, 27]] == 255 - images[:, :, [0, 6, 21, 27]]).all()


def test_ink_moves_as_far_as_published():
    image = digits(1)
    total, row, column = ink(image)
    _, *moved = ink(NAMED["translate"](image))
    assert sorted(abs(now - before) for now, before in zip(moved, (row, column), strict=True)) == pytest.approx([3, 3])
    smaller, row_now, column_now = ink(NAMED["scale"](image))
    assert smaller / total == pytest.approx(0.49, abs=0.03)
    assert (row_now, column_now) == pytest.approx((0.7 * row, 0.7 * column), abs=0.2)
    turned, *_ = ink(NAMED["rotate"](image))
    assert turned / total == pytest.approx(1, abs=0.02)
    sheared = NAMED["shear"](image)
    assert ink(sheared)[0] / total == pytest.approx(1 / np.cos(0.4), abs=0.03)
    leaning = [ink(part)[2] for part in (sheared[:, :14], sheared[:, 14:])]
    upright = [ink(part)[2] for part in (image[:, :14], image[:, 14:])]
    assert abs(np.diff(leaning) - np.diff(upright)) > 2


def test_a_point_is_smeared_to_one_side_by_half_a_normal_curve():
    point = np.zeros((1, 28, 28, 1), np.uint8)
    point[0, 14, 14] = 255
    smeared = NAMED["motion_blur"](point)[0, ..., 0]
    weights = np.exp(-(np.arange(21) ** 2) / 18)
    assert smeared[14, 14] == pytest.approx(255 * weights[0] / weights.sum(), abs=1)
    assert smeared[:, 15:].sum() == 0


def test_dots_are_two_columns_wide_and_zigzags_go_from_side_to_side():
    dark = np.zeros((1, 28, 28, 1), np.uint8)
    dotted = NAMED["dotted_line"](dark)[0, ..., 0].any(axis=0)
    assert not dotted[np.arange(28) // 2 % 2 == 0].any()
    assert dotted.sum() >= 9
    assert NAMED["zigzag"](dark)[0, ..., 0].any(axis=0).sum() >= 20


def test_clouds_fill_their_range_and_are_smooth_from_afar():
    maps = clouds(generators("fog", digits(3)))
    assert (maps.min(axis=(1, 2)) == 0).all()
    assert (maps.max(axis=(1, 2)) == 1).all()
    near, far = (np.abs(maps - np.roll(maps, steps, axis=2)).mean() for steps in (1, 64))
    assert near < far / 3


def test_edges_are_all_that_is_left():
    edges = NAMED["canny_edges"](digits())
    assert set(np.unique(edges)) == {0, 255}
    assert 0.02 < (edges > 0).mean() < 0.2


@every_variation
def test_a_variation_begins_with_what_is_there_and_changes_more_and_more(variation):
    images = digits()
    changed = [np.abs(variation(images, amount).astype(int) - images).mean() for amount in variation.amounts]
    place = variation.amounts.index(variation.neutral)
    assert changed[place] == 0
    assert changed[place:] == sorted(changed[place:])
    assert changed[: place + 1] == sorted(changed[: place + 1], reverse=True)


def test_strokes_grow_by_whole_pixels_and_turns_are_clockwise():
    shift, rotate, size, stroke = VARIATIONS
    bar = np.zeros((1, 28, 28, 1), np.uint8)
    bar[0, 5:15, 13:15] = 255
    widths = [(stroke(bar, amount)[0, 10, :, 0] == 255).sum() for amount in (0, 1, 2)]
    assert widths == [2, 4, 6]
    assert ink(rotate(bar, 90))[2] == pytest.approx(-ink(bar)[1], abs=0.1)
    assert ink(size(bar, 0.5))[1] == pytest.approx(0.5 * ink(bar)[1], abs=0.2)
    moved = np.array(ink(shift(bar, 4))[1:]) - ink(bar)[1:]
    assert sorted(np.abs(moved)) == pytest.approx([0, 4])


@pytest.mark.parametrize(
    ("strength", "seen"),
    [
        (None, set()),
        (LIGHT, {"shear", "scale", "rotate", "translate"}),
        (STRONG, {"shear", "scale", "rotate", "translate", "brightness", "spatter", "stripe"}),
        (Strength(contrast=0.1), {"brightness"}),
        (Strength(degraded=0.3), {*NAMED} - {"shear", "scale", "rotate", "translate", "spatter"}),
        (Strength(thickness=0.5), set()),
    ],
)
def test_corruptions_covered_by_augmentation_are_distinguished(strength, seen):
    assert {corruption.name for corruption in CORRUPTIONS if corruption.trained_for(strength)} == seen


def test_measured_numbers_are_those_of_the_changed_images(monkeypatch):
    monkeypatch.setattr("trainer.evaluation.robustness.measure.AT_ONCE", 5)
    images = ImageSet(digits(12), (np.arange(12) % 3).astype(np.int32))
    asked = []

    def predict(part: np.ndarray) -> np.ndarray:
        asked.append(len(part))
        return np.tile([2.0, 1.0, 0.0], (len(part), 1))

    rows = list(corrupted(predict, images, None, LIGHT))
    assert max(asked) == 5
    assert [row["accuracy"] for row in rows] == [4 / 12] * 15
    assert summary(rows)["trained_for"] == {"mean": 4 / 12, "names": ["shear", "scale", "rotate", "translate"]}
    assert len(summary(rows)["never_seen"]["names"]) == 11
    assert summary(rows[:1])["trained_for"] == {"mean": None, "names": []}
    assert {row["variation"] for row in varied(predict, images, 2.0)} == {"shift", "rotate", "size", "stroke"}


def test_colour_images_have_variations_alone():
    images = make_images(6, side=12, channels=3)
    assert not corruptible(images)
    assert list(corrupted(lambda part: np.zeros((len(part), 4)), images, None, None)) == []
    for row in varied(lambda part: np.zeros((len(part), 4)), images, None):
        assert row["images"] == 6


@pytest.mark.mnist
def test_the_known_wrong_labels_are_found_in_any_order_and_only_in_mnists_test_set(mnist_folder):
    from trainer.evaluation.label_errors import DOUBTED, doubted

    with gzip.open(mnist_folder / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(mnist_folder / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int32)
    found = doubted(images, labels)
    assert np.flatnonzero(found).tolist() == [place for _, place, _, _ in DOUBTED]
    assert labels[found].tolist() == [given for _, _, given, _ in DOUBTED]
    order = np.random.default_rng(0).permutation(10_000)
    assert (doubted(images[order], labels[order]) == found[order]).all()
    assert doubted(images, np.roll(labels, 1)) is None
    assert doubted(images[:5000], labels[:5000]) is None
