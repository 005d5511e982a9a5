"""The page's addresses: its files, the state of the model, a picture to read, a picture to keep."""

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

from .guard import Guard, body_of
from .reader import Reader, Unavailable

STATIC = Path(__file__).with_name("static")


def application(reader: Reader) -> Starlette:
    """Return the page's application, which keeps `reader` running as long as it runs."""

    async def status(request: Request) -> Response:
        return JSONResponse(reader.status)

    async def read(request: Request) -> Response:
        return await answer(request, importance="importance" in request.query_params)

    async def keep(request: Request) -> Response:
        label = request.query_params.get("label")
        if label is None:
            raise HTTPException(422, "it is not said what the picture shows: ?label=…")
        return await answer(request, label=label)

    async def answer(request: Request, **wanted: Any) -> Response:
        said = await reader.ask(await body_of(request), **wanted)
        return JSONResponse(said, said.pop("status"))

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
        middleware=[Middleware(Guard)],
        exception_handlers={HTTPException: refused, Unavailable: unavailable, 500: failed},
        lifespan=lifespan,
    )


async def refused(request: Request, error: Exception) -> Response:
    """Say in JSON what is wrong with a request."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def unavailable(request: Request, error: Exception) -> Response:
    """Say in JSON why nothing can be read."""
    return JSONResponse({"error": str(error)}, 503)


async def failed(request: Request, error: Exception) -> Response:
    """Say in JSON that the page has a fault; what it is stands on the terminal."""
    return JSONResponse({"error": "the page has a fault; its terminal says which"}, 500)
