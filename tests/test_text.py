"""Are numbers, errors and commands said as a person would say them?"""

from __future__ import annotations

import sys

import pytest

from trainer.text import command, command_line, count, first_line, in_bytes, in_line, program


def test_things_are_counted_in_the_singular_and_the_plural():
    assert [count(number, "step") for number in (0, 1, 2, 12_345)] == ["0 steps", "1 step", "2 steps", "12,345 steps"]


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5e15, "5000.0 TB")]
)
def test_sizes_have_decimal_units(size, said):
    assert in_bytes(int(size)) == said


def test_whatever_it_is_becomes_one_line_of_bounded_length():
    assert in_line("two\n  lines") == "two lines"
    assert in_line("x" * 81) == "x" * 79 + "…"
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    ("started", "own", "other", "line"),
    [
        ("scripts/fit.py", "fit.py", "python scripts/mlflow_sync.py", "scripts/fit.py --data 'my digits'"),
        ("/x/scripts/inkwell fit", "inkwell fit", "inkwell mlflow-sync", "inkwell fit --data 'my digits'"),
        ("mine.py", "mine.py", "inkwell mlflow-sync", "mine.py --data 'my digits'"),
        ("", "", "inkwell mlflow-sync", "'' --data 'my digits'"),
    ],
)
def test_a_program_speaks_of_itself_and_of_others_as_it_was_called(monkeypatch, started, own, other, line):
    monkeypatch.setattr(sys, "argv", [started, "--data", "my digits"])
    assert (program(), command("mlflow_sync"), command_line()) == (own, other, line)
