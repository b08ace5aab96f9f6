"""Equal pairs that several callers want at once: run for the first, found in the cache by the others."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from producer.conftest import Echo, serve_echo
from producer.echo_worker import identity_of, score
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient
from rerank_shared import fleet
from rerank_shared.contract import wire
from rerank_shared.contract.digest import pair_digests
from rerank_shared.contract.messages import PairClaim
from rerank_shared.keys import CacheScope
from rerank_shared.scheduling.cost import CostParameters, SharedCost
from rerank_shared.settings import load_settings
from support.waiting import wait_until

MODEL = "cross-encoder/ms-marco-MiniLM-L-12-v2"


@pytest.fixture(scope="module")
def echo(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    """A fleet of these tests' own: with a known cost, jobs that other tests left unanswered would count as a wait."""
    settings = load_settings(redis_url=server.url, namespace=f"claims-{uuid.uuid4().hex[:12]}")
    yield from serve_echo(settings, tmp_path_factory.mktemp("claims") / "worker.log")


@pytest.fixture
def callers(echo: Echo) -> Iterator[tuple[RerankClient, RerankClient]]:
    """Two callers of a fleet that knows what running costs: a second for each pair."""
    fleet.share_cost(echo.client, echo.keys, [MODEL], "p|h", SharedCost(CostParameters(1.0, 0.0, 0.0)))
    changed = echo.settings.model_copy(update={"single_flight": True})
    with RerankClient(changed) as first, RerankClient(changed) as second:
        yield first, second
    echo.client.delete(echo.keys.cost(MODEL))


def texts(count: int) -> list[str]:
    mark = uuid.uuid4().hex
    return [f"text {number} of {mark}" for number in range(count)]


def test_a_pair_in_flight_is_run_once(echo: Echo, callers: tuple[RerankClient, RerankClient]) -> None:
    gate, documents = uuid.uuid4().hex, texts(4)
    query, more = f"gate:{gate}", texts(1)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(callers[0].rerank, query, documents)
        wait_until(lambda: echo.jobs_at(gate), "the worker has the first job")
        two = pool.submit(callers[1].rerank, query, [*documents[2:], *more])
        wait_until(lambda: len(echo.jobs_at(gate)) == 2, "the worker has the second")
        jobs = echo.jobs_at(gate)
        # What a worker does when it answers.
        echo.write_cache({(query, text): score(query, text) for text in documents})
        for _ in range(2):
            echo.open_gate(gate)
        answers = [one.result(), two.result()]
    assert [answer.complete for answer in answers] == [True, True]
    assert [answer.usage.pairs_run for answer in answers] == [4, 1]
    assert {result.index: result.cached for result in answers[1].results} == {0: True, 1: True, 2: False}
    assert sorted(len(echo.seen(job)[0].documents or ()) for job in jobs) == [1, 4]


def test_a_tenant_s_own_pairs_are_left_to_nobody_else(echo: Echo, callers: tuple[RerankClient, RerankClient]) -> None:
    gate, documents = uuid.uuid4().hex, texts(3)
    query = f"gate:{gate}"
    whose: list[tuple[str, CacheScope]] = [("shop", "tenant"), ("news", "tenant"), ("news", "fleet")]
    with ThreadPoolExecutor(3) as pool:
        asked = [
            pool.submit(callers[0].rerank, query, documents, tenant=tenant, cache_scope=scope)
            for tenant, scope in whose
        ]
        wait_until(lambda: len(echo.jobs_at(gate)) == 3, "the worker has all jobs")
        jobs = [echo.seen(job)[0] for job in echo.jobs_at(gate)]
        for _ in asked:
            echo.open_gate(gate)
        answers = [each.result() for each in asked]
    assert [answer.usage.pairs_run for answer in answers] == [3, 3, 3]
    assert sorted(job.cache_tenant or "" for job in jobs) == ["", "news", "shop"]


def test_a_caller_does_not_wait_for_one_that_is_gone(echo: Echo, callers: tuple[RerankClient, RerankClient]) -> None:
    query, documents = f"question {uuid.uuid4().hex}", texts(3)
    digests = pair_digests(identity_of(echo.settings), 512, query, documents)
    claim = wire.encode_pair_claim(PairClaim("nobody", echo.now() + 0.2))
    for digest in digests:
        echo.client.set(echo.keys.flight(digest), claim, px=200)
    answer = callers[1].rerank(query, documents)
    assert answer.complete
    assert answer.usage.pairs_run == 3


def test_what_comes_too_late_is_not_waited_for(echo: Echo, callers: tuple[RerankClient, RerankClient]) -> None:
    query, documents = f"question {uuid.uuid4().hex}", texts(3)
    for digest in pair_digests(identity_of(echo.settings), 512, query, documents):
        echo.client.set(
            echo.keys.flight(digest), wire.encode_pair_claim(PairClaim("bulk", echo.now() + 3_000)), ex=3_000
        )
    assert callers[1].rerank(query, documents, deadline_ms=5_000).usage.pairs_run == 3


def test_claims_end_by_themselves_and_only_where_asked_for(
    echo: Echo, callers: tuple[RerankClient, RerankClient]
) -> None:
    query, documents = f"question {uuid.uuid4().hex}", texts(2)
    digests = pair_digests(identity_of(echo.settings), 512, query, documents)
    with RerankClient(echo.settings) as plain:
        assert plain.rerank(query, documents).complete
    assert echo.client.exists(*map(echo.keys.flight, digests)) == 0
    assert callers[0].rerank(query, documents).complete
    lives = [echo.client.pttl(echo.keys.flight(digest)) for digest in digests]
    # Two pairs of a second each, what waited before them, and the hand-off; the deadline at most.
    assert all(1_500 < life_ms <= echo.settings.default_deadline_ms for life_ms in lives)
