"""Is the code base in order? Imports run one way, and tables list what exists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import models
import plugins
from trainer import registry

FLOORS = [
    ["trainer/errors", "trainer/stage", "trainer/text"],
    ["trainer/bounds", "trainer/display", "trainer/startup"],
    ["trainer/files", "trainer/registry"],
    ["trainer/config"],
    ["trainer/data"],
    ["trainer/evaluation"],
    ["trainer/result", "trainer/plugin", "trainer/run"],
    ["trainer/checkpoint"],
    ["trainer/runs"],
    ["trainer/tasks"],
    ["trainer/kernels"],
    ["trainer/engine"],
    ["trainer/console"],
    ["trainer/evaluator"],
    ["trainer/lifecycle"],
    ["trainer/trainer"],
    ["trainer/session", "trainer/examine"],
    ["trainer/export"],
    ["trainer/__init__"],
    ["plugins", "models"],
    ["scripts"],
]
"""The floors of the code base, from the ground up: imports only go down, at any depth and for type checkers too.

Files on one floor may import each other, folders may not. `trainer/__init__` is the interface that users import.
"""

OURS = ("trainer", "plugins", "models", "scripts")
FILES = sorted(path for top in OURS for path in (ROOT / top).rglob("*.py"))


def module_of(path: Path) -> str:
    """Return the dotted name of one of our files."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imported(path: Path) -> set[str]:
    """Return the full names of the modules and objects that a file imports, at any depth: `trainer.run.Run`."""
    package = module_of(path).split(".")[: None if path.name == "__init__.py" else -1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return found


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports."""
    return {name.partition(".")[0] for name in imported(path)}


def our_imports(path: Path) -> set[Path]:
    """Return our files that a file imports; a name that is not a module belongs to the module before it."""
    found = set()
    for name in imported(path):
        module = name if name in MODULES else name.rpartition(".")[0]
        if module in MODULES:
            found.add(MODULES[module])
    return found - {path}


def entry_of(path: Path) -> str:
    """Return the entry of `FLOORS` for a file; empty if there is none."""
    whole = path.relative_to(ROOT).with_suffix("").as_posix()
    return next((entry for floor in FLOORS for entry in floor if f"{whole}/".startswith(f"{entry}/")), "")


def floor_of(entry: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if entry in floor)


def test_every_file_has_a_floor_and_every_entry_is_there():
    assert [str(path) for path in FILES if not entry_of(path)] == []
    entries = [entry for floor in FLOORS for entry in floor]
    assert [entry for entry in entries if not (ROOT / entry).is_dir() and not (ROOT / f"{entry}.py").is_file()] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_upwards(path):
    own = entry_of(path)
    wrong = []
    for other in map(entry_of, our_imports(path)):
        beside = floor_of(other) == floor_of(own) and not any((ROOT / entry).is_dir() for entry in (own, other))
        if other != own and not beside and floor_of(other) >= floor_of(own):
            wrong.append(other)
    assert wrong == [], f"{own} imports what lies above or beside it"


def test_no_two_folders_import_each_other_in_a_circle():
    arrows: dict[str, set[str]] = {}
    for path in FILES:
        own = _folder(path)
        arrows.setdefault(own, set()).update(_folder(other) for other in our_imports(path))
    arrows = {own: others - {own} for own, others in arrows.items()}
    while ends := {own for own in arrows if not arrows[own] or not any(own in others for others in arrows.values())}:
        arrows = {own: others - ends for own, others in arrows.items() if own not in ends}
    assert arrows == {}, "these import each other in a circle"


def _folder(path: Path) -> str:
    """Return the folder of a file; files directly in `trainer` are grouped by floor, and an interface stands alone.

    An interface is an `__init__`, which may re-export what is in its folder.
    """
    whole, folder = path.relative_to(ROOT), path.parent.relative_to(ROOT).as_posix()
    if path.name == "__init__.py":
        return whole.as_posix()
    return f"floor {floor_of(entry_of(path))} of trainer" if folder == "trainer" else folder


def test_the_engine_lies_in_folders():
    assert len(list((ROOT / "trainer").glob("*.py"))) <= 13


def test_plugins_are_found_and_built_without_tensorflow():
    program = (
        "import sys\n"
        "from trainer.registry import plugins\n"
        "print(*(plugins.resolve(entry.name).__name__ for entry in plugins.entries() if not entry.distribution))\n"
        "print({'tensorflow', 'keras', 'mlflow', 'matplotlib'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    names, heavy = done.stdout.splitlines()
    assert (len(names.split()) > 6, heavy, done.stderr) == (True, "set()", "")


@pytest.mark.parametrize(("package", "table"), [(models, registry.models), (plugins, registry.plugins)])
def test_every_registered_file_is_in_the_table_and_says_what_it_is(keras, package, table):
    folder = Path(package.__file__).parent
    files = [path for path in folder.rglob("*.py") if "@" + folder.name + ".register(" in path.read_text()]
    registering = {".".join(path.relative_to(folder.parent).with_suffix("").parts) for path in files}
    entries = [entry for entry in table.entries() if not entry.distribution]
    assert {entry.target.split(":")[0] for entry in entries} == registering
    for entry in entries:
        assert entry.help
        assert table.resolve(entry.name).__module__ == entry.target.split(":")[0]


def test_every_package_that_is_imported_is_a_declared_dependency():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    declared = {d.split(">=")[0].strip().lower() for group in (project["dependencies"], *extras) for d in group}
    modules = {
        "ai_edge_litert": "ai-edge-litert",
        "griffe": "griffelib",
        "markdown_it": "markdown-it-py",
        "ml_dtypes": "ml-dtypes",
        "tomli_w": "tomli-w",
        "PIL": "pillow",
        "skimage": "scikit-image",
        "sklearn": "scikit-learn",
        "tensorflow_datasets": "tensorflow-datasets",
    }
    used = set.union(*map(imports, FILES)) - set(sys.stdlib_module_names) - set(OURS)
    assert {modules.get(name, name).lower() for name in used} <= declared


UNIX = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty"}
"""Modules of the standard library that Windows lacks."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_can_be_imported_on_windows(path):
    """The terminals of the pictures are an exception; see "Platforms" in docs/getting-started.md."""
    statements = ast.parse(path.read_text(encoding="utf-8")).body
    at_once = {alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names}
    at_once |= {str(node.module) for node in statements if isinstance(node, ast.ImportFrom)}
    assert at_once & UNIX == ({"termios"} if path == ROOT / "scripts" / "gallery" / "terminal.py" else set())


def test_every_package_and_every_file_beside_code_is_in_the_wheel():
    import fnmatch
    import tomllib

    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = tool["packages"]["find"]["include"]
    for folder in {path.parent for path in FILES}:
        assert (folder / "__init__.py").is_file(), f"{folder} is not a package, so the wheel does not contain it"
        name = folder.relative_to(ROOT).as_posix().replace("/", ".")
        assert any(fnmatch.fnmatch(name, pattern) for pattern in found), f"{name} is not in the wheel"
    packed = {
        path
        for package, patterns in tool["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    beside = {path for top in OURS for path in (ROOT / top).rglob("*") if path.is_file()}
    left_out = (".py", ".pyc", ".png")  # code, and pictures for the README
    assert {path for path in beside if path.suffix not in left_out} == packed


# Claims of docs/architecture.md

ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_documented_floors_are_the_real_ones():
    table = ARCHITECTURE.partition("<!-- floors -->")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert [re.findall(r"`([^`]+)`", row) for row in rows] == FLOORS


def test_each_function_of_the_walk_calls_the_next():
    rows = re.findall(r"^\| (\d) \| `([\w.]+)` in `([\w./]+)`", ARCHITECTURE, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == [1, 2, 3, 4, 5, 6]
    bodies = [body_of(ROOT / file, name) for _, name, file in rows]
    for (_, name, _), body in zip(rows[1:], bodies, strict=False):
        assert re.search(rf"\b{name.rpartition('.')[2]}\b", body), f"{name} is not called"
    assert "_gradients" in bodies[-1]


def body_of(path: Path, name: str) -> str:
    """Return the source of a function or method."""
    source = path.read_text(encoding="utf-8")
    scope: ast.AST = ast.parse(source)
    for part in name.split("."):
        scope = next(node for node in ast.walk(scope) if getattr(node, "name", None) == part)
    return ast.get_source_segment(source, scope) or ""
