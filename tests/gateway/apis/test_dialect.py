"""Which API a body is of: bodies as real clients send them, and the header that stands above."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from rerank_producer.apis import COHERE_OR_VOYAGE, COHERE_V1, DASHSCOPE, JINA, NVIDIA, TEI, VOYAGE, WEAVIATE
from rerank_producer.apis.common.call import Api
from rerank_producer.apis.dialect import NAMED, SHARED, choose, choose_unversioned
from rerank_shared.errors import InvalidRequest
from support.http.answers import JSON

Q: dict[str, Any] = {"query": "q", "documents": ["a", "b"]}
SENT: dict[str, tuple[dict[str, Any], Api]] = {
    "cohere sdk v1": ({**Q, "model": "rerank-v3.5", "top_n": 2, "return_documents": True}, COHERE_V1),
    "cohere sdk v1, objects": ({"query": "q", "documents": [{"text": "a"}], "rank_fields": ["text"]}, COHERE_V1),
    "cohere, older name": ({**Q, "model": "rerank-english-v3.0"}, COHERE_V1),
    "cohere shape with a model of Voyage's": ({**Q, "model": "rerank-2.5", "top_n": 2}, COHERE_V1),
    "litellm hosted_vllm": ({**Q, "model": "BAAI/bge-reranker-base", "truncate_prompt_tokens": 128}, COHERE_V1),
    "vllm": ({**Q, "top_n": 0}, COHERE_V1),
    "nothing but the needed": (Q, COHERE_V1),
    "jina, llama-index": ({**Q, "model": "jina-reranker-v1-base-en", "top_n": 2}, JINA),
    "jina, litellm": ({**Q, "model": "jina-reranker-v2-base-multilingual", "return_documents": True}, JINA),
    "jina, an image": ({"query": "q", "documents": ["a", {"image": "https://x"}]}, JINA),
    "jina, its own field": ({**Q, "return_embeddings": False}, JINA),
    "jina model with a field of Voyage's": ({**Q, "model": "jina-reranker-m0", "truncation": True}, JINA),
    "voyage sdk": ({**Q, "model": "rerank-2.5", "top_k": None, "truncation": True}, VOYAGE),
    "voyage, litellm": ({**Q, "model": "rerank-2.5-lite", "return_documents": True}, VOYAGE),
    "voyage, rerankers": ({**Q, "model": "rerank-lite-1", "top_k": 2, "return_documents": True}, VOYAGE),
    "voyage sdk with a name of one's own": ({**Q, "model": "mine", "top_k": None, "truncation": True}, VOYAGE),
    "voyage, another model": ({**Q, "model": "ms-marco-minilm-l6", "top_k": 1}, COHERE_OR_VOYAGE),
    "voyage, another model, all": ({**Q, "model": "ms-marco-minilm-l6"}, COHERE_OR_VOYAGE),
    "cohere with a wrong name for top_n": ({**Q, "model": "rerank-v3.5", "top_k": 2}, COHERE_OR_VOYAGE),
    "the same with the right one": ({**Q, "model": "rerank-v3.5", "top_k": 2, "top_n": 2}, COHERE_V1),
    "cohere, passed on": ({**Q, "model": "cohere/rerank-v3.5"}, COHERE_V1),
    "dify": ({**Q, "model": "bge-reranker-v2-m3", "top_n": None}, COHERE_V1),
    "infinity": ({**Q, "model": "bge-reranker-v2-m3", "raw_scores": True}, COHERE_V1),
    "weaviate": ({**Q, "property": "body"}, WEAVIATE),
    "nvidia": ({"model": "m", "query": {"text": "q"}, "passages": [{"text": "a"}]}, NVIDIA),
    "dashscope": ({"model": "gte-rerank", "input": Q, "parameters": {}}, DASHSCOPE),
    "tei": ({"query": "q", "texts": ["a"], "return_text": True}, TEI),
    "voyage, its own field": ({**Q, "truncation": True}, VOYAGE),
    "cohere shape with a field of Voyage's": ({**Q, "model": "my/model", "top_n": 1, "truncation": True}, COHERE_V1),
    "voyage-": ({**Q, "model": "voyage-rerank"}, VOYAGE),
}
TEI_SENT = {"query": "q", "texts": ["a"]}


@pytest.mark.parametrize(("body", "api"), SENT.values(), ids=SENT)
def test_a_body_tells_its_api(body: dict[str, Any], api: Api) -> None:
    assert choose(body) is api
    assert choose_unversioned(body) is api


@pytest.mark.parametrize(("body", "api"), [(TEI_SENT, TEI), ({}, TEI), ([], TEI), ({**TEI_SENT, **Q}, COHERE_V1)])
def test_without_documents_the_unversioned_path_is_that_of_tei(body: Any, api: Api) -> None:
    assert choose_unversioned(body) is api


@pytest.mark.parametrize("body", [{}, [], None, "text", {"query": "q"}])
def test_what_is_no_rerank_body_is_refused_by_cohere_s_api(body: Any) -> None:
    assert choose(body) is COHERE_V1
    with pytest.raises(InvalidRequest):
        choose(body).parse(body)


@pytest.mark.parametrize(("name", "api"), [*NAMED.items(), (" Voyage ", VOYAGE)])
@pytest.mark.parametrize("choice", [choose, choose_unversioned])
def test_the_header_stands_above_the_body(choice: Any, name: str, api: Api) -> None:
    for body, _ in SENT.values():
        assert choice(body, name) is api


def test_an_unknown_name_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidRequest, match="x-rerank-api: one of cohere, jina, voyage, tei") as caught:
        choose_unversioned(Q, "pinecone")
    assert "pinecone" not in str(caught.value)


@given(JSON)
def test_any_body_has_an_api(body: Any) -> None:
    assert choose(body) in SHARED
    assert choose_unversioned(body) in SHARED
