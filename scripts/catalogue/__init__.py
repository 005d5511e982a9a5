"""The names that `fit.py` takes: lists of them, and a page about each with its arguments.

Nothing that is listed or explained is imported, so that nobody waits for TensorFlow.

kinds.py    the kinds of names, with the flags that take them
lists.py    the output of `--list`
recipes.py  cost and accuracy of the recipes
explain.py  the page of `--help NAME`
source.py   signature and docstring of a function or class, read from its source
"""
