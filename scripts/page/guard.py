"""Guards the page: requests come from its own tabs, under its own names, and from the network only with its token."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .address import in_url

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(:\d+)?")
"""The name or address, and the port, under which a request asks for the page."""

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

NO_TOKEN = "this page is opened with the whole address that draw.py printed, with its token, or with its QR code"


class Guard:
    """Refuses requests under a foreign name, from a foreign page or without the token; puts `HEADERS` on every answer.

    A browser shows the token once, in the address, and from then on in a cookie: the address that stays in the history
    is clean.

    Args:
        app: The application behind it.
        names: What the page is called, beside the address at which a request arrives. Another site's name that was
            made to point here (DNS rebinding) is none of them.
        token: What a browser must show; None if only this machine reaches the page.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str], token: str | None) -> None:
        self.app, self.names, self.token = app, names, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refuse(Request(scope)) or self._admit(Request(scope)) or self.app
        await answer(scope, receive, send_guarded)

    def _refuse(self, request: Request) -> Response | None:
        """Return the answer to a request that no tab of the page can have sent."""
        names = dict.fromkeys([*self.names, in_url(request.scope["server"][0])])
        refusal = refuse(request.method, request.headers, list(names))
        return JSONResponse({"error": refusal}, 403) if refusal else None

    def _admit(self, request: Request) -> Response | None:
        """Return the answer to a request with the token in its address, or with none at all."""
        cookie = f"inkwell-{request.scope['server'][1]}"  # a browser keeps one jar for all ports of a host
        if self.token is None or _is_same(request.cookies.get(cookie), self.token):
            return None
        if request.url.path != "/" or not _is_same(request.query_params.get("token"), self.token):
            return JSONResponse({"error": NO_TOKEN}, 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(cookie, self.token, httponly=True, samesite="strict")
        return answer


def refuse(method: str, headers: Headers, names: Sequence[str]) -> str | None:
    """Return why a request is refused by its headers, or None.

    A browser sends `Origin` with every POST; what sends none is no other site's page.

    Args:
        method: Of the request.
        headers: Of the request.
        names: What the page is called.
    """
    host = headers.get("host", "").lower()
    called = HOST.fullmatch(host)
    if not called or called[1] not in names:
        return f"this page answers only to {', '.join(names[:-1])} and {names[-1]}"
    origin = headers.get("origin")
    if method not in ("GET", "HEAD") and origin is not None and origin.lower() != f"http://{host}":
        return "this page takes nothing from other pages"
    return None


def _is_same(shown: str | None, token: str) -> bool:
    """Return True if a token is the right one, after a time that does not say how much of it is."""
    return secrets.compare_digest((shown or "").encode(), token.encode())
