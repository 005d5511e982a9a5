"""The command line: each file is a command, run as `python scripts/NAME.py` or `inkwell NAME`."""
