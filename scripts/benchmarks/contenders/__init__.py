"""The contenders: one per file, each run in a process of its own by `scripts.benchmarks.worker`."""
