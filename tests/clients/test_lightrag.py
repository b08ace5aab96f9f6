"""LightRAG's own functions that rerank, one a binding."""

from __future__ import annotations

from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

rerank = pytest.importorskip("lightrag.rerank", reason="needs lightrag-hku: `make test-clients`")
pytestmark = CLIENTS
BINDINGS = {
    "cohere_rerank": "/v2/rerank",
    "jina_rerank": "/v1/rerank",
    "ali_rerank": "/api/v1/services/rerank/text-rerank/text-rerank",
}


@pytest.mark.parametrize("top_n", [None, 3])
@pytest.mark.parametrize(("binding", "path"), BINDINGS.items())
async def test_ranks_as_the_fleet_does(served: Served, binding: str, path: str, top_n: int | None) -> None:
    found = await ask(served, binding, path, top_n=top_n)
    assert [(each["index"], each["relevance_score"]) for each in found] == served.ranked(top_n)


async def test_the_nested_body_is_told_apart_at_the_usual_path_too(served: Served) -> None:
    found = await ask(served, "ali_rerank", "/v1/rerank")
    assert [(each["index"], each["relevance_score"]) for each in found] == served.ranked()


async def ask(served: Served, binding: str, path: str, **options: Any) -> Any:
    return await getattr(rerank, binding)(
        QUERY,
        DOCUMENTS,
        api_key=served.keys.plain,
        model="bge-reranker-v2-m3",
        base_url=f"{served.url}{path}",
        **options,
    )
