"""The training loop, with spans of compiled steps, hooks, signals, the time ledger and the checks before step 0."""
