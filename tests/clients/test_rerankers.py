"""The `rerankers` package's ranker for APIs, by the providers whose APIs the gateway speaks."""

from __future__ import annotations

from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

rankers = pytest.importorskip("rerankers.models.api_rankers", reason="needs rerankers[api]: `make test-clients`")
pytestmark = CLIENTS

#: Provider, the model asked for, and the path: this client takes the whole URL.
PROVIDERS = [
    ("cohere", "rerank-v3.5", "/v1/rerank"),
    ("jina", "jina-reranker-v2-base-multilingual", "/v1/rerank"),
    ("voyage", "rerank-2.5", "/v1/rerank"),
    ("text-embeddings-inference", "any", "/rerank"),
]


def ranker(served: Served, provider: tuple[str, str, str], key: str | None = None) -> Any:
    name, model, path = provider
    return rankers.APIRanker(model, key or served.keys.plain, name, verbose=0, url=served.url + path)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider[0])
def test_ranks_as_the_fleet_does(served: Served, provider: tuple[str, str, str]) -> None:
    found = ranker(served, provider).rank(QUERY, DOCUMENTS, doc_ids=list(range(len(DOCUMENTS))))
    assert [(result.doc_id, result.score) for result in found.results] == served.ranked()
    assert [result.text for result in found.top_k(3)] == [DOCUMENTS[index] for index, _ in served.ranked(3)]


async def test_async(served: Served) -> None:
    found = await ranker(served, PROVIDERS[0]).rank_async(QUERY, DOCUMENTS)
    assert [(result.doc_id, result.score) for result in found.results] == served.ranked()


@pytest.mark.parametrize(("number", "error"), [(0, KeyError), (1, KeyError), (2, KeyError), (3, TypeError)])
def test_sees_no_status_so_an_error_is_no_answer(served: Served, number: int, error: type[Exception]) -> None:
    """It reads every answer as scores; what matters is that an error does not pass for them."""
    with pytest.raises(error):
        ranker(served, PROVIDERS[number], served.keys.wrong).rank(QUERY, DOCUMENTS)
