"""Plugin for `fit.py --import scripts.benchmarks.first_step`, which reports a run's first step and ends the process.

If `INKWELL_BENCH_FIRST_STEP` is set, the time, step and ledger are written to the file it names. Otherwise, if
`INKWELL_BENCH_STOP_AT` is set, the run is stopped after that step as by `kill`.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from trainer.engine.ledger import Ledger
from trainer.plugin import Every, Plugin
from trainer.registry import plugins
from trainer.run import Run

from . import FILE, STOP_AT

_ledgers: list[Ledger] = []
_begin = Ledger.__init__


def _remember(ledger: Ledger, *args: Any, **kwargs: Any) -> None:
    _begin(ledger, *args, **kwargs)
    _ledgers.append(ledger)


Ledger.__init__ = _remember  # type: ignore[method-assign,assignment]  # plugins have no access to the ledger


@plugins.register("first_step")
class FirstStep(Plugin):
    """Ends the process after a step."""

    every = Every(steps=1)

    def on_step_end(self, run: Run) -> None:
        """Report and end at once, or request the end."""
        if FILE in os.environ:
            float(run.loss)
            report = {"time": time.time(), "step": run.step, "ledger": [dict(ledger.seconds) for ledger in _ledgers]}
            Path(os.environ[FILE]).write_text(json.dumps(report))
            os._exit(0)
        elif run.step == int(os.environ.get(STOP_AT, "0")):
            os.kill(os.getpid(), signal.SIGTERM)
