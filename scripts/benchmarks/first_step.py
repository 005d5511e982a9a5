"""A plugin for `fit.py --import scripts.benchmarks.first_step`: the process says when its first step is done, and ends.

With `INKWELL_BENCH_FIRST_STEP` set, the file of that name gets the moment, the step and the ledger. Otherwise, with
`INKWELL_BENCH_STOP_AT`, the run is stopped after that step as by `kill`.
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


Ledger.__init__ = _remember  # type: ignore[method-assign,assignment]  # plugins do not see the ledger, and need not


@plugins.register("first_step")
class FirstStep(Plugin):
    """Ends the process after a step."""

    every = Every(steps=1)

    def on_step_end(self, run: Run) -> None:
        """Report and end at once, or ask for the end."""
        if FILE in os.environ:
            float(run.loss)
            facts = {"time": time.time(), "step": run.step, "ledger": [dict(ledger.seconds) for ledger in _ledgers]}
            Path(os.environ[FILE]).write_text(json.dumps(facts))
            os._exit(0)
        elif run.step == int(os.environ.get(STOP_AT, "0")):
            os.kill(os.getpid(), signal.SIGTERM)
