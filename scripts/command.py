"""The command `inkwell` of an installed Inkwell: `inkwell fit` does the same as `python scripts/fit.py`."""

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
    """Return the text of `inkwell --help`: each command with the first line of its script's docstring."""
    lines = [f"  {name:<{max(map(len, COMMANDS))}}  {_about(script)}" for name, script in COMMANDS.items()]
    head = ("usage: inkwell COMMAND [flags …]", "", "commands:")
    return "\n".join([*head, *lines, "", "inkwell COMMAND --help lists the flags of a command."])


def _about(script: str) -> str:
    text = Path(__file__).with_name(f"{script}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0].partition(": `")[0]


def command() -> int:
    """Run the command named by the first argument; return its exit status.

    Raises:
        UsageError: If the command does not exist.
    """
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        show(overview())
        return 0
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    # The name in the script's own messages; next to the code, whose git commit is recorded in runs.
    sys.argv = [str(Path(__file__).with_name(f"inkwell {name}")), *arguments]
    status: int = import_module(f"scripts.{COMMANDS[name]}").main()
    return status


def main() -> NoReturn:
    """Run the command line and exit."""
    starting()
    run_script(command)
