"""Several first-stage lists in one call, in both clients, on a real server and a real Celery worker."""

from __future__ import annotations

import pytest

from producer.conftest import Echo
from producer.echo_worker import logit
from producer.test_sync_client import texts
from rerank_producer import AsyncRerankClient, RerankClient, fuse
from rerank_producer.fusion import Documents
from rerank_shared.errors import InvalidRequest

pytestmark = pytest.mark.integration


def test_lists_are_fused_scored_once_and_told_by_rank(client: RerankClient, echo: Echo) -> None:
    both, sparse, dense = texts(3)
    lists: list[Documents] = [[sparse, {"text": both, "id": "both", "metadata": {"page": 3}}], [both, dense]]
    response = client.rerank("q", lists=lists)
    (job,) = echo.seen(response.id)
    assert job.documents == (both, sparse, dense)
    candidates = fuse(lists)
    assert [result.ranks for result in response.results] == [
        list(candidates[result.index].ranks) for result in response.results
    ]
    told = {result.index: result for result in response.results}
    assert (told[0].id, told[0].metadata, told[0].ranks) == ("both", {"page": 3}, [2, 1])
    assert (told[1].ranks, told[2].ranks) == ([1, None], [None, 2])
    assert [told[index].logit for index in range(3)] == [logit("q", text) for text in (both, sparse, dense)]


def test_what_is_not_among_the_best_candidates_is_not_sent(client: RerankClient, echo: Echo) -> None:
    both, sparse, dense = texts(3)
    response = client.rerank("q", lists=[[sparse, both], [both, dense]], max_candidates=2, top_n=1)
    (job,) = echo.seen(response.id)
    assert job.documents == (both, sparse)
    assert len(response.results) == 1


def test_candidates_that_the_caller_fused_are_told_by_rank_too(client: RerankClient) -> None:
    sparse, dense = texts(2)
    candidates = fuse([[sparse], [dense]], weights=[1.0, 2.0])
    response = client.rerank("q", candidates)
    assert {result.index: result.ranks for result in response.results} == {0: [None, 1], 1: [1, None]}
    assert client.rerank("q", [sparse]).results[0].ranks is None


def test_submitted_lists_are_collected_by_their_fused_index(client: RerankClient) -> None:
    both, sparse, dense = texts(3)
    lists: list[Documents] = [[sparse, {"text": both, "id": "both"}], [both, dense]]
    response = client.collect(client.submit("q", lists=lists, max_candidates=2), timeout_ms=20_000)
    assert {result.index: (result.id, result.logit) for result in response.results} == {
        0: ("both", logit("q", both)),
        1: (None, logit("q", sparse)),
    }


async def test_the_asyncio_client_fuses_too(async_client: AsyncRerankClient) -> None:
    both, sparse, dense = texts(3)
    lists = [[sparse, both], [both, dense]]
    response = await async_client.rerank("q", lists=lists, max_candidates=2)
    assert {result.index: result.ranks for result in response.results} == {0: [2, 1], 1: [1, None]}
    handle = await async_client.submit("q", lists=lists)
    assert len((await async_client.collect(handle, timeout_ms=20_000)).results) == 3
    with pytest.raises(InvalidRequest, match=r"^lists: give either"):
        await async_client.submit("q", [both], lists=lists)


def test_lists_without_documents_are_answered_without_a_server() -> None:
    with RerankClient(redis_url="unix:///nowhere/redis.sock") as client:
        assert client.rerank("q", lists=[[], []]).results == []
        assert client.rerank("q", lists=[]).complete
        with pytest.raises(InvalidRequest, match=r"^documents: missing"):
            client.rerank("q")
