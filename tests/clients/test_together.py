"""The `together` SDK: objects without a `text`, and a `document` that its models expect in each result."""

from __future__ import annotations

from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

together = pytest.importorskip("together", reason="needs together: `make test-clients`")
pytestmark = CLIENTS
MODEL = "Salesforce/Llama-Rank-V1"


def rerank(served: Served, key: str | None = None, **request: Any) -> Any:
    with together.Together(api_key=key or served.keys.plain, base_url=served.url, max_retries=0) as client:
        return client.rerank.create(**{"model": MODEL, "query": QUERY, "documents": DOCUMENTS} | request)


@pytest.mark.parametrize("top_n", [None, 3])
def test_ranks_as_the_fleet_does(served: Served, top_n: int | None) -> None:
    wanted: dict[str, Any] = {} if top_n is None else {"top_n": top_n}
    response = rerank(served, return_documents=True, **wanted)
    assert [(each.index, each.relevance_score) for each in response.results] == served.ranked(top_n)
    assert response.results[0].document.text == DOCUMENTS[served.ranked(1)[0][0]]
    assert (response.object, response.usage.completion_tokens) == ("rerank", 0)


def test_objects_are_ranked_by_their_fields_or_by_all_they_hold(served: Served) -> None:
    documents = [{"body": text} for text in DOCUMENTS]
    response = rerank(served, documents=documents, rank_fields=["body"])
    assert [(each.index, each.relevance_score) for each in response.results] == served.ranked()
    assert len(rerank(served, documents=documents).results) == len(DOCUMENTS)


def test_wrong_key_is_an_authentication_error(served: Served) -> None:
    with pytest.raises(together.AuthenticationError, match="API key"):
        rerank(served, served.keys.wrong)


def test_invalid_request_names_the_field(served: Served) -> None:
    with pytest.raises(together.BadRequestError, match="top_n"):
        rerank(served, top_n=-1)
