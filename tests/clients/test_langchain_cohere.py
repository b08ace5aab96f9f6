"""`langchain_cohere.CohereRerank`, the document compressor on Cohere's SDK."""

from __future__ import annotations

from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

langchain_cohere = pytest.importorskip("langchain_cohere", reason="needs langchain-cohere: `make test-clients`")
cohere = pytest.importorskip("cohere", reason="needs the cohere SDK: `make test-clients`")
httpx = pytest.importorskip("httpx", reason="needs httpx: `make test-clients`")
documents = pytest.importorskip("langchain_core.documents", reason="needs langchain-core: `make test-clients`")
pytestmark = [
    *CLIENTS,
    # Of its client, which nobody can close.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def compressor(served: Served, key: str | None = None, **options: Any) -> Any:
    fields = {"base_url": served.url, "cohere_api_key": key or served.keys.plain, "model": "rerank-v3.5"}
    return langchain_cohere.CohereRerank(**(fields | options))


def pages() -> list[Any]:
    return [documents.Document(text, metadata={"page": page}) for page, text in enumerate(DOCUMENTS)]


def scores(found: Any) -> list[tuple[int, float]]:
    return [(document.metadata["page"], document.metadata["relevance_score"]) for document in found]


def test_compresses_to_the_best_three(served: Served) -> None:
    found = compressor(served).compress_documents(pages(), QUERY)
    assert scores(found) == served.ranked(3)
    assert [document.page_content for document in found] == [DOCUMENTS[index] for index, _ in served.ranked(3)]


def test_takes_all_without_top_n(served: Served) -> None:
    assert scores(compressor(served, top_n=None).compress_documents(pages(), QUERY)) == served.ranked()


async def test_async(served: Served) -> None:
    assert scores(await compressor(served).acompress_documents(pages(), QUERY)) == served.ranked(3)


def test_reranks_texts_and_mappings(served: Served) -> None:
    found = compressor(served).rerank(DOCUMENTS, QUERY, top_n=None)
    assert [(result["index"], result["relevance_score"]) for result in found] == served.ranked()
    # It writes mappings as YAML.
    mapped = compressor(served).rerank([{"text": text} for text in DOCUMENTS], QUERY, top_n=3)
    assert [result["index"] for result in mapped] == [index for index, _ in served.ranked(3)]


def test_wrong_key_is_unauthorized(served: Served) -> None:
    with pytest.raises(cohere.UnauthorizedError):
        compressor(served, served.keys.wrong).compress_documents(pages(), QUERY)


def test_unknown_model_is_not_found(strict: Served) -> None:
    with pytest.raises(cohere.NotFoundError):
        compressor(strict, model="nobody/nothing").compress_documents(pages(), QUERY)


def test_too_many_documents_are_a_bad_request(served: Served) -> None:
    with pytest.raises(cohere.BadRequestError):
        compressor(served, served.keys.small).compress_documents(pages(), QUERY)


def test_waits_as_told_when_its_key_is_spent_and_then_gets_its_answer(served: Served) -> None:
    """Sleeps for seconds: that is the SDK's own retry, whose bounds this class does not let its users set."""
    statuses: list[int] = []
    hooks = {"response": [lambda response: statuses.append(response.status_code)]}
    with httpx.Client(event_hooks=hooks) as transport:
        client = cohere.ClientV2(served.keys.slow, base_url=served.url, httpx_client=transport)
        served.spend(served.keys.slow)
        found = compressor(served, client=client).compress_documents(pages(), QUERY)
    assert scores(found) == served.ranked(3)
    assert statuses[0] == 429
    assert statuses[-1] == 200


def test_sends_headers_through_a_client_of_the_callers(served: Served) -> None:
    with httpx.Client(headers={"X-Rerank-Deadline-Ms": "-1"}) as transport:
        client = cohere.ClientV2(served.keys.plain, base_url=served.url, httpx_client=transport)
        with pytest.raises(cohere.BadRequestError) as refused:
            compressor(served, client=client).compress_documents(pages(), QUERY)
    assert "x-rerank-deadline-ms" in refused.value.body["message"]
