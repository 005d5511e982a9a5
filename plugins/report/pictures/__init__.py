"""Pictures of a run, and the tables behind them; none needs TensorFlow, and Matplotlib is loaded when one is drawn.

evaluation.py   everything about the model on one set of images
curves.py, confusion.py, reliability.py, errors.py, robustness.py
                one kind of picture each
style.py        what they share
tables.py       tables as CSV
"""
