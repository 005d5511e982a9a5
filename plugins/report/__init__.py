"""The report of a run: one page to look at, and a model card; both from what lies in the run directory.

facts.py    what the files of a run say
page.py     report/index.html, from page.html and page.css
card.py     report/model_card.md, from card.md
rebuild.py  all of it again, pictures too, for `scripts/report.py`
"""
