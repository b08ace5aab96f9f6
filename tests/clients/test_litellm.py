"""`litellm.rerank` and `arerank`, by the providers whose APIs the gateway speaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

litellm = pytest.importorskip("litellm", reason="needs litellm: `make test-clients`")
pytestmark = [
    *CLIENTS,
    # Of pydantic, of types that litellm builds with the first call.
    pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning"),
]

HOSTED = ["cohere/rerank-v3.5", "jina_ai/jina-reranker-v2-base-multilingual", "voyage/rerank-2.5"]
#: Providers of servers that users run themselves; they ask for what is served by its own name.
OWN = ["hosted_vllm", "huggingface"]


@pytest.fixture
async def _closed_sessions() -> AsyncIterator[None]:
    """litellm keeps its asyncio sessions open for later calls."""
    yield
    await litellm.close_litellm_async_clients()


def scores(response: Any) -> list[tuple[int, float]]:
    return [(result["index"], result["relevance_score"]) for result in response.results]


def request(served: Served, model: str, key: str | None = None, **options: Any) -> dict[str, Any]:
    full_name = model if "/" in model else f"{model}/{served.model}"
    where = {"api_base": served.url, "api_key": key or served.keys.plain}
    return {"model": full_name, "query": QUERY, "documents": DOCUMENTS} | where | options


@pytest.mark.parametrize("top_n", [None, 3])
@pytest.mark.parametrize("model", HOSTED + OWN)
def test_ranks_as_the_fleet_does(served: Served, model: str, top_n: int | None) -> None:
    assert scores(litellm.rerank(**request(served, model, top_n=top_n))) == served.ranked(top_n)


@pytest.mark.parametrize("model", [*HOSTED[1:], *OWN])
def test_documents_come_back(served: Served, model: str) -> None:
    response = litellm.rerank(**request(served, model, return_documents=True))
    texts = [result["document"]["text"] for result in response.results]
    assert texts == [DOCUMENTS[index] for index, _ in served.ranked()]


def test_cohere_v1_is_asked_where_the_base_names_it(served: Served) -> None:
    response = litellm.rerank(**request(served, HOSTED[0], api_base=f"{served.url}/v1/rerank"))
    assert scores(response) == served.ranked()
    # Only v1 has them.
    assert response.results[0]["document"]["text"] == DOCUMENTS[served.ranked()[0][0]]


def test_infinity_without_documents(served: Served) -> None:
    response = litellm.rerank(**request(served, "infinity", return_documents=False))
    assert scores(response) == served.ranked()


@pytest.mark.usefixtures("_closed_sessions")
@pytest.mark.parametrize("model", HOSTED + OWN)
async def test_async(served: Served, model: str) -> None:
    assert scores(await litellm.arerank(**request(served, model, top_n=3))) == served.ranked(3)


@pytest.mark.parametrize("model", HOSTED + OWN)
def test_wrong_key_is_an_authentication_error(served: Served, model: str) -> None:
    with pytest.raises(litellm.AuthenticationError, match="API key"):
        litellm.rerank(**request(served, model, served.keys.wrong))


@pytest.mark.usefixtures("_closed_sessions")
async def test_wrong_key_is_an_authentication_error_async(served: Served) -> None:
    with pytest.raises(litellm.AuthenticationError):
        await litellm.arerank(**request(served, HOSTED[0], served.keys.wrong))


@pytest.mark.parametrize("model", HOSTED + OWN)
def test_spent_key_is_a_rate_limit_error(served: Served, drained_key: str, model: str) -> None:
    with pytest.raises(litellm.RateLimitError, match="Try again in"):
        litellm.rerank(**request(served, model, drained_key))


@pytest.mark.parametrize("model", [*HOSTED, OWN[0]])
def test_wrong_request_is_a_bad_request(served: Served, model: str) -> None:
    with pytest.raises(litellm.BadRequestError, match="query"):
        litellm.rerank(**request(served, model, query=""))
    with pytest.raises(litellm.BadRequestError, match="documents"):
        litellm.rerank(**request(served, model, served.keys.small))


def test_wrong_request_to_tei_keeps_its_status(served: Served) -> None:
    """litellm has no class for what this provider answers to a wrong request."""
    with pytest.raises(litellm.APIError, match="query") as refused:
        litellm.rerank(**request(served, "huggingface", query=""))
    assert refused.value.status_code == 422


@pytest.mark.parametrize("model", [HOSTED[0], OWN[0]])
def test_unknown_model_is_not_found(strict: Served, model: str) -> None:
    provider = model.split("/")[0]
    with pytest.raises(litellm.NotFoundError, match="nobody/nothing"):
        litellm.rerank(**request(strict, f"{provider}/nobody/nothing"))


@pytest.mark.parametrize("model", [HOSTED[0], OWN[0]])
def test_missed_deadline_is_a_timeout(served: Served, model: str) -> None:
    late: dict[str, Any] = {"query": f"{QUERY} By {model}?", "headers": {"X-Rerank-Deadline-Ms": "0.01"}}
    with pytest.raises(litellm.Timeout, match="deadline"):
        litellm.rerank(**request(served, model, **late))


@pytest.mark.parametrize("model", HOSTED[1:])
def test_headers_are_dropped_for_jina_and_voyage(served: Served, model: str) -> None:
    """Should that change, docs/clients.md has to say so."""
    late: dict[str, Any] = {"query": f"{QUERY} By {model}?", "headers": {"X-Rerank-Deadline-Ms": "0.01"}}
    assert len(litellm.rerank(**request(served, model, **late)).results) == len(DOCUMENTS)
