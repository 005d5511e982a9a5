"""The loop and what it calls: spans of compiled steps, hooks, signals, the time ledger, the checks before step 0."""
