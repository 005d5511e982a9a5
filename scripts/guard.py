"""Explains in one line why a script cannot import Inkwell; run by path, since Inkwell may not be importable."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def reason(error: BaseException | None) -> str | None:
    """Return the problem and its remedy; None if `error` has nothing to do with the installation."""
    install = "run this in its folder: python -m pip install -e ."
    for package in ("trainer", "plugins", "models", "scripts"):
        spec = find_spec(package)
        if spec is None:
            return f"Inkwell is not installed (package {package} is missing); {install}"
        found = spec.origin or next(iter(spec.submodule_search_locations or ()), "nowhere")
        if ROOT / package not in (Path(found).resolve().parent, Path(found).resolve()):
            return (
                f"{found} was found in the place of Inkwell's package {package!r}; rename or uninstall it, "
                "or take its folder off the path"
            )
    if isinstance(error, ModuleNotFoundError):
        return f"Inkwell is not installed (package {error.name} is missing); {install}"
    return None


if problem := reason(sys.exc_info()[1]):
    program = getattr(sys.modules["__main__"], "__file__", None) or "inkwell"  # `sys.argv` names this file now
    sys.exit(f"{Path(program).name}: {problem}")
