"""Can a trainer read rows of any structure, and does nothing depend on how they are kept?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import make_images

from trainer.data.rows import ArrayRows, all_ids, evenly, is_rows
from trainer.errors import UsageError

RANDOM = np.random.default_rng(0)


def table(count: int = 20) -> ArrayRows:
    x = {"left": RANDOM.random((count, 3)), "right": RANDOM.integers(0, 9, (count, 2, 2))}
    return ArrayRows(x, np.arange(count), np.linspace(0, 1, count))


def test_both_kinds_are_rows():
    assert is_rows(rows := table())
    assert "digest" not in vars(rows)  # which would read all data
    assert is_rows(make_images(4))
    assert not is_rows([1, 2])


@pytest.mark.parametrize("rows", [table(), make_images(20)], ids=["arrays", "images"])
def test_a_subset_reads_what_its_rows_say(rows):
    import optree

    chosen = np.array([7, 3, 3, 12])
    taken, part = rows.take(chosen), rows.subset(chosen)
    assert len(part) == 4
    for ours, theirs in zip(optree.tree_leaves(taken), optree.tree_leaves(part.take(np.arange(4))), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(all_ids(rows)[chosen], all_ids(part))
    np.testing.assert_array_equal(all_ids(part.concat(part)), np.tile(all_ids(part), 2))
    assert rows.digest != part.digest == rows.subset(chosen).digest
    assert len(evenly(rows, 5)) == 5


def test_the_digest_knows_order_names_labels_and_weights():
    rows = table()
    x, y, w = rows.columns
    digests = {
        each.digest
        for each in (
            rows,
            rows.subset(np.arange(20)[::-1]),
            ArrayRows({"left": x["left"], "up": x["right"]}, y, w),
            ArrayRows(x, y + 1, w),
            ArrayRows(x, y, w / 2),
            ArrayRows(x, y),
        )
    }
    assert len(digests) == 6
    assert ArrayRows(dict(reversed(list(x.items()))), y, w).digest == rows.digest


def test_a_memory_map_stays_on_disk_and_gives_the_same(tmp_path: Path):
    values = RANDOM.random((30, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    mapped = ArrayRows(np.load(tmp_path / "x.npy", mmap_mode="r"), np.arange(30))
    held = ArrayRows(values, np.arange(30))
    assert "Mapped" in type(mapped.subset(np.array([1])).x).__name__
    assert mapped.digest == held.digest
    np.testing.assert_array_equal(all_ids(mapped), all_ids(held))
    np.testing.assert_array_equal(mapped.take(np.array([5, 2]))[0], values[[5, 2]])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ({"a": np.zeros(3), "b": np.zeros(4)},),
            "all arrays must have the same number of rows, at least 1: x.a 3, x.b 4",
        ),
        ((np.zeros((0, 2)), np.zeros(0)), "at least 1: x 0, y 0"),
        ((np.array([{}, {}]),), "cannot use x: its leaves must be arrays"),
        (([[1, 2], [3]],), "cannot use x: it does not convert to an array"),
        ((np.zeros(2), None, np.ones(2)), "cannot use sample_weight without labels"),
    ],
)
def test_arrays_that_are_no_rows_are_refused_in_one_line(arguments, said):
    with pytest.raises(UsageError, match=said) as caught:
        ArrayRows(*arguments)
    assert "\n" not in str(caught.value)


def two_towers(keras, inputs: str):
    left, right = keras.Input((3,), name="left"), keras.Input((2, 2), name="right")
    joined = keras.layers.Concatenate()([left, keras.layers.Flatten()(right)])
    given = {"left": left, "right": right} if inputs == "dict" else [left, right]
    return keras.Model(given, keras.layers.Dense(4)(joined), name="towers")


@pytest.mark.parametrize("inputs", ["dict", "list"])
def test_parts_of_a_dict_reach_the_inputs_of_their_names(keras, inputs):
    from trainer.trainer import Trainer

    rows = table(24)
    x, y = {"right": rows.x["right"], "left": rows.x["left"]}, np.arange(24) % 4
    keras.utils.set_random_seed(0)
    trainer = Trainer(two_towers(keras, inputs), plugins=[])
    run = trainer.fit(x, y, epochs=2, batch_size=10)
    assert run.step == 6
    assert np.isfinite(run.logs["loss"])


def test_parts_without_the_models_names_are_refused_with_both_structures(keras):
    from trainer.trainer import Trainer

    x = {"left": np.zeros((4, 3)), "rigth": np.zeros((4, 2, 2))}
    said = r"cannot match x with the model: the data are \{left: float32 \[N, 3\], rigth: .*\}, the model has \{left: "
    with pytest.raises(UsageError, match=said):
        Trainer(two_towers(keras, "dict"), plugins=[]).fit(x, np.arange(4))
    with pytest.raises(UsageError, match="cannot match x with the model"):
        Trainer(two_towers(keras, "dict"), plugins=[]).fit((x["left"], x["rigth"]), np.arange(4))


class Foreign:
    """Rows of a user's own, without columns."""

    def __init__(self, inner: ArrayRows) -> None:
        self.inner = inner
        self.spec, self.digest = inner.spec, inner.digest

    def __len__(self) -> int:
        return len(self.inner)

    def take(self, indices):
        return self.inner.take(indices)

    def ids(self, indices):
        return self.inner.ids(indices)

    def subset(self, indices):
        return Foreign(self.inner.subset(indices))

    def concat(self, other):
        return Foreign(self.inner.concat(other.inner))


def test_rows_of_ones_own_train_to_the_same_weights(keras):
    from trainer.trainer import Trainer

    base = table(24)
    rows = ArrayRows(base.x, np.arange(24, dtype=np.int32) % 4)
    found = []
    for data in (rows, Foreign(rows)):
        keras.utils.set_random_seed(0)
        model = two_towers(keras, "dict")
        Trainer(model, plugins=[]).fit(data, epochs=2, batch_size=10)
        found.append(model.get_weights())
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
