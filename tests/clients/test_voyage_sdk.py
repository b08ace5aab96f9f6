"""The `voyageai` SDK, sync and async. Its base URL ends in /v1."""

from __future__ import annotations

from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

voyageai = pytest.importorskip("voyageai", reason="needs the voyageai SDK: `make test-clients`")
pytestmark = CLIENTS

MODEL = "rerank-2.5"


def scores(response: Any) -> list[tuple[int, float]]:
    return [(result.index, result.relevance_score) for result in response.results]


def client(served: Served, key: str | None = None, **options: Any) -> Any:
    return voyageai.Client(key or served.keys.plain, base_url=f"{served.url}/v1", **options)


@pytest.mark.parametrize("top_k", [None, 3])
def test_ranks_as_the_fleet_does(served: Served, top_k: int | None) -> None:
    response = client(served).rerank(QUERY, DOCUMENTS, model=MODEL, top_k=top_k)
    assert scores(response) == served.ranked(top_k)
    assert [result.document for result in response.results] == [DOCUMENTS[i] for i, _ in served.ranked(top_k)]
    # The query counts once for each document.
    assert response.total_tokens > len(DOCUMENTS) * len(QUERY.split())


def test_asks_for_the_fleets_model_by_its_own_name(served: Served) -> None:
    assert scores(client(served).rerank(QUERY, DOCUMENTS, model=served.model)) == served.ranked()


def test_base_without_version(served: Served) -> None:
    response = voyageai.Client(served.keys.plain, base_url=served.url).rerank(QUERY, DOCUMENTS, model=MODEL)
    assert scores(response) == served.ranked()


async def test_async(served: Served) -> None:
    asynchronous = voyageai.AsyncClient(served.keys.plain, base_url=f"{served.url}/v1")
    assert scores(await asynchronous.rerank(QUERY, DOCUMENTS, model=MODEL, top_k=3)) == served.ranked(3)


def test_wrong_key_is_an_authentication_error(served: Served) -> None:
    with pytest.raises(voyageai.error.AuthenticationError, match="API key"):
        client(served, served.keys.wrong).rerank(QUERY, DOCUMENTS, model=MODEL)


async def test_wrong_key_is_an_authentication_error_async(served: Served) -> None:
    asynchronous = voyageai.AsyncClient(served.keys.wrong, base_url=f"{served.url}/v1")
    with pytest.raises(voyageai.error.AuthenticationError):
        await asynchronous.rerank(QUERY, DOCUMENTS, model=MODEL)


def test_spent_key_is_a_rate_limit_error(served: Served, drained_key: str) -> None:
    with pytest.raises(voyageai.error.RateLimitError, match="Try again in"):
        client(served, drained_key).rerank(QUERY, DOCUMENTS, model=MODEL)


@pytest.mark.parametrize("wrong", [{"query": ""}, {"documents": []}, {"top_k": -1}], ids=str)
def test_invalid_request_names_the_field(served: Served, wrong: dict[str, Any]) -> None:
    request = {"query": QUERY, "documents": DOCUMENTS, "model": MODEL} | wrong
    with pytest.raises(voyageai.error.InvalidRequestError, match=next(iter(wrong))):
        client(served).rerank(**request)


def test_too_many_documents_are_an_invalid_request(served: Served) -> None:
    with pytest.raises(voyageai.error.InvalidRequestError, match="documents"):
        client(served, served.keys.small).rerank(QUERY, DOCUMENTS, model=MODEL)


def test_unknown_model(strict: Served) -> None:
    # The SDK knows no class for 404.
    with pytest.raises(voyageai.error.APIError, match="nobody/nothing") as refused:
        client(strict).rerank(QUERY, DOCUMENTS, model="nobody/nothing")
    assert refused.value.http_status == 404
