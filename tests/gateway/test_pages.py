"""The page's files: a closed list, sent with a policy that lets nothing else in, and kept by browsers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from rerank_producer.gateway import pages

TRICKS = [
    "/static/../app.py",
    "/static/..%2fapp.py",
    "/static/%2e%2e/app.py",
    "/static/%2e%2e%2fapp.py",
    "/static/....//app.py",
    "/static/..\\app.py",
    "/static/..%5capp.py",
    "/static//etc/passwd",
    "/static/%2fetc%2fpasswd",
    "/static/app.js%00.html",
    "/static/APP.JS",
    "/static/app",
    "/static/",
    "/static/.",
    "/static/page",
    "/static/index.html",
    "/static/app.js/../../pages.py",
    "/index.html",
]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Starlette(routes=list(pages.routes())))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as opened:
        yield opened


async def test_every_file_that_the_page_names_is_there(client: httpx.AsyncClient) -> None:
    named = set(re.findall(r'(?:href|src)="static/([^"]+)"', (await client.get("/")).text))
    scripts = [name for name in named if name.endswith(".js")]
    while scripts:
        imports = set(re.findall(r'from "\./([^"]+)"', (await client.get(f"/static/{scripts.pop()}")).text))
        scripts += imports - named
        named |= imports
    assert named == set(pages.load_files()) - {pages.INDEX}
    for name in named:
        assert (await client.get(f"/static/{name}")).status_code == 200


async def test_types_are_said(client: httpx.AsyncClient) -> None:
    kinds = {
        path: (await client.get(path)).headers["content-type"] for path in ("/", "/static/app.js", "/static/base.css")
    }
    assert list(kinds.values()) == [f"text/{kind}; charset=utf-8" for kind in ("html", "javascript", "css")]


@pytest.mark.parametrize("path", TRICKS)
async def test_no_path_leads_outside(client: httpx.AsyncClient, path: str) -> None:
    # The client would tidy a URL up; the server is given the path as it stands.
    answer = await client.get(path, follow_redirects=True)
    assert answer.status_code == 404
    assert "import" not in answer.text


@pytest.mark.parametrize("raw", ["../pages.py", "..", "/etc/passwd", "app.js\x00", "..\\pages.py", ""])
async def test_a_name_that_is_no_file_s_is_not_found_however_it_got_there(raw: str) -> None:
    scope = {
        "type": "http",
        "method": "GET",
        "headers": [],
        "path_params": {"name": raw},
        "path": "/",
        "query_string": b"",
    }
    static = next(route for route in pages.routes() if route.name == "static")
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await static.app(scope, receive, send)
    assert sent[0]["status"] == 404


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/static/theme.js", "/static/base.css", "/static/no-such"])
async def test_a_browser_is_told_to_let_nothing_else_in(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy.pop("default-src") == policy.pop("base-uri") == policy.pop("form-action") == "'none'"
    assert policy.pop("frame-ancestors") == "'none'"
    assert policy.pop("img-src") == "'self' data:"
    assert set(policy) == {"script-src", "style-src", "connect-src"}
    assert set(policy.values()) == {"'self'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/static/app.js"])
async def test_what_a_browser_has_already_is_not_sent_again(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)
    assert first.headers["cache-control"] == "no-cache"
    for known in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
        again = await client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).content == first.content


def test_a_tag_is_that_of_the_content() -> None:
    files = pages.load_files()
    assert len({file.etag for file in files.values()}) == len(files)


async def test_only_reading_is_served(client: httpx.AsyncClient) -> None:
    assert (await client.head("/")).status_code == 200
    assert (await client.head("/")).content == b""
    assert (await client.post("/")).status_code == 405
    assert (await client.delete("/static/app.js")).status_code == 405


def test_nothing_is_loaded_from_elsewhere_and_no_text_becomes_html() -> None:
    for name, file in pages.load_files().items():
        text = file.content.decode()
        # The names of XML's namespaces are addresses of nothing.
        urls = set(re.findall(r"https?://[^\s'\"`]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not urls, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            name
        )
        assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=", text.replace("<script>alert('lunch')", "")), name
