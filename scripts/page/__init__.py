"""The web page of `scripts/draw.py`: `server` serves `app`, which asks `reader`, whose process `worker` reads pictures.

`address` is where the page is served, `welcome` what the terminal shows about it. A request comes over a `connection`,
passes the `guard`, has a `body` and becomes a `job`; `shares` divides scarce resources among clients, within `limits`.
`inbox` is where pictures are kept; `static/` is what the browser loads.
"""
