"""The `cohere` SDK, its v1 and v2 clients, sync and async. Only the base URL and the key are ours."""

from __future__ import annotations

from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

cohere = pytest.importorskip("cohere", reason="needs the cohere SDK: `make test-clients`")
pytestmark = CLIENTS

MODEL = "rerank-v3.5"
#: By default the SDK sleeps and tries again, as Retry-After says.
AT_ONCE = {"max_retries": 0}


def scores(response: Any) -> list[tuple[int, float]]:
    return [(result.index, result.relevance_score) for result in response.results]


def rerank(served: Served, key: str | None = None, **request: Any) -> Any:
    with cohere.ClientV2(key or served.keys.plain, base_url=served.url) as client:
        return client.rerank(**({"model": MODEL, "query": QUERY, "documents": DOCUMENTS} | request))


@pytest.mark.parametrize("top_n", [None, 3])
def test_v2_ranks_as_the_fleet_does(served: Served, top_n: int | None) -> None:
    wanted: dict[str, Any] = {} if top_n is None else {"top_n": top_n}
    response = rerank(served, **wanted)
    assert scores(response) == served.ranked(top_n)
    assert response.id
    assert response.meta.billed_units.search_units == 1


def test_v2_tells_which_model_answered(served: Served) -> None:
    response = rerank(served)
    assert any(served.model in warning for warning in response.meta.warnings)
    named = rerank(served, model=served.model)
    assert named.meta.warnings is None


def test_v2_cuts_documents_to_what_is_asked_for(served: Served) -> None:
    response = rerank(served, model=served.model, max_tokens_per_doc=15)
    assert len(response.results) == len(DOCUMENTS)
    assert scores(response) != served.ranked()
    assert "cut" in " ".join(response.meta.warnings)


async def test_v2_async(served: Served) -> None:
    async with cohere.AsyncClientV2(served.keys.plain, base_url=served.url) as asynchronous:
        response = await asynchronous.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS, top_n=3)
    assert scores(response) == served.ranked(3)


@pytest.mark.parametrize("returned", [True, False])
def test_v1_returns_documents_if_asked(served: Served, returned: bool) -> None:
    with cohere.Client(served.keys.plain, base_url=served.url) as v1:
        response = v1.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS, return_documents=returned)
    assert scores(response) == served.ranked()
    texts = [result.document and result.document.text for result in response.results]
    assert texts == [DOCUMENTS[index] if returned else None for index, _ in served.ranked()]


def test_v1_ranks_objects_by_their_fields(served: Served) -> None:
    documents = [{"body": text, "number": str(number)} for number, text in enumerate(DOCUMENTS)]
    with cohere.Client(served.keys.plain, base_url=served.url) as v1:
        response = v1.rerank(model=MODEL, query=QUERY, documents=documents, rank_fields=["body"], return_documents=True)
    assert scores(response) == served.ranked()
    # Fields that the SDK has no name for come back too.
    assert [result.document.number for result in response.results] == [str(index) for index, _ in served.ranked()]


async def test_v1_async(served: Served) -> None:
    async with cohere.AsyncClient(served.keys.plain, base_url=served.url) as v1:
        response = await v1.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS)
    assert scores(response) == served.ranked()


def test_wrong_key_is_unauthorized(served: Served) -> None:
    with pytest.raises(cohere.UnauthorizedError) as refused:
        rerank(served, served.keys.wrong)
    assert "API key" in refused.value.body["message"]


async def test_wrong_key_is_unauthorized_async(served: Served) -> None:
    async with cohere.AsyncClientV2(served.keys.wrong, base_url=served.url) as asynchronous:
        with pytest.raises(cohere.UnauthorizedError):
            await asynchronous.rerank(model=MODEL, query=QUERY, documents=DOCUMENTS)


def test_spent_key_is_too_many_requests(served: Served, drained_key: str) -> None:
    with pytest.raises(cohere.TooManyRequestsError) as refused:
        rerank(served, drained_key, request_options=AT_ONCE)
    assert int(refused.value.headers["retry-after"]) > 60


def test_unknown_model_is_not_found(strict: Served) -> None:
    with pytest.raises(cohere.NotFoundError) as refused:
        rerank(strict, model="nobody/nothing")
    assert "nobody/nothing" in refused.value.body["message"]


@pytest.mark.parametrize(
    "wrong",
    [{"query": ""}, {"documents": []}, {"top_n": -1}, {"max_tokens_per_doc": -1}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_invalid_request_names_the_field(served: Served, wrong: dict[str, Any]) -> None:
    with pytest.raises(cohere.BadRequestError) as refused:
        rerank(served, **wrong)
    assert next(iter(wrong)) in refused.value.body["message"]


def test_too_many_documents_are_a_bad_request(served: Served) -> None:
    with pytest.raises(cohere.BadRequestError) as refused:
        rerank(served, served.keys.small)
    assert f"{len(DOCUMENTS)} documents were sent" in refused.value.body["message"]


def test_missed_deadline_is_a_gateway_timeout(served: Served) -> None:
    options = AT_ONCE | {"additional_headers": {"X-Rerank-Deadline-Ms": "0.01"}}
    with pytest.raises(cohere.GatewayTimeoutError):
        rerank(served, query=f"{QUERY} In time?", request_options=options)
