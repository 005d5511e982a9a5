"""Streams: batches in their own order, from datasets, Python code and `keras.utils.PyDataset`."""
