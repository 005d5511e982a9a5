"""The report of a run: a page and a model card, both made from the files of the run directory.

plugin.py    the hooks: write everything once, when the run is over
contents.py  the contents of a report, from the files of a run directory
pictures/    curves, confusion, errors, reliability and robustness, each with its table as CSV
page.py      report/index.html, from page.html and page.css
card.py      report/model_card.md, from card.md
rebuild.py   all of it again, including the pictures, for `scripts/report.py`
"""
