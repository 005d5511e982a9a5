"""The page of `scripts/draw.py`: `server` serves `app`, which asks `reader`, whose process `worker` reads the pictures.

`guard` is what every request passes first, `inbox` where pictures are kept; `static/` is what the browser gets.
"""
