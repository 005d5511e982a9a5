"""Is a stream read batch for batch as it was given, whatever it is?"""

from __future__ import annotations

import logging

import numpy as np
import pytest

from trainer.errors import DataError, UsageError


def shuffled():
    import tensorflow as tf

    return tf.data.Dataset.range(12).shuffle(12, seed=3).batch(4)


def read(batches, number: int) -> list[tuple]:
    import tensorflow as tf

    return [tf.nest.map_structure(lambda leaf: np.asarray(leaf).tolist(), batch) for batch in batches.take(number)]


def rows(number: int = 3):
    """Yield pairs of a dict of inputs, bytes and floats, and labels."""
    for i in range(number):
        yield {"image": np.full((4, 2), 51 * i, np.uint8), "age": np.full((4, 1), i, np.float64)}, np.arange(4) + i


class Loader:
    """A loader like those of PyTorch: lists of tensors, as many as it says, as often as asked."""

    class Tensor:
        """A tensor that NumPy cannot convert before it is detached and on the CPU."""

        def __init__(self, values: np.ndarray) -> None:
            self.values = values

        def detach(self):
            return self

        def cpu(self):
            return self.values

    def __len__(self) -> int:
        return 3

    def __iter__(self):
        for x, y in rows():
            yield [{key: self.Tensor(value) for key, value in x.items()}, self.Tensor(y)]


def test_a_look_at_the_first_batch_changes_no_order(keras):
    from trainer.data.streams.stream import TrainingStream

    one, peeked, later = (TrainingStream(shuffled()) for _ in range(3))
    orders = read(one.batches(), 9)
    assert orders[:3] != orders[3:6] != orders[6:]
    assert sorted(number for batch in orders[:3] for number in batch[0]) == list(range(12))
    assert np.asarray(peeked.peek()[0]).tolist() == orders[0][0]
    assert read(peeked.batches(), 9) == orders
    later.peek()
    assert read(later.batches(4), 5) == orders[4:]


def test_the_passes_are_those_of_reading_the_dataset_again_and_again(keras):
    from trainer.data.streams.stream import TrainingStream

    theirs, ours = shuffled(), TrainingStream(shuffled())
    ours.peek()
    passes = [batch for _ in range(3) for batch in read(theirs, 3)]
    assert [batch[0] for batch in read(ours.batches(), 9)] == passes


@pytest.mark.parametrize("kind", ["function", "loader", "dataset", "object"])
def test_every_kind_of_stream_gives_the_same_batches_and_scales_bytes(keras, kind):
    import tensorflow as tf

    from trainer.data.streams.stream import Length, TrainingStream

    def dataset():
        each = [(tf.data.Dataset.from_tensor_slices(pair).batch(4)) for pair in rows()]
        return each[0].concatenate(each[1]).concatenate(each[2])

    given = {"function": rows, "loader": Loader(), "object": rows(), "dataset": dataset()}[kind]
    stream = TrainingStream(given, Length(steps_per_epoch=3))
    x, y = stream.spec
    assert (x["image"].dtype, y.dtype) == (tf.float32, tf.int64)
    assert list(x["image"].shape) == [None, 2]
    found = read(stream.batches(), 3)
    for (images, labels), (theirs, wanted) in zip(found, rows(), strict=True):
        np.testing.assert_allclose(images["image"], theirs["image"] / 255)
        assert images["age"] == theirs["age"].tolist()
        assert labels == wanted.tolist()


def test_inputs_alone_and_weights_are_parts_of_a_batch(keras):
    import tensorflow as tf

    from trainer.data.streams.stream import Length, TrainingStream

    x, y = np.zeros((4, 2), np.float32), np.zeros(4, np.int32)
    alone = tf.data.Dataset.from_tensor_slices({"a": x, "b": x}).batch(2)
    assert [sorted(part) for part in TrainingStream(alone).spec] == [["a", "b"]]
    double = tf.data.Dataset.from_tensor_slices((x.astype(np.float64), y)).batch(2)
    assert TrainingStream(double).spec == TrainingStream(tf.data.Dataset.from_tensor_slices((x, y)).batch(2)).spec
    assert next(iter(TrainingStream(double).batches()))[0].dtype == tf.float32
    weighted = tf.data.Dataset.from_tensor_slices((x, y, np.ones(4, np.float32))).batch(2)
    assert len(TrainingStream(weighted).spec) == 3
    assert len(TrainingStream(lambda: [[x, y, None]], Length(steps=1)).spec) == 2


def test_a_stream_of_unknown_length_is_counted_on_request_alone(keras, caplog):
    from trainer.data.streams.stream import Length, TrainingStream

    with pytest.raises(UsageError, match=r"^cannot train: the number of batches is unknown, .*steps_per_epoch=…\), or"):
        TrainingStream(rows)
    with caplog.at_level(logging.INFO, "trainer"):
        assert TrainingStream(rows, Length(counted=True)).steps_per_epoch == 3
    assert "counting 3 batches of the stream took" in caplog.text
    assert TrainingStream(rows, Length(steps=7)).steps_per_epoch == 7
    assert TrainingStream(Loader()).steps_per_epoch == 3


def test_a_stream_that_does_not_end_is_not_counted_for_ever(keras, monkeypatch, caplog):
    from itertools import repeat

    from trainer.data.streams import passes
    from trainer.data.streams.stream import Length, TrainingStream

    monkeypatch.setattr(passes, "MANY", 50)
    monkeypatch.setattr(passes, "PATIENCE", 0.0)
    with pytest.raises(UsageError, match=r"has not ended after 50 batches; give .*steps_per_epoch"):
        TrainingStream(lambda: repeat(np.zeros((2, 3), np.float32)), Length(counted=True))
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [line.partition(";")[0] for line in warned] == ["still counting the batches of the stream, 1 so far"]


def ragged():
    yield np.zeros((4, 2))
    yield np.zeros((4, 3))


def failing():
    yield np.zeros((4, 2))
    raise OSError("the camera\nis gone")


def parts():
    yield (np.zeros(1),) * 4


def single():
    yield np.zeros((12, 12, 1), np.float32), 3


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (lambda: iter(()), UsageError, "^cannot use a stream without batches$"),
        (
            lambda: 1 / 0,
            DataError,
            r"^cannot use the stream: .*: ZeroDivisionError: division by zero \(test_",
        ),
        (parts, UsageError, r"^cannot use batches of 4 parts; give x, \(x, y\) or "),
        (single, UsageError, r"^cannot use single rows: y has no batch axis; give batches, such as dataset.batch"),
        (lambda: iter([object()]), UsageError, "^cannot use x of a batch: object is not an array of numbers or texts$"),
        (rows(), UsageError, r"^cannot train: a generator object can be read only once, .* without calling it, or"),
        ({"a": 1}, UsageError, "^cannot read batches from dict; "),
    ],
)
def test_what_is_no_stream_of_batches_is_refused_at_once(keras, given, error, said):
    from trainer.data.streams.stream import TrainingStream

    with pytest.raises(error, match=said) as caught:
        TrainingStream(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ragged, r"batch 2 of the stream is x float32 \[N, 3\], but the first was x float32 \[N, 2\]; make all"),
        (failing, r"^cannot go: the data cannot be read: OSError: the camera \(test_streams.py, line \d+\)$"),
        (rows(), "^cannot go: the data ended; give more"),
    ],
)
@pytest.mark.parametrize("peeked", [True, False])
def test_what_goes_wrong_later_is_one_line(keras, given, said, peeked):
    from trainer.data.streams.reading import reading
    from trainer.data.streams.stream import Length, TrainingStream

    stream = TrainingStream(rows() if "ended" in said else given, Length(steps=9))
    if peeked:
        stream.peek()
    batches = iter(stream.batches())

    def go() -> None:
        with reading("cannot go"):
            for _ in range(9):
                batches.get_next()

    with pytest.raises(DataError, match=said) as caught:
        go()
    assert "\n" not in str(caught.value)


def test_empty_and_endless_datasets_are_refused_before_training(keras):
    import tensorflow as tf

    from trainer.data.streams.stream import EvaluationStream, Length, TrainingStream

    data = tf.data.Dataset.from_tensor_slices(np.zeros((4, 2), np.float32)).batch(2)
    with pytest.raises(UsageError, match=r"^cannot train: the data are endless; give .*steps_per_epoch=…\) or "):
        TrainingStream(data.repeat(), Length(counted=True))
    with pytest.raises(UsageError, match=r"^cannot evaluate: the data are endless; use dataset.take\(…\)"):
        EvaluationStream(data.repeat())
    assert EvaluationStream(data.repeat(), steps=3).steps == 3
    with pytest.raises(UsageError, match=r"^cannot use a stream without batches$"):
        TrainingStream(data.take(0))
    empty = data.filter(lambda x: False)
    with pytest.raises(DataError, match=r"^cannot train on the stream: it has no batches$"):
        TrainingStream(empty, Length(counted=True))
    with pytest.raises(DataError, match=r"^cannot train on the stream: it has no batches$"):
        TrainingStream(empty, Length(steps=3)).peek()
    with pytest.raises(DataError, match=r"^cannot evaluate on the stream: it has no batches$"):
        EvaluationStream(empty).peek()
    with pytest.raises(UsageError, match=r"^cannot evaluate on a generator object, which can be read only once; "):
        EvaluationStream(rows())


def test_a_generator_object_is_read_once_and_never_again(keras):
    from trainer.data.streams.stream import Length, TrainingStream

    stream = TrainingStream(rows(5), Length(steps=5))
    stream.peek()
    assert [labels[0] for _, labels in read(stream.batches(), 5)] == [0, 1, 2, 3, 4]
    with pytest.raises(UsageError, match=r"^cannot go back to step 2: a generator object can be read only once; "):
        stream.batches(2)


def test_too_few_batches_to_resume_are_one_line(keras):
    from trainer.data.streams.stream import Length, TrainingStream

    with pytest.raises(DataError, match=r"^cannot continue at step 9: the stream has only 3 batches$"):
        TrainingStream(rows(), Length(steps=20)).batches(9)


def test_an_evaluation_of_unknown_length_reads_all_batches_every_time(keras):
    from trainer.data.streams.stream import EvaluationStream

    stream = EvaluationStream(rows)
    stream.peek()
    assert stream.steps is None
    assert [len(list(stream.batches())) for _ in range(2)] == [3, 3]
