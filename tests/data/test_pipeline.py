"""Are splits and batches as documented?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from conftest import make_images

from trainer.data.augmentation.strength import Strength
from trainer.data.imageset import ImageSet, Source
from trainer.data.split import canonical, split, stratified
from trainer.errors import DataError, UsageError


def source(count: int = 100, test: ImageSet | None = None, **changes) -> Source:
    plain = Source("made", make_images(count), test, ("a", "b", "c", "d"))
    return dataclasses.replace(plain, **changes)


def rows(images: ImageSet) -> set[bytes]:
    return {image.tobytes() for image in images.images}


def test_splits_are_disjoint_complete_and_stratified():
    data = split(source(200), seed=0)
    parts = [data.train, data.validation, data.test]
    assert [len(part) for part in parts] == [162, 18, 20]
    assert len(set.union(*map(rows, parts))) == 200
    for part in parts:
        counts = np.bincount(part.labels)
        assert counts.max() - counts.min() <= 1


def test_the_seed_moves_validation_images_and_never_test_images():
    first, again, other = (split(source(), seed) for seed in (0, 0, 1))
    assert rows(first.validation) == rows(again.validation) != rows(other.validation)
    assert rows(first.test) == rows(other.test)


def test_order_and_copies_of_the_same_images_give_the_same_split_and_digest():
    plain = source()
    shuffled = dataclasses.replace(plain, train=plain.train.subset(np.random.default_rng(0).permutation(100)))
    ours, theirs = split(plain, 0), split(shuffled, 0)
    assert ours.digest == theirs.digest
    np.testing.assert_array_equal(ours.train.images, theirs.train.images)
    np.testing.assert_array_equal(ours.validation.labels, theirs.validation.labels)


def test_one_changed_pixel_or_label_changes_the_digest():
    plain = source()
    pixel, label = plain.train.images.copy(), plain.train.labels.copy()
    pixel[50, 3, 3] ^= 1
    label[50] = (label[50] + 1) % 4
    changed = [ImageSet(pixel, plain.train.labels), ImageSet(plain.train.images, label)]
    digests = {split(dataclasses.replace(plain, train=train), 0).digest for train in (plain.train, *changed)}
    assert len(digests) == 3


def test_a_source_with_its_own_test_images_keeps_them():
    test = make_images(30, seed=9)
    assert rows(split(source(test=test), 0).test) == rows(test)


def test_too_few_images_to_split_are_reported():
    with pytest.raises(DataError, match="cannot set aside 5000 of 90 images"):
        split(source(validation=5000), 0)
    with pytest.raises(DataError, match="cannot set aside 1 of the 1 images of class 0"):
        stratified(make_images(4), 3, np.random.default_rng(0))


def test_canonical_order_is_a_permutation():
    images = make_images(60)
    ordered, _ = canonical(images)
    assert sorted(image.tobytes() for image in ordered.images) == sorted(image.tobytes() for image in images.images)


@pytest.mark.parametrize(
    "augmentation", ["none", "light", "strong", Strength(thickness=1.0, degraded=1.0), Strength(degraded=0.3)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_augmented_images_keep_shape_dtype_and_range(keras, augmentation, channels):
    from trainer.data.pipeline import TrainingRows

    data = make_images(20, side=16, channels=channels)
    pipeline = TrainingRows(data, batch_size=16, augmentation=augmentation)
    images, labels = next(iter(pipeline.batches()))
    assert images.shape == (16, 16, 16, channels)
    assert images.dtype == "float32"
    assert labels.dtype == "int32"
    assert float(np.min(images)) >= 0
    assert float(np.max(images)) <= 1 + 1e-6


def test_no_augmentation_is_the_images_themselves(keras):
    from trainer.data.pipeline import TrainingRows

    data = make_images(20)
    pipeline = TrainingRows(data, batch_size=20, augmentation="none")
    images, _ = next(iter(pipeline.batches()))
    expected = data.images[np.asarray(pipeline.order(0))] / np.float32(255)
    np.testing.assert_array_equal(images, expected)


def test_augmentation_is_a_function_of_the_step_and_of_the_seed(keras):
    import tensorflow as tf

    from trainer.data.augmentation.augment import augment
    from trainer.data.augmentation.strength import LIGHT, STRONG

    images = tf.constant(make_images(8, side=28).images)
    everything = dataclasses.replace(STRONG, thickness=0.5, degraded=1.0)
    for strength in (LIGHT, STRONG, everything):
        batches = [
            np.asarray(augment(images, tf.constant(seed, tf.int64), strength))
            for seed in ([0, 1], [0, 1], [0, 2], [1, 1])
        ]
        np.testing.assert_array_equal(batches[0], batches[1])
        assert not np.array_equal(batches[0], batches[2])
        assert not np.array_equal(batches[0], batches[3])


def test_each_change_stays_within_its_documented_range(keras):
    import tensorflow as tf

    from trainer.data.augmentation.augment import augment

    dot = np.zeros((200, 29, 29, 1), np.uint8)
    dot[:, 14, 14] = 255

    def centres(strength: Strength) -> np.ndarray:
        images = np.asarray(augment(tf.constant(dot), tf.constant([0, 0], tf.int64), strength))[..., 0]
        grid = np.arange(29)
        mass = images.sum((1, 2))
        return np.stack([(images.sum(2) * grid).sum(1) / mass, (images.sum(1) * grid).sum(1) / mass], 1) - 14

    still = Strength(shift=0, rotation=0, zoom=0, shear=0)
    assert np.abs(centres(still)).max() < 1e-5
    shifted = np.abs(centres(dataclasses.replace(still, shift=0.1)))
    assert 2.7 < shifted.max() <= 2.9 + 1e-4
    turned = centres(dataclasses.replace(still, rotation=15, zoom=0.2, shear=0.2))
    assert np.abs(turned).max() < 1e-4  # the centre stays where it is


def test_wrong_arguments_of_a_pipeline_are_reported(keras):
    from trainer.data.pipeline import TrainingRows
    from trainer.data.streams.stream import TrainingStream

    with pytest.raises(UsageError, match="batch size must be at least 1: 0"):
        TrainingRows(make_images(20), batch_size=0)
    with pytest.raises(UsageError, match="unknown augmentation 'lite'; did you mean 'light'"):
        TrainingRows(make_images(20), augmentation="lite")
    import tensorflow as tf

    with pytest.raises(UsageError, match="the data are endless"):
        TrainingStream(tf.data.Dataset.range(6).batch(2).repeat())


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4, 1), np.float64), np.zeros(2, np.int32), "images must be uint8"),
        (np.zeros((0, 4, 4, 1), np.uint8), np.zeros(0, np.int32), "without an empty axis"),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int64), "labels must be int32"),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(3, np.int32), "2 images but 3 labels"),
    ],
)
def test_an_image_set_refuses_what_it_is_not(images, labels, message):
    with pytest.raises(DataError, match=message):
        ImageSet(images, labels)
