"""The names that `fit.py` takes: lists of them, and a page about each with its arguments.

Nothing that is listed or explained is imported, so that the answer does not wait for TensorFlow.

kinds.py    what can be named, and by which flag
lists.py    what `--list` prints
recipes.py  what recipes cost and reach
explain.py  what `--help NAME` prints
source.py   what the source says of a function or class: its signature and docstring
"""
