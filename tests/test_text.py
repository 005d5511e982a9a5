"""Are numbers, errors and commands expressed naturally?"""

from __future__ import annotations

import csv
import io
import json
import os
import sys

import pytest

from trainer.console.sheet import csv_line
from trainer.files import to_json, to_json_line
from trainer.text import command, command_line, count, first_line, in_bytes, in_line, printable, program, shortened


def test_counts_use_the_singular_and_the_plural():
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größe 漢字 🙂.png", "größe 漢字 🙂.png"),
        ("no\xa0break\u3000space", "no\xa0break\u3000space"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\r\n\tb\x7f\x9b", "a\\r\\n\\tb\\x7f\\x9b"),
        ("\u202egnp.exe\u2066\u200b\ufeff", "\\u202egnp.exe\\u2066\\u200b\\ufeff"),
        ("\u2028\u2029\x85", "\\u2028\\u2029\\x85"),
        (os.fsdecode(b"caf\xe9") if os.name == "posix" else "caf\udce9", "caf\\xe9"),
        ("\ud800\U000e0001", "\\ud800\\U000e0001"),
    ],
)
def test_what_steers_a_terminal_is_shown_instead(text, shown):
    assert printable(text) == shown
    assert in_line(text).isprintable() or "\xa0" in text
    for encoded in (to_json([text]), to_json([text], indent=None), to_json_line([text])):
        assert json.loads(encoded) == [text]
        assert all(map(str.isprintable, encoded.replace("\xa0", "").replace("\u3000", "").split("\n")))
        encoded.encode()


def test_a_long_text_keeps_its_ends():
    assert shortened("a" * 300) == "a" * 300
    assert shortened(f"first {'9' * 5000} last", 21) == "first 9999…99999 last"


@pytest.mark.parametrize("text", ["=1+1", "+1 x", "-1+cmd|' '!A0", "@SUM(A1)", "\tx", "\rx", "\n=x", "\uff1d1"])
def test_csv_holds_no_formula(text):
    (row,) = csv.reader(io.StringIO(csv_line([text, "x"]), newline=""), strict=True)
    assert row == [f"'{text}", "x"]


@pytest.mark.parametrize("value", [-0.5, 1e-9, -3, "-0.5", "+1e5", "", "a\nb", 'a "b", c', "a\r\nb", "x=1"])
def test_csv_leaves_numbers_and_texts_unchanged(value):
    (row,) = csv.reader(io.StringIO(csv_line(["x", value]), newline=""), strict=True)
    assert row == ["x", str(value)]
