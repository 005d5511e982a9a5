"""Streams: batches in an order of their own, from datasets, Python code and `keras.utils.PyDataset`."""
