"""Is every text in plain English, without the phrases that read as translated?"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

THINGS = "array|checkpoint|class|digit|directory|file|folder|image|model|number|package|picture|plugin|run|text"
UNITS = "batch|class|digit|epoch|file|image|line|minute|round|run|save|second|stage|step|training batch|turn"

WORDS = {
    r"(go|goes|going|went|gone) on": "continue, resume",
    rf"(batches|bytes|epochs?|images?|milliseconds|ms|one|operations|s|seconds|steps?|µs) an? ({UNITS})": "per",
    r"what \w+ (has|have) not": "what is missing",
    r"held (\w+ )?up": "bottleneck, delayed",
    r"facts": "the exact noun: fields, record, settings",
    r"(is|are|was) said": "is reported, the message says",
    r"(is|are) told (as|before|by|in|with)": "is reported",
    r"(is|are) found out": "is detected",
    r"an? \w+ of (its|their) own": "its own, a separate",
    r"of one's own": "custom, user-defined",
    r"so far as": "as far as",
    r"(at most|than) so many": "the number, or what it is called",
    r"(is|are|was|were) to be": "will be, should be, must be",
    r"(its|their) like": "similar",
    r"that which": "what, the one that",
    r"such as (are|has|have|is|no|turn|was|were)": "that",
    r"(a|the|first) person": "a user, somebody",
    r"where (the )?\w+ lies?": "the location of, the folder of",
    rf"(?<!there )(is|are) no ({THINGS})": "is not a",
    r"(what|which) stands? (before|in|on|there)": "is, precedes",
    r"but for (its|that|the|those|what)": "except",
    r"dear(er|est)?": "expensive, costly",
    r"least to most": "min to max",
    r"at the (least|most)": "at least, at most",
    r"how (it|a run|the run) stands": "status",
    r"(classified|read) (right|wrong)|rightly": "correctly, incorrectly",
    r"(caller|engine|system|user)'s (affair|business)": "handled by",
    r"may not be looked into": "cannot be read",
    r"as (much|often) as one likes": "safe to repeat",
}
"""Phrases that a native writer would not use, and what to write instead."""

BEGINNINGS = {
    r"(How|What|Where|Whether|Which|Who)": "a verb or a noun phrase",
    r"(Says?|Tells?) (how|in|of|so|that|what|whether|why)": "Return, Report, Show, Explain",
    r"See that": "Assert that, Check that",
}
"""First words of docstrings, and what to begin with instead."""

TOKEN = re.compile(r"""\"{3}|(?!f["'])\w+(?:'\w+)?|[^\w\s"'`#]""")
"""A word, the bounds of a docstring, or a punctuation mark; breaks between lines of a comment or string are none."""

PHRASES = re.compile(rf" ({'|'.join(WORDS)})(?= )")
DOCSTRINGS = re.compile(rf"\"{{3}} ({'|'.join(BEGINNINGS)})(?= )")


EXEMPT = ("CHANGELOG.md", "tests/test_english.py")
"""The history of changes, and this file, which lists the phrases."""


def texts() -> Iterator[Path]:
    """Yield the files that people read: code, its texts in other languages, configuration and documentation."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if name.endswith((".html", ".js", ".md", ".py", ".toml")) and name not in (
            "CHANGELOG.md",
            "tests/test_english.py",
        ):
            yield ROOT / name


def offences(file: Path) -> list[str]:
    """Return a line per phrase in a file that needs other words: place, phrase, and what to write instead."""
    text = file.read_text(encoding="utf-8")
    words = f" {' '.join(TOKEN.findall(text))} "
    found = []
    for pattern, rules, tokens in ((PHRASES, WORDS, words.lower()), (DOCSTRINGS, BEGINNINGS, words)):
        for match in pattern.finditer(tokens):
            better = next(better for rule, better in rules.items() if re.fullmatch(rule, match[1]))
            found.append((line_of(text, tokens.count(" ", 1, match.start(1))), match[1], better))
    return [f"{file}:{line}: {phrase!r}; write: {better}" for line, phrase, better in sorted(found)]


def line_of(text: str, number: int) -> int:
    """Return the line of a token, counted from 1; tokens are counted from 0."""
    return text.count("\n", 0, next(islice(TOKEN.finditer(text), number, None)).start()) + 1


def test_no_text_reads_as_translated():
    found = [line.removeprefix(f"{ROOT}/") for file in texts() for line in offences(file)]
    assert not found, "\n".join([f"{len(found)} phrases need other words:", *found])


@pytest.mark.parametrize(
    ("content", "line", "said", "better"),
    [
        ("x = 1  # training goes on here", 1, "goes on", "continue"),
        ("# The run goes\n    # on with its data.", 1, "goes on", "continue"),
        ('say(\n    f"{n} images "\n    f"a second"\n)', 2, "images a second", "per"),
        ("raise Error('What it has not is sent.')", 1, "what it has not", "what is missing"),
        ("\n\nfacts = read(file)", 3, "facts", "the exact noun"),
        ('def f():\n    """Whether it fits."""', 2, "Whether", "a verb or a noun phrase"),
        ('"""Says how far it got."""', 1, "Says how", "Return, Report"),
        ("A page is no file.", 1, "is no file", "is not a"),
    ],
)
def test_a_planted_phrase_is_named_with_file_line_and_better_words(tmp_path, content, line, said, better):
    file = tmp_path / "planted.py"
    file.write_text(content)
    (found,) = offences(file)
    assert found.startswith(f"{file}:{line}: {said!r}; write: {better}")


@pytest.mark.parametrize(
    "content",
    [
        "There is no file; the dearth of artifacts is going online.",
        '"""Whatever it is, howling is allowed."""',
        '"""Return what was read."""',
        'images: bytes\n"""An epoch that follows."""',
        "This is. No file is read.",
    ],
)
def test_plain_words_are_left_alone(tmp_path, content):
    file = tmp_path / "plain.py"
    file.write_text(content)
    assert offences(file) == []
