"""Serves the page and the files it is made of, from memory. The names are a closed list, so that no path leads outside.

The page asks for a key itself, so it needs none. A browser is told to run nothing but these files, to ask nobody but
this gateway, and to show the page in no other's frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import resources

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

INDEX = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Browsers keep a file but revalidate it: another release has other files under the same names.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it is sent."""

    content: bytes
    media_type: str

    @property
    def etag(self) -> str:
        """Changes with the content, and only with it."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


def load_files() -> dict[str, StaticFile]:
    """Return the files of the page by name."""
    folder = resources.files("rerank_producer.gateway").joinpath("page")
    found = {each.name: _TYPES.get("." + each.name.rpartition(".")[2]) for each in folder.iterdir()}
    return {name: StaticFile(folder.joinpath(name).read_bytes(), kind) for name, kind in found.items() if kind}


def routes() -> list[Route]:
    """Return the routes of the page: `/` and `/static/{name}`."""
    files = load_files()

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        return _send(request, files.get(name) if name != INDEX else None)

    return [
        Route("/", _always(files[INDEX]), name="page", include_in_schema=False),
        Route("/static/{name}", static, name="static", include_in_schema=False),
    ]


def _always(file: StaticFile) -> Callable[[Request], Awaitable[Response]]:
    async def index(request: Request) -> Response:
        return _send(request, file)

    return index


def _send(request: Request, file: StaticFile | None) -> Response:
    if file is None:
        return PlainTextResponse("not found\n", 404, headers=dict(HEADERS))
    headers = {**HEADERS, "ETag": file.etag}
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
