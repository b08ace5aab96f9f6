"""Fusion when the server is full, slow to answer or away: the order never waits for what is learned."""

from __future__ import annotations

import pytest

from producer import echo_worker
from producer.conftest import Echo
from producer.test_sync_client import texts
from rerank_producer import RerankClient
from rerank_shared import fleet
from rerank_shared.cache import ScoreWrites
from rerank_shared.contract.digest import pair_digests
from rerank_shared.contract.messages import Score
from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import load_settings
from support.queue.full_server import BINARIES, fill_up, small_server

pytestmark = pytest.mark.integration


def test_what_is_learned_lies_under_one_key_a_first_stage(client: RerankClient, echo: Echo) -> None:
    documents = texts(3)
    for name in ("bm25-kept", "dense-kept"):
        for _ in range(2):
            client.rerank("q", documents, fusion="weighted", scores=[3, 2, 1], first_stage=name)
    found = sorted(key.decode() for key in echo.client.scan_iter(match=f"{echo.keys.prefix}deviations:*-kept"))
    assert [name.rsplit(":", 1)[1] for name in found] == ["bm25-kept", "dense-kept"]
    assert all(echo.client.ttl(name) > 0 for name in found)


@pytest.mark.parametrize("binary", BINARIES)
def test_a_full_server_learns_nothing_and_cached_pairs_are_fused_all_the_same(binary: str) -> None:
    with small_server(binary) as server:
        settings = load_settings(redis_url=server.url, namespace="full")
        identity, documents = echo_worker.identity_of(settings), ["a", "b"]
        with connect(settings) as redis, RerankClient(settings) as client:
            pipe = redis.pipeline(transaction=False)
            fleet.announce(pipe, Keys("full"), identity, float(redis.time()[0]))
            digests = pair_digests(identity, 512, "q", documents)
            scores = dict(zip(digests, [Score(1.0, 5, False), Score(2.0, 5, False)], strict=True))
            ScoreWrites(scores, 600).add_to(pipe, Keys("full"))
            pipe.execute()
            client.rerank("q", documents, fusion="weighted", scores=[9, 1])
            fill_up(redis, Keys("full"))
            for _ in range(3):
                response = client.rerank("q", documents, fusion="weighted", scores=[9, 1], fusion_weight=4)
                assert [result.index for result in response.results] == [0, 1]
            assert not list(redis.scan_iter(match="full:deviations:*"))


def test_while_the_server_is_away_nothing_is_said_of_fusion_but_that_it_is_away() -> None:
    with RerankClient(redis_url="redis://127.0.0.1:1/0") as client, pytest.raises(QueueUnavailable):
        client.rerank("q", ["a", "b"], fusion="weighted", scores=[2, 1], deadline_ms=500)
