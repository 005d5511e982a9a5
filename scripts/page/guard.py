"""What the page lets in: requests that this machine's own browser tabs of it send, of bounded size and time."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trainer.data.sources.image import MAX_BYTES

HOSTS = ("127.0.0.1", "localhost")
"""Names of this machine. Another site's name that was made to point here (DNS rebinding) is none of them."""

DROPPED_BYTES = 20 * MAX_BYTES
"""How much of a body is received at most; what is beyond `MAX_BYTES` is dropped."""

PATIENCE = 20.0
"""Seconds that a body may take."""

HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Sent with every answer: the page may load its own files and nothing else, and nobody may embed it."""


class Guard:
    """Refuses requests under a foreign name or from a foreign page, and puts `HEADERS` on every answer.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = refuse(scope["method"], Headers(scope=scope))
        answer = JSONResponse({"error": refusal}, 403) if refusal else self.app
        await answer(scope, receive, send_guarded)


def refuse(method: str, headers: Headers) -> str | None:
    """Return why a request is refused by its headers, or None.

    A browser sends `Origin` with every POST; what sends none is no other site's page.
    """
    host = headers.get("host", "")
    if host.partition(":")[0].lower() not in HOSTS:
        return "this page answers only to localhost and 127.0.0.1"
    origin = headers.get("origin")
    if method not in ("GET", "HEAD") and origin is not None and origin.lower() != f"http://{host.lower()}":
        return "this page takes nothing from other pages"
    return None


async def body_of(request: Request) -> bytes:
    """Return the body of a request.

    One that is too long is received to its end and dropped: a refusal sent before would be lost with the connection.

    Raises:
        HTTPException: If it is empty, longer than `MAX_BYTES`, or takes longer than `PATIENCE`.
    """
    body, size = bytearray(), 0
    closing = {"connection": "close"}
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= MAX_BYTES:
                    body += chunk
                elif size > DROPPED_BYTES:
                    break
    except TimeoutError as error:
        raise HTTPException(408, f"the picture did not arrive within {PATIENCE:.0f} seconds", closing) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the connection was lost", closing) from error
    if size > MAX_BYTES:
        raise HTTPException(413, f"the picture is larger than {MAX_BYTES / 1e6:.0f} MB", closing)
    if not body:
        raise HTTPException(422, "there is no picture in this request")
    return bytes(body)
