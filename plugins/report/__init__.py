"""The report of a run: a page and a model card, both made from the files of the run directory.

plugin.py      the hooks: write everything once, when the run is over
evaluated.py   the findings about one set of images, from a folder
contents.py    the contents of a report: findings about the test images, history, result, origin
next_steps.py  remarks on the numbers, and commands to copy
pictures/      learning curves, confusion matrix, errors, reliability, variations, each with its table as CSV
rendering.py   templates, and how values are shown in them
page.py        report/index.html and the charts as SVG, from templates/
card.py        report/model_card.md, from templates/card.md
rebuild.py     all of it again, including the tables, for `scripts/report.py`
"""
