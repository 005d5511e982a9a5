"""Progress of training on stderr: a live display in a terminal, otherwise one plain line per epoch."""
