"""The page's routes: its files, the state of the model, pictures to read, pictures to keep."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from . import limits
from .address import Place
from .body import body_of
from .guard import Guard
from .job import Unavailable
from .reader import Reader
from .shares import Budget, Rate, client_name

STATIC = Path(__file__).with_name("static")


def application(reader: Reader, place: Place) -> Starlette:
    """Return the page's application, which runs `reader` for as long as it runs itself."""
    memory, keeping = Budget(limits.BODIES), Rate(limits.KEPT_PER_MINUTE)

    async def status(request: Request) -> Response:
        return JSONResponse(reader.status)

    async def read(request: Request) -> Response:
        return as_json(await ask(request, importance="importance" in request.query_params))

    async def keep(request: Request) -> Response:
        label = request.query_params.get("label")
        if label is None:
            raise HTTPException(422, "cannot keep a picture without a label; add ?label=…")
        if not keeping.take(client := sender(request)):
            left = keeping.seconds_left
            why = f"cannot keep more than {keeping.limit} pictures per minute and device; try again in {left} seconds"
            raise HTTPException(429, why, {"retry-after": str(left)})
        answer: dict[str, Any] = {}
        try:
            answer = await ask(request, label=label)
        finally:
            if not answer.get("is_new"):
                keeping.give_back(client)
        return as_json(answer)

    async def ask(request: Request, **wanted: Any) -> dict[str, Any]:
        client = sender(request)
        async with body_of(request, client, memory) as picture:
            return await reader.ask(client, picture, **wanted)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(reader.run())
        yield
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    return Starlette(
        routes=[
            Route("/status", status),
            Route("/read", read, methods=["POST"]),
            Route("/keep", keep, methods=["POST"]),
            Mount("/", StaticFiles(directory=STATIC, html=True)),
        ],
        middleware=[Middleware(Guard, names=place.names, token=place.token)],
        exception_handlers={HTTPException: refused, Unavailable: unavailable, 500: failed},
        lifespan=lifespan,
    )


def sender(request: Request) -> str:
    """Return the client that a request belongs to."""
    return client_name(request.client.host if request.client else "")


def as_json(answer: dict[str, Any]) -> Response:
    """Return the reader's answer with its status."""
    return JSONResponse(answer, answer.pop("status"))


async def refused(request: Request, error: Exception) -> Response:
    """Return the reason for rejecting a request, as JSON."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def unavailable(request: Request, error: Exception) -> Response:
    """Return why nothing can be read now, as JSON, and when to try again."""
    assert isinstance(error, Unavailable)
    headers = {"retry-after": str(error.retry)} if error.retry else None
    return JSONResponse({"error": str(error)}, 503, headers)


async def failed(request: Request, error: Exception) -> Response:
    """Return a JSON error for a bug of the page; the details are on the terminal."""
    return JSONResponse({"error": "internal error; see the terminal that runs draw.py"}, 500)
