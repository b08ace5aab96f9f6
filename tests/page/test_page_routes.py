"""Routes on the page: their shares as a bar, and the rollout that moves them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import StartGateway
from page.board import Board
from page.conftest import OpenPage
from rerank_ops.rollout.record import Records
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.rollout import Record
from rerank_shared.routing.rollout_plan import Bounds, Drift, Plan
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings
from support.pools import IDENTITY, announce

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("page")]
OLD, NEW = "cross-encoder/ms-marco-MiniLM-L-12-v2", "file:models/minilm-v2"
_CONTRAST = Path(__file__).with_name("contrast.js").read_text()
PLAN = Plan((1.0, 5.0, 25.0, 100.0), hold_s=300, bounds=Bounds(drift=0.02))
DRIFT = Drift(queries=20, pairs=400, mean=0.0123, p99=0.05, spearman=0.97)


def lead(settings: Settings, *, failed: int = 0, led: bool = True, **changes: Any) -> None:
    """Leave in Redis what a rollout leaves that holds its second step, and two routes beside it."""
    keys, now = Keys(settings.namespace), time.time()
    with connect(settings) as client:
        for number, model in enumerate((OLD, NEW)):
            identity = replace(IDENTITY, model=model, model_digest=f"d{number}")
            announce(client, keys, identity, f"w{number}", now=now + 3600)
        store = RouteStore(client, keys)
        for weights in ({OLD: 1}, {OLD: 99, NEW: 1}, {OLD: 95, NEW: 5}):
            store.set(read_route("search", {"shares": weights, "about": "the search page"}))
        store.set(read_route("small", {"shares": {OLD: 3, "b": 1}}))
        stages = [{"model": "b"}, {"model": OLD, "keep": 20}]
        store.set(read_route("staged", {"shares": {OLD: 1}, "stages": stages}))
        versions = (store.table().version("search") - 2, 2, 3)
        record = Record("search", OLD, NEW, PLAN, versions, "holding", step=1, held_since=now - 130, drift=DRIFT)
        Records(client, keys, "search").write(replace(record, **changes))
        if led:
            client.set(keys.rollout_holder("search"), "host process 1 abcd 1", ex=3600)
        counts = {f"complete|{OLD}": 990, f"deadline|{OLD}": 10, f"complete|{NEW}": 50 - failed}
        counts |= {f"failed|{NEW}": failed, f"11-25/80|{OLD}": 900, f"11-25/82|{NEW}": 40}
        client.hset(keys.routed("search", 3), mapping=counts)


def shown(board: Board, name: str = "search") -> Any:
    route = board.page.get_by_role("article", name=f"Route {name}")
    route.wait_for()
    return route


def test_shares_are_a_bar_and_the_rollout_tells_its_figures(
    settings: Settings, start_gateway: StartGateway, open_page: OpenPage
) -> None:
    lead(settings)
    board = open_page(start_gateway().url)
    route = shown(board)
    assert route.locator("h4").inner_text() == "search version 3 · the search page"
    assert route.locator(".targets li").all_inner_texts() == [f"{OLD} 95 %", f"{NEW} 5.0 %"]
    widths = "parts => parts.map(part => part.getBoundingClientRect().width)"
    old, new = route.locator(".shares i").evaluate_all(widths)
    assert old > 10 * new
    assert route.locator(".shares .canary").count() == 1
    told = route.locator(".rollout").inner_text()
    assert told.startswith(f"Rollout to {NEW} holds for 2 min, at least 5 min · step 2 of 4")
    figures = dict(zip(route.locator("dt").all_inner_texts(), route.locator("dd").all_inner_texts(), strict=True))
    assert figures == {
        "failed, new": "0 % of 50 requests",
        "failed, old": "1.0 % of 1,000 requests; 1.0 % more is the bound",
        "P95, new by old": "1.21 times; 1.50 times is the bound",
        "drift": "0.0123; 0.02 is the bound",
    }
    assert route.locator(".beyond, .ill").count() == 0
    assert shown(board, "small").locator(".targets li").all_inner_texts() == [f"{OLD} 75 %", "b 25 %"]
    steps = shown(board, "staged").locator(".steps li").all_inner_texts()
    assert steps == ["b all documents", f"{OLD} the best 20"]


def test_what_is_beyond_a_bound_and_a_rollout_that_nobody_leads_are_told(
    settings: Settings, start_gateway: StartGateway, open_page: OpenPage
) -> None:
    lead(settings, failed=5, led=False)
    route = shown(open_page(start_gateway().url))
    assert route.locator(".beyond").all_inner_texts()[0].split("\n")[-1] == "10 % of 50 requests"
    assert "No command leads it now" in route.locator(".rollout.ill").inner_text()


def test_a_rollout_that_went_back_says_why(
    settings: Settings, start_gateway: StartGateway, open_page: OpenPage
) -> None:
    lead(settings, state="returned", reason="errors: 9 of 50 requests failed")
    route = shown(open_page(start_gateway().url))
    assert "went back" in route.locator(".rollout.ill").inner_text()
    assert "errors: 9 of 50 requests failed" in route.locator(".rollout").inner_text()
    assert route.locator(".judged, .canary").count() == 0


@pytest.mark.parametrize("pixels", [320, 390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_routes_fit_and_can_be_read(
    settings: Settings, start_gateway: StartGateway, open_page: OpenPage, scheme: Any, pixels: int
) -> None:
    lead(settings, failed=5, led=False)
    board = open_page(start_gateway().url, color_scheme=scheme, viewport={"width": pixels, "height": 800})
    shown(board)
    found = board.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert found == [pixels, pixels]
    lowest, where = board.page.evaluate(_CONTRAST)
    assert lowest >= 4.5, where
