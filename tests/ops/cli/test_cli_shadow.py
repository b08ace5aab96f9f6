"""What `rerank-fleet shadow report` prints, on a real server with figures that shadows left there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from typer.testing import CliRunner

from rerank_ops.cli.app import app
from rerank_shared.drift.figures import Models
from rerank_shared.drift.worst import KEEP_WORST, WorstQuery, keep_call
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings, to_environ

pytestmark = pytest.mark.integration
LIVE, SHADOW = "org/a-model-with-a-long-name-of-its-own", "org/another-model-with-a-long-name-of-its-own"
HEADING = f"search version 1: {LIVE}, shadow {SHADOW}"


@pytest.fixture
def server_side(settings: Settings, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    for name, value in to_environ(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "80")
    with connect(settings) as connected:
        RouteStore(connected, keys).set(read_route("search", {"shares": {LIVE: 1}, "shadow": {SHADOW: 1}}))
        yield connected


def count(server_side: redis.Redis, keys: Keys, **counts: int) -> None:
    models = Models(LIVE, SHADOW)
    server_side.hset(keys.shadowed("search", 1), mapping={models.field(what): of for what, of in counts.items()})


def report() -> list[str]:
    result = CliRunner().invoke(app, ["shadow", "report", "search"])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_where_nothing_was_compared_only_the_reasons_are_told(server_side: redis.Redis, keys: Keys) -> None:
    count(server_side, keys, no_workers=3, busy=2)
    assert report() == [HEADING, "  requests    5 sampled, 0 compared, dropped 5: 3 no_workers, 2 busy"]


def test_a_shadow_without_figures_is_there_and_when_some_come_is_told(server_side: redis.Redis, keys: Keys) -> None:
    waits = f"search version 1, shadow {SHADOW}: no figures yet; they come within seconds of an interactive request"
    assert [line[: len(waits)] for line in report()] == [waits]
    store = RouteStore(server_side, keys)
    store.set(read_route("search", {"shares": {LIVE: 1}, "shadow": {SHADOW: 1}, "stages": [{"model": LIVE}]}))
    assert report() == ["search version 2 has stages, so no shadow scores its requests"]
    store.set(read_route("search", {"shares": {LIVE: 1}}))
    assert report() == ["no shadow has scored a request; `rerank-fleet route set ROUTE --shadow MODEL=SHARE` adds one"]


def test_the_text_of_a_query_commands_no_terminal(server_side: redis.Redis, keys: Keys) -> None:
    count(server_side, keys, compared=1)
    worst = WorstQuery(
        query_digest="d", live=LIVE, shadow=SHADOW, rank=0.1, documents=3, overlap=0.5, spearman=0.25,
        mean_difference=0.125, at=1.0, query="one\x1b[2J\n[bold]two",
    )  # fmt: skip
    KEEP_WORST(server_side, [keys.shadow_worst("search", 1)], *keep_call([worst]))
    assert report()[-1] == "  one�[2J [bold]two                         3    50.0%    0.2500      0.1250"
