"""Where images come from: names, files, folders, downloads, and the cache of what does not fit in memory.

Sources are listed here by name, so that they can be named without importing their files.
"""

from trainer.registry import data_sources

data_sources.table(
    {
        "auto": ("trainer.data.sources.mnist:auto", "MNIST if it is there or can be downloaded, otherwise mnist5k"),
        "mnist": ("trainer.data.sources.mnist:mnist", "MNIST: 60,000 and 10,000 handwritten digits, or an error"),
        "mnist5k": ("trainer.data.sources.embedded:mnist5k", "5,000 MNIST images that need no download"),
        "fashion_mnist": ("trainer.data.sources.mnist:fashion_mnist", "Fashion-MNIST: clothes in the form of MNIST"),
    }
)
