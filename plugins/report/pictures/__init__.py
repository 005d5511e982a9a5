"""Charts, shaded tables and images of a run, and the tables behind them; none needs TensorFlow.

evaluation.py   numbers, tables and images about one set of images
curves.py, reliability.py, variations.py
                one kind of chart each
confusion.py    the confusion matrix, a table with shades
errors.py       the misclassified images
panel.py        a chart as SVG; its colours are those of templates/colours.css
scale.py        axes and the values written beside them
tables.py       tables as CSV
"""
