"""Guards the page: requests must come from its own tabs, use its own names and, from the network, have its token."""

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
"""The name or address, and the port, in a request's Host header."""

HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Headers of every answer: the page may load only its own files, and no other page may embed it."""

NO_TOKEN = "open this page with the full address printed by draw.py, including its token, or with its QR code"


class Guard:
    """Rejects requests with a foreign host name, from a foreign page or without the token; adds `HEADERS` to answers.

    A browser shows the token once, in the address, and then in a cookie, so that the address in its history is clean.

    Args:
        app: The application behind it.
        names: Accepted host names, besides the address at which a request arrives. This excludes the name of another
            site that was made to point here (DNS rebinding).
        token: Token required from browsers; None if only this machine can reach the page.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str], token: str | None) -> None:
        self.app, self.names, self.token = app, names, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refuse(Request(scope)) or self._admit(Request(scope)) or self.app
        await answer(scope, receive, send_guarded)

    def _refuse(self, request: Request) -> Response | None:
        """Return the rejection of a request that no tab of the page can have sent."""
        names = dict.fromkeys([*self.names, in_url(request.scope["server"][0])])
        refusal = refuse(request.method, request.headers, list(names))
        return JSONResponse({"error": refusal}, 403) if refusal else None

    def _admit(self, request: Request) -> Response | None:
        """Return the answer to a request that shows the token in its address, or does not have it."""
        cookie = f"inkwell-{request.scope['server'][1]}"  # browsers share cookies among all ports of a host
        if self.token is None or _is_same(request.cookies.get(cookie), self.token):
            return None
        if request.url.path != "/" or not _is_same(request.query_params.get("token"), self.token):
            return JSONResponse({"error": NO_TOKEN}, 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(cookie, self.token, httponly=True, samesite="strict")
        return answer


def refuse(method: str, headers: Headers, names: Sequence[str]) -> str | None:
    """Return why a request is rejected because of its headers, or None.

    Browsers send `Origin` with every POST, so a request without it does not come from another site's page.

    Args:
        method: The request's method.
        headers: The request's headers.
        names: Accepted host names.
    """
    host = headers.get("host", "").lower()
    called = HOST.fullmatch(host)
    if not called or called[1] not in names:
        return f"this page answers only to {', '.join(names[:-1])} and {names[-1]}"
    origin = headers.get("origin")
    if method not in ("GET", "HEAD") and origin is not None and origin.lower() != f"http://{host}":
        return "this page accepts nothing from other pages"
    return None


def _is_same(shown: str | None, token: str) -> bool:
    """Return True if a token is correct, in constant time."""
    return secrets.compare_digest((shown or "").encode(), token.encode())
