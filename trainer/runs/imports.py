"""Imports of modules that the user names; names in a run or configuration file never cause an import by themselves.

An imported module runs with all the user's rights. A module is therefore imported only if `--import` names it or an
installed package offers it by entry point, and never from inside a run directory.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path

from trainer import registry, startup
from trainer.errors import UsageError
from trainer.text import first_line


def import_named(named: Iterable[str], recorded: Collection[str] = (), whose: str = "") -> None:
    """Import the modules that the user names, and those recorded modules that installed packages offer.

    Recorded modules that are already loaded, because the user named them earlier in this process, are accepted.

    Args:
        named: Modules that the user names.
        recorded: Modules that a run or a configuration file names.
        whose: Origin of the recorded modules, for messages.

    Raises:
        UsageError: If a module cannot be imported or is in a run directory, or a recorded one is neither named nor
            offered; the message ends with the flags to add.
    """
    for module in dict.fromkeys(named):
        import_user_module(module)
    recorded = [module for module in dict.fromkeys(recorded) if module not in sys.modules]
    if foreign := [module for module in recorded if not registry.is_offered(module)]:
        raise UsageError(
            f"{whose} needs to import {', '.join(foreign)}, and importing runs code; if you trust that, add "
            f"{' '.join(f'--import {module}' for module in foreign)}"
        )
    for module in recorded:
        import_user_module(module)


def import_user_module(module: str) -> None:
    """Import a module that registers models or plugins, also from the current folder.

    Raises:
        UsageError: If it cannot be imported, or is in a run directory.
    """
    try:
        _locate(module)
        with startup.without_chatter():
            import_module(module)
    except UsageError:
        raise
    except Exception as error:  # a user's module may raise anything
        raise UsageError(f"--import {module}: {type(error).__name__}: {first_line(error)}") from error


def _locate(module: str) -> None:
    """Locate a module, package by package; each is imported only after its location has been checked.

    Raises:
        UsageError: If one is in a run directory.
    """
    here, names = Path.cwd(), module.split(".")
    inside = _run_around([here])
    if inside is None:
        _beside(here).wanted = names[0]
    for depth in range(1, len(names) + 1):
        spec = find_spec(".".join(names[:depth]))
        if spec is None and inside is None:
            return  # the import reports what is missing
        run = inside if spec is None else _run_around(_places(spec))
        if run is not None:
            raise UsageError(
                f"--import {module}: nothing is imported from inside a run directory such as {run}; "
                "move the module elsewhere, and start from there"
            )


def _run_around(places: Iterable[Path]) -> Path | None:
    """Return the run directory that contains one of the paths; None if there is none."""
    from trainer.runs.files import is_run  # imports much, and few commands name a module

    spellings = (spelling for place in places for spelling in (place.absolute(), place.resolve()))
    return next((folder for path in spellings for folder in (path, *path.parents) if is_run(folder)), None)


def _places(spec: ModuleSpec) -> list[Path]:
    """Return the files and folders of a module."""
    own = [spec.origin] if spec.has_location and spec.origin is not None else []
    return [Path(place) for place in (*own, *(spec.submodule_search_locations or ()))]


class _Beside(MetaPathFinder):
    """Finds modules that the user names in a folder, and the neighbouring modules that those import.

    The folder is not on `sys.path`, since nothing else, such as an optional package that is not installed, may be found
    in it.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.wanted = folder, ""
        self._found: set[str] = set()

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Return the spec of a module, if it is in the folder and may be found there."""
        if path is not None or (name != self.wanted and _importer() not in self._found):
            return None
        spec = PathFinder.find_spec(name, [str(self.folder)])
        if spec is not None:
            self._found.add(name)
        return spec


@cache
def _beside(folder: Path) -> _Beside:
    """Return the finder for a folder, which comes last, so that it hides nothing installed."""
    finder = _Beside(folder)
    sys.meta_path.append(finder)
    return finder


def _importer() -> str:
    """Return the top-level name of the module whose code is currently importing."""
    frame = sys._getframe(1)
    while (name := frame.f_globals.get("__name__", "")) == __name__ or name.partition(".")[0] == "importlib":
        if frame.f_back is None:
            return ""
        frame = frame.f_back
    return str(name).partition(".")[0]
