"""Paths as people write them: a slash at the end, or two where a base URL ended in one, name the same as without.

They are served, not redirected to: a redirect would have to name scheme and host, which behind a proxy only it knows,
and most clients don't send a body again.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile(r"/{2,}")


class PlainPaths:
    """ASGI middleware that gives each request the plain form of its path."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        path = scope.get("path", "")
        if scope["type"] == "http" and (path.endswith("/") or "//" in path):
            scope = {**scope, "path": plain(path)}
        await self.app(scope, receive, send)


def plain(path: str) -> str:
    """Return a path without slashes that say nothing."""
    return _SLASHES.sub("/", path).rstrip("/") or "/"
