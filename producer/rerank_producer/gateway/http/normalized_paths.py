"""Paths with a slash too many, at the end or doubled behind a base URL, name the same as without.

The gateway serves such a path and does not redirect: a redirect would have to name scheme and host, which only a proxy
before it knows, and most clients don't send a body again.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile(r"/{2,}")


class NormalizedPaths:
    """ASGI middleware that removes superfluous slashes from each request's path."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        path = scope.get("path", "")
        if scope["type"] == "http" and (path.endswith("/") or "//" in path):
            scope = {**scope, "path": normalized(path)}
        await self.app(scope, receive, send)


def normalized(path: str) -> str:
    """Return a path without slashes at its end, and without two in a row."""
    return _SLASHES.sub("/", path).rstrip("/") or "/"
