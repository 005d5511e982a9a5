"""What is measured: one contender a file, each run in a process of its own by `scripts.benchmarks.worker`."""
