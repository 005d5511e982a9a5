"""Pictures of a run, and the tables behind them; none needs TensorFlow, and Matplotlib is loaded when one is drawn.

plugin.py       the hooks
evaluation.py   all about one set of images that the model has read
curves.py, confusion.py, reliability.py, errors.py, robustness.py
                one kind of picture each
style.py        what they share
tables.py       CSV
"""
