"""Says in one line why a script cannot import Inkwell, and ends it; run by path, since nothing of ours may be there."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def reason(error: BaseException | None) -> str | None:
    """Return what is wrong and how to mend it; None if `error` is no matter of what is installed."""
    install = "run in its folder: python -m pip install -e ."
    for package in ("trainer", "plugins", "models", "scripts"):
        spec = find_spec(package)
        if spec is None:
            return f"Inkwell is not installed (no {package}); {install}"
        found = spec.origin or next(iter(spec.submodule_search_locations or ()), "nowhere")
        if ROOT / package not in (Path(found).resolve().parent, Path(found).resolve()):
            return (
                f"{found} was found in the place of Inkwell's package {package!r}; rename or uninstall it, "
                "or take its folder off the path"
            )
    if isinstance(error, ModuleNotFoundError):
        return f"Inkwell is not installed (no {error.name}); {install}"
    return None


if said := reason(sys.exc_info()[1]):
    program = getattr(sys.modules["__main__"], "__file__", None) or "inkwell"  # `sys.argv` is this file now
    sys.exit(f"{Path(program).name}: {said}")
