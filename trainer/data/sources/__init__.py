"""Data sources: names, files, folders, downloads, and a cache for images that do not fit in memory.

This table allows sources to be listed without importing their files.
"""

from trainer.registry import data_sources

data_sources.table(
    {
        "auto": ("trainer.data.sources.mnist:auto", "MNIST if found or downloadable, otherwise mnist5k"),
        "mnist": ("trainer.data.sources.mnist:mnist", "MNIST: 60,000 and 10,000 handwritten digits, or an error"),
        "mnist5k": ("trainer.data.sources.embedded:mnist5k", "5,000 MNIST images that need no download"),
        "fashion_mnist": ("trainer.data.sources.mnist:fashion_mnist", "Fashion-MNIST: clothing in the format of MNIST"),
        "arrays": ("trainer.data.sources.any_rows:arrays", "the arrays of an .npz file as rows of any shape"),
    }
)
