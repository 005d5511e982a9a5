"""Does the comparison match its file, and does every claim about Inkwell have a test?"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from scripts import comparison
from trainer.errors import InkwellError, UsageError

SECTIONS = {
    "Loop control": 20,
    "Data": 9,
    "Optimization": 15,
    "Precision and performance": 10,
    "Distributed training": 7,
    "Plugins and callbacks": 17,
    "Logging and tracking": 14,
    "Checkpoints and resuming": 15,
    "Terminal and configuration": 8,
    "Debugging and deployment": 11,
    "Models and data of any structure": 8,
    "What few trainers have": 18,
}
"""Number of features per section; none is left out because its answer is inconvenient."""

ENTRY = """
[[row]]
section = "Data"
feature = "Sharing"
inkwell = "yes"
how = "by hand"
lightning = "partly: some"
keras = "no"
test = "tests/test_text.py::test_sizes_have_decimal_units"
readme = true
"""
FILE = f"""\
month = "May 2026"
source = [
    {{ name = "Lightning", version = "1.2", url = "https://example.org" }},
    {{ name = "Keras", version = "3.4", url = "https://example.org" }},
]
{ENTRY}"""
PLACE = "Before.\n<!-- comparison -->\nold\n<!-- /comparison -->\nAfter.\n"


@pytest.fixture(scope="module")
def known() -> comparison.Comparison:
    """The committed comparison."""
    return comparison.read(comparison.SOURCE)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small comparison, and a README with a place for it."""
    for name, text in (("SOURCE", FILE), ("PAGE", ""), ("README", PLACE)):
        monkeypatch.setattr(comparison, name, tmp_path / name)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *flags: str) -> int:
    monkeypatch.setattr(sys, "argv", ["comparison.py", *flags])
    return comparison.main()


# Committed files


def test_what_is_published_is_what_the_file_says(known):
    assert comparison.PAGE.read_text(encoding="utf-8") == comparison.page(known)
    text = comparison.README.read_text(encoding="utf-8")
    assert comparison.BEGIN not in text or comparison.readme(known) == text


def test_no_feature_is_left_out_or_there_twice(known):
    assert {title: len(rows) for title, rows in known.sections.items()} == SECTIONS
    assert len({row.feature for row in known.row}) == len(known.row)
    assert len(known.counted) == 134
    assert sum(row.readme for row in known.row) == 10


def test_every_test_that_is_named_exists(known):
    tests = {(path, name) for path, _, name in (row.test.partition("::") for row in known.row if row.test)}
    names = {path: functions(ROOT / path) for path, _ in tests}
    assert sorted(f"{path}::{name}" for path, name in tests if name not in names[path]) == []
    assert all(path.startswith("tests/") and name.startswith("test_") for path, name in tests)


def functions(file: Path) -> set[str]:
    """Return the names of the functions in a file."""
    nodes = ast.parse(file.read_text(encoding="utf-8")).body if file.is_file() else []
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def test_every_yes_has_a_test_and_words_and_no_no_has_a_test(known):
    assert [row.feature for row in known.row if (row.inkwell == "yes") > bool(row.test)] == []
    assert [row.feature for row in known.row if row.inkwell == "no" and row.test] == []
    assert [row.feature for row in known.row if not row.how] == []


# The script


def test_page_and_readme_are_written_and_then_up_to_date(files, monkeypatch):
    with pytest.raises(InkwellError, match=r"PAGE is out of date; run python scripts/comparison\.py$"):
        run(monkeypatch, "--check")
    assert (files / "PAGE").read_text() == ""
    assert run(monkeypatch) == run(monkeypatch, "--check") == 0
    row = "| Sharing | ✓ by hand | ◐ some | ✗ |\n"
    page, readme = ((files / name).read_text(encoding="utf-8") for name in ("PAGE", "README"))
    assert page.endswith(f"## Data\n\n| feature | Inkwell | Lightning | Keras |\n|---|---|---|---|\n{row}")
    assert "| of 1 features | ✓ yes | ◐ partly | ✗ no |\n|---|---:|---:|---:|\n| Inkwell | 1 | 0 | 0 |\n" in page
    assert "[Lightning](https://example.org) 1.2, [Keras](https://example.org) 3.4;\n" in page
    assert readme.startswith("Before.\n<!-- comparison -->\n")
    assert readme.endswith("<!-- /comparison -->\nAfter.\n")
    assert row in readme
    assert "old" not in readme


def test_a_readme_without_a_place_for_the_table_says_what_to_add(files, monkeypatch):
    (files / "README").write_text("Before.\n")
    with pytest.raises(InkwellError, match=r"add the lines <!-- comparison --> and <!-- /comparison -->$"):
        run(monkeypatch)
    assert (files / "README").read_text() == "Before.\n"


def test_a_bar_does_not_end_a_cell():
    assert comparison.cell("yes: `a|b`") == r"✓ `a\|b`"


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("[[row]]", "[[row]", "is not valid TOML: "),
        ('inkwell = "yes"', 'inkwell = "yess"', r"row\.0\.inkwell: no such choice; did you mean 'yes'\?"),
        ('lightning = "partly: some"', 'lightning = "some"', r"row\.0\.lightning: "),
        ('keras = "no"', 'keras = "no:"', r"row\.0\.keras: "),
        ("how = ", "hwo = 1\nhow = ", r"row\.0\.hwo: "),
        ("readme = true", 'readme = "often"', r"row\.0\.readme: must be true or false"),
        ("test = ", "# ", "row.0: 'Sharing' is a yes without a test"),
        ('inkwell = "yes"', 'inkwell = "no"', "row.0: 'Sharing' is a no with a test"),
        ('month = "May 2026"', "", "month: "),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line(files, right, wrong, said):
    (files / "SOURCE").write_text(FILE.replace(right, wrong, 1))
    with pytest.raises(UsageError, match=said) as caught:
        comparison.read(files / "SOURCE")
    assert "\n" not in str(caught.value)


def test_the_script_ends_in_one_line_where_its_file_is_broken(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "docs").mkdir()
    script = shutil.copy(ROOT / "scripts" / "comparison.py", tmp_path / "scripts")
    (tmp_path / "docs" / "comparison.toml").write_text("month = May")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("comparison.py: error: ")
    assert not (tmp_path / "docs" / "comparison.md").exists()
