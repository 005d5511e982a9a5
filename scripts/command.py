"""The command `inkwell` of an installed Inkwell: `inkwell fit` does what `python scripts/fit.py` does."""

from __future__ import annotations

import ast
import runpy
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

try:
    from trainer.console.cli import run_script
    from trainer.console.output import show
    from trainer.console.starting import starting
    from trainer.errors import unknown
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))
    raise

COMMANDS = {
    name.replace("_", "-"): name
    for name in (
        *("fit", "evaluate", "predict", "draw", "runs", "report", "export", "ensemble"),
        *("mlflow_sync", "promote", "verify_determinism", "bench"),
    )
}
"""The scripts that are commands, by the names that users type."""


def overview() -> str:
    """Return what `inkwell --help` prints: the commands with a line each, from the scripts' first lines."""
    lines = [f"  {name:<{max(map(len, COMMANDS))}}  {_about(script)}" for name, script in COMMANDS.items()]
    head = ("usage: inkwell COMMAND [flags …]", "", "commands:")
    return "\n".join([*head, *lines, "", "inkwell COMMAND --help lists the flags of a command."])


def _about(script: str) -> str:
    text = Path(__file__).with_name(f"{script}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0].partition(": `")[0]


def command() -> int:
    """Run the command that the first argument names; return its exit status.

    Raises:
        UsageError: If there is none of this name.
    """
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        show(overview())
        return 0
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    # As which the script speaks of itself; beside the code, whose git commit a run keeps.
    sys.argv = [str(Path(__file__).with_name(f"inkwell {name}")), *arguments]
    status: int = import_module(f"scripts.{COMMANDS[name]}").main()
    return status


def main() -> NoReturn:
    """Run the command line and exit."""
    starting()
    run_script(command)
