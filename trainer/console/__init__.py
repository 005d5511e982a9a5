"""What a terminal shows: command lines, tables, listings, the plan of a run."""
