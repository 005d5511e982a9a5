"""Is a span as long as it may be, and never longer?"""

from __future__ import annotations

import pytest

from trainer import Every, Run
from trainer.engine.clock import Due, Moment
from trainer.engine.spans import Pace, steps_to_next
from trainer.run import Rewind


def lengths(cadences: list[Every], limit: int = 1000, steps: int = 25, per_epoch: int = 10) -> list[int]:
    run, found = Run(steps=steps, steps_per_epoch=per_epoch), []
    while run.step < run.steps:
        found.append(steps_to_next(run, cadences, limit))
        run.step += found[-1]
    return found


def test_nobody_looking_gives_one_span_an_epoch():
    assert lengths([]) == [10, 10, 5]


def test_spans_end_where_somebody_looks():
    assert lengths([Every(steps=4)]) == [4, 4, 2, 2, 4, 4, 4, 1]
    assert lengths([Every(steps=4), Every(steps=6), Every(epochs=1)]) == [4, 2, 2, 2, 2, 4, 2, 2, 4, 1]
    assert lengths([Every(seconds=1)]) == [10, 10, 5]


def test_spans_are_no_longer_than_the_limit():
    assert lengths([], limit=4) == [4, 4, 2, 4, 4, 2, 4, 1]


def test_pace_grows_to_half_a_second():
    pace, found = Pace(), []
    for _ in range(6):
        found.append(pace.limit)
        pace.measured(pace.limit, pace.limit * 0.01)
    assert found == [1, 4, 16, 50, 50, 50]
    pace.measured(50, 5.0)
    assert pace.limit == 5


def test_pace_is_at_least_one_step():
    pace = Pace()
    pace.measured(1, 30.0)
    assert pace.limit == 1


def test_due_by_seconds_counts_from_the_last_time_it_was():
    due = Due(Every(seconds=2), now=0.0)
    assert [due(Moment(1, 1, False, now)) for now in (1.0, 2.5, 3.0, 4.5)] == [False, True, False, True]


def test_due_by_epochs_is_at_the_end_of_an_epoch():
    due = Due(Every(epochs=2), now=0.0)
    assert [due(Moment(0, epoch, ended, 0.0)) for epoch, ended in ((1, True), (2, False), (2, True))] == [
        False,
        False,
        True,
    ]


def test_without_a_number_it_is_due_at_the_end_of_every_span():
    due = Due(Every(), now=0.0)
    assert [due(Moment(step, 1, False, 0.0)) for step in (1, 2, 7)] == [True, True, True]
    assert str(Every()) == "every span"


def test_a_span_ends_before_a_step_to_skip():
    run = Run(steps=100, steps_per_epoch=50, step=10, recoveries=[Rewind("why", (15, 16, 40), 0.5)])
    assert steps_to_next(run, [], limit=1000) == 4
    run.step = 14  # the next step is skipped; the span after it counts
    assert steps_to_next(run, [], limit=1000) == 1
    run.step = 16
    assert steps_to_next(run, [], limit=1000) == 23


@pytest.mark.parametrize("arguments", [{"steps": 0}, {"seconds": -1}, {"steps": 1, "epochs": 1}])
def test_a_cadence_is_one_positive_number(arguments):
    with pytest.raises(ValueError, match="give one of steps, epochs or seconds, greater than 0"):
        Every(**arguments)
