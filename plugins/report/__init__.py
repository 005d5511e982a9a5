"""The report of a run: one page to look at, and a model card; both from what lies in the run directory.

contents.py  the contents of a report, from the files of a run directory
page.py     report/index.html, from page.html and page.css
card.py     report/model_card.md, from card.md
rebuild.py  all of it again, pictures too, for `scripts/report.py`
"""
