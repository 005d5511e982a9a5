"""Is the house in order? Imports run one way, and tables name what is there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from conftest import ROOT

import models
import plugins
from trainer import registry

MAY_IMPORT = {"trainer": {"trainer"}, "plugins": {"trainer", "plugins"}, "models": {"trainer", "models"}}
OURS = {"trainer", "plugins", "models", "scripts"}


def imports(path: Path, deep: bool = True) -> set[str]:
    """Return the top-level packages that a file imports, at any depth of its code or only at module level."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if deep else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", [p for top in MAY_IMPORT for p in (ROOT / top).rglob("*.py")], ids=str)
def test_imports_run_one_way(path):
    top = path.relative_to(ROOT).parts[0]
    assert imports(path) & OURS <= MAY_IMPORT[top]


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").glob("*.py")), ids=lambda path: path.name)
def test_plugins_import_tensorflow_only_in_functions(path):
    assert not imports(path, deep=False) & {"tensorflow", "keras"}


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
    import sys
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    declared = {d.split(">=")[0].strip().lower() for group in (project["dependencies"], *extras) for d in group}
    modules = {
        "ai_edge_litert": "ai-edge-litert",
        "ml_dtypes": "ml-dtypes",
        "tomli_w": "tomli-w",
        "PIL": "pillow",
        "skimage": "scikit-image",
        "tensorflow_datasets": "tensorflow-datasets",
    }
    files = [p for top in OURS for p in (ROOT / top).rglob("*.py")]
    beside_scripts = {folder.name for folder in (ROOT / "scripts").iterdir() if folder.is_dir()}
    used = set.union(*map(imports, files)) - set(sys.stdlib_module_names) - OURS - beside_scripts
    assert {modules.get(name, name).lower() for name in used} <= declared
