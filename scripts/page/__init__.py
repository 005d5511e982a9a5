"""The page of `scripts/draw.py`: `server` serves `app`, which asks `reader`, whose process `worker` reads the pictures.

`address` is where it is served, `welcome` what the terminal says of that. A request comes over a `connection`, passes
the `guard`, has a `body` and becomes a `job`; `shares` deals to clients what is scarce, `limits` says how much of it
there is. `inbox` is where pictures are kept; `static/` is what the browser gets.
"""
