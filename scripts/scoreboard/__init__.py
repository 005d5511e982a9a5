"""What recipes and architectures reach: one committed record a run, and the page made of them.

A record is what a finished run says of itself, so a table of many seeds grows over several sittings, and no number in
it was written by hand.

goals.py    what each recipe is for, and what it may take
records.py  what is kept of a run, where, and all that is kept
page.py     RESULTS.md, and the first line of a recipe's file
"""

from scripts.scoreboard.goals import GOALS, ZOO, ZOO_EPOCHS, Goal
from scripts.scoreboard.page import head, networks, page
from scripts.scoreboard.records import Records, is_examined, place, read_records, record, write_record

__all__ = [
    "GOALS",
    "ZOO",
    "ZOO_EPOCHS",
    "Goal",
    "Records",
    "head",
    "is_examined",
    "networks",
    "page",
    "place",
    "read_records",
    "record",
    "write_record",
]
