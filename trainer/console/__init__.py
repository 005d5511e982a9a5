"""Output in a terminal and in a notebook: command lines, tables, listings, progress, the plan of a run."""
