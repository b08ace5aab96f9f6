"""LlamaIndex's postprocessors for Cohere, Jina and Text Embeddings Inference. None of them has an asyncio twin."""

from __future__ import annotations

from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

_REASON = "needs LlamaIndex's rerankers: `make test-clients`"
schema = pytest.importorskip("llama_index.core.schema", reason=_REASON)
cohere = pytest.importorskip("cohere", reason=_REASON)
cohere_rerank = pytest.importorskip("llama_index.postprocessor.cohere_rerank", reason=_REASON)
jinaai_rerank = pytest.importorskip("llama_index.postprocessor.jinaai_rerank", reason=_REASON)
tei_rerank = pytest.importorskip("llama_index.postprocessor.tei_rerank", reason=_REASON)
pytestmark = [
    *CLIENTS,
    # Of their clients, which nobody can close.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

JINA_MODEL = "jina-reranker-v2-base-multilingual"


def through_cohere(served: Served, key: str, top_n: int, model: str = "rerank-v3.5") -> Any:
    return cohere_rerank.CohereRerank(api_key=key, base_url=served.url, top_n=top_n, model=model, max_retries=1)


def through_jina(served: Served, key: str, top_n: int, model: str = JINA_MODEL) -> Any:
    return jinaai_rerank.JinaRerank(api_key=key, base_url=f"{served.url}/v1", top_n=top_n, model=model)


def through_tei(served: Served, key: str, top_n: int) -> Any:
    # The header's value as it is.
    return tei_rerank.TextEmbeddingInference(base_url=served.url, auth_token=f"Bearer {key}", top_n=top_n)


ALL = [through_cohere, through_jina, through_tei]


def rank(postprocessor: Any) -> list[tuple[int, float]]:
    nodes = [
        schema.NodeWithScore(node=schema.TextNode(id_=str(number), text=text), score=0.0)
        for number, text in enumerate(DOCUMENTS)
    ]
    found = postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    return [(int(node.node_id), node.score) for node in found]


@pytest.mark.parametrize("through", ALL)
@pytest.mark.parametrize("top_n", [2, len(DOCUMENTS)])
def test_ranks_as_the_fleet_does(served: Served, through: Any, top_n: int) -> None:
    assert rank(through(served, served.keys.plain, top_n)) == served.ranked(top_n)


@pytest.mark.parametrize("through", [through_cohere, through_jina])
def test_asks_for_the_fleets_model_by_its_own_name(served: Served, through: Any) -> None:
    assert rank(through(served, served.keys.plain, 3, model=served.model)) == served.ranked(3)


async def test_async_runs_the_sync_call(served: Served) -> None:
    nodes = [schema.NodeWithScore(node=schema.TextNode(text=text)) for text in DOCUMENTS]
    found = await through_cohere(served, served.keys.plain, 3).apostprocess_nodes(nodes, query_str=QUERY)
    assert [node.text for node in found] == [DOCUMENTS[index] for index, _ in served.ranked(3)]


def test_cohere_errors_are_those_of_its_sdk(served: Served) -> None:
    with pytest.raises(cohere.UnauthorizedError):
        rank(through_cohere(served, served.keys.wrong, 3))
    with pytest.raises(cohere.BadRequestError):
        rank(through_cohere(served, served.keys.small, 3))


def test_jina_errors_carry_the_message(served: Served, drained_key: str) -> None:
    for key, message in ((served.keys.wrong, "API key"), (served.keys.small, "documents"), (drained_key, "Try again")):
        with pytest.raises(RuntimeError, match=message):
            rank(through_jina(served, key, 3))


def test_tei_sees_no_status_so_an_error_is_no_answer(served: Served) -> None:
    """It never looks at the status; what matters is that an error does not pass for scores."""
    with pytest.raises(AssertionError):
        rank(through_tei(served, served.keys.wrong, 3))
