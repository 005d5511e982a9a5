"""Train twice and compare the weights bit for bit: `python scripts/verify_determinism.py --model lenet --steps 50`."""

from __future__ import annotations

import dataclasses
import hashlib
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

try:
    from trainer.checkpoint import Checkpoints, read
    from trainer.config.merge import resolve
    from trainer.config.schema import Config
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say, show
    from trainer.errors import CheckpointError, InkwellError, UsageError
    from trainer.files import scratch
    from trainer.runs import trust
    from trainer.runs.imports import import_named
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    import numpy as np

FIT = Path(__file__).with_name("fit.py")
SILENCED = ("mlflow", "report", "progress")
"""Plugins that are left out because they only observe."""


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(
        description="Train twice in fresh processes and compare the weights; exit status 0 if they are equal, else 1.",
        usage="%(prog)s [-h] [--steps K] [flags of fit.py …]",
        epilog="All other flags are those of fit.py.",
    )
    p.add_argument("--steps", type=int, default=50, metavar="K", help="optimizer steps of each training (default: 50)")
    return p


def fit(*arguments: str | Path) -> str:
    """Run `fit.py` in a separate process and return its output.

    Raises:
        InkwellError: If it fails, with the last line of stderr and its exit status.
    """
    done = subprocess.run([sys.executable, str(FIT), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["fit.py failed without an error message"]
        failure = InkwellError(lines[-1].removeprefix("fit.py: error: "))
        failure.exit_status = done.returncode if done.returncode > 0 else 128 - done.returncode
        raise failure
    return done.stdout


def configuration(flags: Sequence[str], steps: int) -> Config:
    """Return the configuration that `fit.py` would use with `flags`, for `steps` steps and without observing plugins.

    Raises:
        InkwellError: If `fit.py` rejects the flags.
    """
    config = resolve([tomllib.loads(fit(*flags, "--steps", str(steps), "--print-config"))])
    plugins = {name: arguments for name, arguments in config.plugins.items() if name not in SILENCED}
    return dataclasses.replace(config, plugins={**plugins, "checkpoint": plugins.get("checkpoint", {})})


def train(config: Config, run_dir: Path) -> str:
    """Train in a separate process and return the digest of its last checkpoint's arrays.

    The permissions that `fit.py` required to make the configuration are passed to it again.

    Raises:
        InkwellError: If training fails.
        CheckpointError: If it leaves no checkpoint.
    """
    file = run_dir.with_suffix(".toml")
    file.write_text(config.to_toml(), encoding="utf-8")
    fit("--config", file, *trust.flags(config), "--run-dir", run_dir)
    saved = Checkpoints(run_dir / "checkpoints").role("last")
    if saved is None:
        raise CheckpointError("cannot compare the weights: training left no checkpoint `last`")
    return digest(read(saved).arrays)


def digest(arrays: Iterable[np.ndarray]) -> str:
    """Return the SHA-256 hash of the dtypes, shapes and bytes of arrays; their file, which has dates, is not hashed."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype.str}{array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def main() -> int:
    """Train twice as the command line asks; return the exit status."""
    args, flags = parser().parse_known_args()
    if args.steps < 1:
        raise UsageError(f"argument --steps: must be at least 1, not {args.steps} (see --help)")
    digests = []
    with scratch() as folder:
        config = configuration(flags, args.steps)
        import_named(config.imports)
        for number in (1, 2):
            say(f"training {number} of 2: {args.steps} steps")
            digests.append(train(config, folder / f"run-{number}"))
            show(digests[-1])
    equal = digests[0] == digests[1]
    show("equal" if equal else "different")
    return 0 if equal else 1


if __name__ == "__main__":
    run_script(main)
