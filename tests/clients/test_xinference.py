"""The client of Xinference, as Dify and MaxKB use it: it asks for a key, then for the model, and then it reranks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

xinference_client = pytest.importorskip("xinference_client", reason="needs xinference-client: `make test-clients`")
pytestmark = [
    *CLIENTS,
    # Of handles, which have a close() that the client does not call.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
#: As a user of Xinference names it. Dify takes no name with a slash.
MODEL = "bge-reranker-v2-m3"


@pytest.fixture
def client(served: Served) -> Iterator[Any]:
    opened = xinference_client.RESTfulClient(served.url, served.keys.plain)
    yield opened
    opened.close()


def scores(response: dict[str, Any]) -> list[tuple[int, float]]:
    return [(result["index"], result["relevance_score"]) for result in response["results"]]


@pytest.mark.parametrize("top_n", [None, 3])
def test_ranks_as_the_fleet_does(served: Served, client: Any, top_n: int | None) -> None:
    response = client.get_model(MODEL).rerank(DOCUMENTS, QUERY, top_n=top_n, return_documents=True)
    assert scores(response) == served.ranked(top_n)
    assert response["results"][0]["document"]["text"] == DOCUMENTS[served.ranked(1)[0][0]]


def test_the_served_model_is_found_by_its_own_name(served: Served, client: Any) -> None:
    assert scores(client.get_model(served.model).rerank(DOCUMENTS, QUERY)) == served.ranked()


def test_wrong_key_is_told(served: Served) -> None:
    client = xinference_client.RESTfulClient(served.url, served.keys.wrong)
    with pytest.raises(RuntimeError, match="API key"):
        client.get_model(MODEL)
    client.close()


def test_invalid_request_names_the_field(client: Any) -> None:
    with pytest.raises(RuntimeError, match="detail: documents: list of documents must not be empty"):
        client.get_model(MODEL).rerank([], QUERY)
