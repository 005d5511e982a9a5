"""Run directories: writing, finding and reading them, and loading their models."""
