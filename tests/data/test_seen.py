"""Does a run recognize the images that it was trained on, and no others?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Script, make_images

from trainer.data import rows as module
from trainer.data.imageset import ImageSet
from trainer.data.seen import Seen
from trainer.errors import InkwellError
from trainer.evaluation.overlap import overlap
from trainer.runs.files import SEEN, RunFiles


def some(images: ImageSet, *numbers: int) -> ImageSet:
    return images.subset(np.array(numbers))


def test_images_are_known_by_their_pixels_alone():
    images = make_images(40)
    seen = Seen.of(some(images, *range(20)), some(images, *range(20, 30)))
    relabelled = ImageSet(images.images[::-1].copy(), images.labels)
    as_floats = ImageSet(images.images / np.float32(255), images.labels)
    for known, order in ((images, slice(None)), (relabelled, slice(None, None, -1)), (as_floats, slice(None))):
        trained_on, validated_on = seen.marks(known)
        assert trained_on[order].tolist() == [True] * 20 + [False] * 20
        assert validated_on[order].tolist() == [False] * 20 + [True] * 10 + [False] * 10
    changed = images.images.copy()
    changed[:, 0, 0, 0] ^= 1
    assert not any(marks.any() for marks in seen.marks(ImageSet(changed, images.labels)))


def test_an_image_that_was_trained_on_counts_as_that_even_if_it_validated_too():
    images = make_images(10)
    trained_on, validated_on = Seen.of(images, images).marks(images)
    assert (trained_on.all(), validated_on.any()) == (True, False)


def test_sets_on_disk_are_read_a_part_at_a_time_and_give_the_same(monkeypatch):
    images = make_images(50)
    whole = Seen.of(images)
    monkeypatch.setattr(module, "BLOCK_BYTES", 7 * 144)
    parts = Seen.of(images)
    np.testing.assert_array_equal(whole.train, parts.train)


def test_what_is_written_down_is_read_again_and_joined():
    images = make_images(30)
    one, other = Seen.of(some(images, 0, 1), some(images, 2)), Seen.of(some(images, 2, 3))
    again = Seen.from_bytes(one.to_bytes())
    for before, after in zip(one.parts, again.parts, strict=True):
        np.testing.assert_array_equal(before, after)
    trained_on, validated_on = (one | other).marks(some(images, 0, 1, 2, 3, 4))
    assert (trained_on.tolist(), validated_on.any()) == ([True, True, True, True, False], False)


@pytest.mark.parametrize("content", [b"x", b"x" * 9, b"\0" * 8 + b"\2"])
def test_a_damaged_record_is_reported(content):
    with pytest.raises(ValueError, match=r"buffer|split"):
        Seen.from_bytes(content)


def test_the_sentence_says_what_was_trained_on_and_what_chose_the_weights():
    images, right = make_images(40), np.arange(40) % 10 > 0

    def sentence(train: range, validation: range, right: np.ndarray | None = right) -> str:
        seen = Seen.of(some(images, *train), some(images, *validation) if validation else None)
        return overlap(seen, some(images, *range(30)), right[:30] if right is not None else None).sentence

    other = range(30, 35)
    assert sentence(other, range(0)) == "none of the 30 images was used for training"
    assert (
        sentence(other, range(4)) == "none of the 30 images was used for training; 4 of them were used for validation"
    )
    assert sentence(range(20), range(35, 40)) == (
        "20 of 30 images were used for training; accuracy on the other 10: 90.00 % (95 %: 59.58 % to 98.21 %)"
    )
    assert "accuracy on the other 10, which were used for validation: 90" in sentence(range(20), range(20, 30))
    assert "accuracy on the other 10, 3 of which were used for validation: 90" in sentence(range(20), range(20, 23))
    assert (
        sentence(range(20), range(0), None)
        == "20 of 30 images were used for training; accuracy on the other 10: unknown"
    )
    assert sentence(range(40), range(0)) == (
        "all 30 images were used for training: these numbers say nothing about new images"
    )


def net(keras):
    images = keras.Input((12, 12, 1))
    return keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)), name="small")


def test_a_run_says_how_much_of_its_own_test_data_it_was_trained_on(keras, tmp_path: Path):
    from trainer import Trainer

    train, fresh = make_images(60), make_images(20, seed=1)
    test = ImageSet(
        np.concatenate([train.images[:15], fresh.images]), np.concatenate([train.labels[:15], fresh.labels])
    )
    trainer = Trainer(net(keras), plugins=[], run_dir=tmp_path / "run")
    run = trainer.fit(train, validation_data=some(fresh, 0, 1), test_data=test, epochs=1)
    found = run.result.test["overlap"]
    assert (found["images"], found["trained_on"], found["validated_on"]) == (35, 15, 2)
    assert found["others"]["images"] == 20
    right = trainer.predict(fresh.images).argmax(1) == fresh.labels
    assert found["others"]["right"] == right.sum()
    seen = RunFiles(tmp_path / "run").seen
    assert seen is not None
    assert seen.marks(test)[0].sum() == 15


def test_without_a_directory_it_is_reported_too_and_a_stream_is_unknown(keras):
    import tensorflow as tf

    from trainer import Trainer

    train, test = make_images(60), make_images(20, seed=1)
    assert (
        Trainer(net(keras), plugins=[]).fit(train, test_data=test, epochs=1).result.test["overlap"]["trained_on"] == 0
    )
    stream = tf.data.Dataset.from_tensor_slices((train.images / np.float32(255), train.labels)).batch(20)
    assert "overlap" not in Trainer(net(keras), plugins=[]).fit(stream, test_data=test, epochs=1).result.test


def test_a_run_that_is_resumed_with_other_data_has_seen_both(keras, tmp_path: Path):
    from plugins.checkpoint import Checkpoint
    from trainer import Trainer

    one, other, test = make_images(40), make_images(40, seed=1), make_images(40, seed=2)
    train = {"test_data": test, "epochs": 1}
    Trainer(net(keras), plugins=[Checkpoint(monitor=None)], run_dir=tmp_path / "run").fit(one, **train)
    (tmp_path / "run" / "result.json").unlink()
    trainer = Trainer(net(keras), plugins=[Checkpoint(monitor=None)], run_dir=tmp_path / "run")
    trainer.resume(other, anyway=True, **{**train, "epochs": 2})
    seen = RunFiles(tmp_path / "run").seen
    assert seen is not None
    assert [seen.marks(images)[0].all() for images in (one, other, test)] == [True, True, False]


def test_a_record_that_cannot_be_read_is_reported_in_one_line(keras, tmp_path: Path):
    from trainer import Trainer

    Trainer(net(keras), plugins=[], run_dir=tmp_path / "run").fit(make_images(40), epochs=1)
    (tmp_path / "run" / SEEN).write_bytes(b"torn")
    with pytest.raises(InkwellError, match=r"cannot read .*seen\.bin: .*; delete it to evaluate without it"):
        _ = RunFiles(tmp_path / "run").seen


@pytest.mark.slow
def test_an_evaluation_on_images_that_were_trained_on_says_so(script: Script, mnist_folder: Path, tmp_path: Path):
    quiet = ("--progress", "none", "--no-plugin", "mlflow", "--augment", "none", "--steps", "60")
    done = script("fit.py", "--data", mnist_folder, "--run-dir", "run", *quiet)
    assert done.returncode == 0, done.stderr
    done = script("evaluate.py", "run", "--data", "mnist5k")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("overlap")]
    assert "of 5,000 images were used for training; accuracy on the other" in line
    trained_on = int(line.split()[1].replace(",", ""))
    assert (
        f"on the other {5000 - trained_on}, which were used for validation: " in line
    )  # all lie in MNIST's training images
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert f"{trained_on:,} of 5,000 images were used for training; accuracy on the other {5000 - trained_on}" in page
    assert "None of these images was used for training" in page  # of the test images
    assert "Overlap with the training images" in (tmp_path / "run" / "report" / "model_card.md").read_text()
