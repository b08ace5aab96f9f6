"""Debian's Chromium on a real gateway with a real fleet. Whatever a page asks of another host, or says on its console,
fails its test."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from page.board import Board
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.settings import load_settings
from support.fleet import TestFleet
from support.http.gateway import TestGateway

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Request

OpenPage = Callable[..., Board]
_NAMES = ("chromium", "chromium-browser", "google-chrome")


# Not for the session: Playwright leaves an event loop running in this thread, where no asyncio test can have its own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium of the system's; nothing is downloaded."""
    api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright: pip install playwright")
    binary = next(filter(None, map(shutil.which, _NAMES)), None)
    if binary is None:
        pytest.skip("the page's tests need a Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        # As root its sandbox can't be had.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = playwright.chromium.launch(executable_path=binary, args=arguments)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def shown(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestGateway]:
    """A gateway with one worker for the tests that change neither. It takes what would be late, so that it is late."""
    folder = tmp_path_factory.mktemp("page")
    settings = load_settings(redis_url=server.url, namespace=f"page-{uuid.uuid4().hex[:12]}", refuse=False)
    with TestFleet(settings, folder) as fleet, TestGateway(settings, folder / "gateway.log") as gateway:
        fleet.start()
        yield gateway.wait_ready()


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenPage]:
    """Open the page of a gateway as a new visitor: `open_page(url, expected=("429",), **options of the context)`.

    `expected` are parts of what the browser may write on its console, such as the status of a refused request.
    """
    visitors: list[tuple[Board, tuple[str, ...], list[str]]] = []

    def open_one(url: str, *, expected: tuple[str, ...] = (), opened: bool = True, **options: Any) -> Board:
        context = browser.new_context(**options)
        page = context.new_page()
        faults: list[str] = []

        def asked(sent: Request) -> None:
            if not sent.url.startswith((url, "data:")):
                faults.append(f"elsewhere: {sent.url}")

        page.on("console", lambda message: faults.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
        page.on("request", asked)
        visitors.append((Board(page), expected, faults))
        return visitors[-1][0].open(url) if opened else visitors[-1][0]

    yield open_one
    found = []
    for board, expected, faults in visitors:
        found += [fault for fault in faults if not any(part in fault for part in expected)]
        board.page.context.close()
    assert found == []
