"""The contenders, one per file, each run in its own process by `scripts.benchmarks.worker`."""
