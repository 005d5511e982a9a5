"""Results of recipes and architectures: one committed record per run, and the page generated from them.

A record is taken from a finished run, so a table of many seeds can grow over several sessions without any number
written by hand.

goals.py    the goal of each recipe, and its limits
records.py  the content of a record, its place, and all records
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
