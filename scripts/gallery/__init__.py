"""Pictures of the real thing: commands in a terminal, pages in a browser. See `scripts/pictures.py`."""
