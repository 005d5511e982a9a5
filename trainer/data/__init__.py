"""From files and names to batches: sources, canonical order and splits, augmentation, pipelines."""
