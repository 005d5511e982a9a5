"""Objects that show themselves: one line at a prompt, a card of HTML in a notebook.

shown.py    the mixin: a class says its line and its card
html.py     pieces of a card; every value is escaped
picture.py  images as a strip
curve.py    learning curves
model.py    models in a few words
"""
