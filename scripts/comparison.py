"""Write the comparison with Lightning and Keras: `python scripts/comparison.py`."""

from __future__ import annotations

import runpy
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

try:
    from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

    from trainer.config.merge import read_toml
    from trainer.console.cli import Parser, run_script
    from trainer.errors import InkwellError, UsageError, explain
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "docs" / "comparison.toml"
PAGE = ROOT / "docs" / "comparison.md"
README = ROOT / "README.md"

BEGIN, END = "<!-- comparison -->\n", "<!-- /comparison -->\n"
"""The lines of the README that enclose its table."""

MARKS = {"yes": "✓", "partly": "◐", "no": "✗"}
"""Symbols of the answers in tables."""

COLUMNS = ("Inkwell", "Lightning", "Keras")

RARE = "What few trainers have"
"""The section that is not counted, since Inkwell was built for its features."""

INTRODUCTION = """\
# Comparison with Lightning and Keras

Lightning and Keras are general: any model, many devices, many trackers. Inkwell trains Keras models on one device
and concentrates on the run itself: resuming exactly, surviving faults, and reporting what happened.

✓ means yes, ◐ partly, ✗ no. The answers for the others come from reading, in {month}, the source code of
{sources};
for them, ✗ means that nothing was found. For every ✓ of Inkwell, `docs/comparison.toml` names a test that proves it;
without a test, the answer is ◐ at best. `python scripts/comparison.py` generates this page from that file.
"""

UNCOUNTED = f"""\
The last section, “{RARE}”, is not counted, because Inkwell was built to have these features.
"""

LEGEND = (
    "✓ yes, ◐ partly, ✗ no, for Lightning {lightning} and Keras {keras}. "
    "[All {count} features](docs/comparison.md), {missing} of which Inkwell lacks."
)

Answer = Literal["yes", "partly", "no"]
Peer = Annotated[str, Field(pattern=r"^(yes|partly|no)(: .+)?$")]
"""The answer for another library, optionally followed by a colon and a few words."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A feature, and which libraries have it.

    Attributes:
        section: The table that it belongs to.
        feature: Its name.
        inkwell: The answer for Inkwell.
        how: How Inkwell does it; if partly or no, what is missing.
        lightning: The answer for Lightning.
        keras: The answer for Keras.
        test: The test that proves it, `path::name`; every yes has one, a no has none.
        readme: True if the README shows it.

    Raises:
        ValueError: If a yes has no test, or a no has one.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    section: str
    feature: str
    inkwell: Answer
    how: str
    lightning: Peer
    keras: Peer
    test: str = ""
    readme: bool = False

    def __post_init__(self) -> None:
        if self.inkwell == "yes" and not self.test:
            raise ValueError(f"{self.feature!r} is a yes without a test")
        if self.inkwell == "no" and self.test:
            raise ValueError(f"{self.feature!r} is a no with a test")

    @property
    def answers(self) -> tuple[str, str, str]:
        """The answers in the order of `COLUMNS`, each with its words after a colon."""
        return f"{self.inkwell}: {self.how}", self.lightning, self.keras


@dataclass(frozen=True, kw_only=True)
class Source:
    """Source code that was read.

    Attributes:
        name: The library.
        version: Its version.
        url: The address of its repository.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    name: str
    version: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The content of docs/comparison.toml.

    Attributes:
        month: The month in which the source code of the others was read.
        source: The source code that was read.
        row: The features, section by section.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    month: str
    source: tuple[Source, ...]
    row: tuple[Row, ...]

    @property
    def sections(self) -> dict[str, list[Row]]:
        """The features by section title, in the order of the file."""
        found: dict[str, list[Row]] = {}
        for row in self.row:
            found.setdefault(row.section, []).append(row)
        return found

    @property
    def counted(self) -> list[Row]:
        """The features that are counted."""
        return [row for row in self.row if row.section != RARE]


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Write docs/comparison.md and the table in the README from docs/comparison.toml.")
    p.add_argument("--check", action="store_true", help="write nothing; fail if either is out of date")
    return p


def main() -> int:
    """Write the page and the table, or check them; return the exit status."""
    args, comparison = parser().parse(), read(SOURCE)
    for file, make in ((PAGE, page), (README, readme)):
        text = make(comparison)
        if not args.check:
            file.write_text(text, encoding="utf-8")
            print(file)
        elif text != file.read_text(encoding="utf-8"):
            raise InkwellError(f"{file} is out of date; run python scripts/comparison.py")
    return 0


def read(file: Path) -> Comparison:
    """Return the comparison in a file.

    Raises:
        UsageError: If the file cannot be read, a key is missing or unknown, or a value is invalid.
    """
    try:
        return TypeAdapter(Comparison).validate_python(read_toml(file))
    except ValidationError as error:
        problem = error.errors()[0]
        raise UsageError(f"{file}: {'.'.join(map(str, problem['loc']))}: {explain(problem)}") from None


def page(comparison: Comparison) -> str:
    """Return docs/comparison.md."""
    sources = [f"[{source.name}]({source.url}) {source.version}" for source in comparison.source]
    introduction = INTRODUCTION.format(month=comparison.month, sources=", ".join(sources))
    tables = [f"## {title}\n\n{table(rows)}" for title, rows in comparison.sections.items()]
    return "\n".join([introduction, counts(comparison.counted), UNCOUNTED, *tables])


def readme(comparison: Comparison) -> str:
    """Return README.md with its table, between the two lines that enclose it.

    Raises:
        InkwellError: If these lines are missing.
    """
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InkwellError(f"{README} has no place for the table; add the lines {BEGIN.strip()} and {END.strip()}")
    versions = {source.name.lower(): source.version for source in comparison.source}
    missing = sum(row.inkwell == "no" for row in comparison.counted)
    legend = LEGEND.format(count=len(comparison.counted), missing=missing, **versions)
    shown = table(row for row in comparison.row if row.readme)
    return f"{before}{begin}\n{shown}\n{legend}\n\n{end}{after}"


def counts(rows: Sequence[Row]) -> str:
    """Return a table that counts the answers for each library."""
    lines = [f"| of {len(rows)} features | {' | '.join(f'{mark} {word}' for word, mark in MARKS.items())} |"]
    lines.append("|---|---:|---:|---:|")
    for name, answers in zip(COLUMNS, zip(*(row.answers for row in rows), strict=True), strict=True):
        found = Counter(answer.partition(":")[0] for answer in answers)
        lines.append(f"| {name} | {' | '.join(str(found[word]) for word in MARKS)} |")
    return "\n".join([*lines, ""])


def table(rows: Iterable[Row]) -> str:
    """Return a table with one line per feature."""
    lines = [f"| feature | {' | '.join(COLUMNS)} |", "|---|---|---|---|"]
    lines += [f"| {row.feature} | {' | '.join(map(cell, row.answers))} |" for row in rows]
    return "\n".join([*lines, ""])


def cell(answer: str) -> str:
    """Return the table cell of an answer: its symbol, then its words."""
    word, _, words = answer.partition(": ")
    return f"{MARKS[word]} {words}".rstrip().replace("|", r"\|")


if __name__ == "__main__":
    run_script(main)
