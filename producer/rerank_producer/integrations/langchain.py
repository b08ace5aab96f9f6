"""LangChain: `FleetRerank`, a document compressor for ContextualCompressionRetriever.

It returns copies, best first, with `relevance_score` in their metadata, and never changes the documents it gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from rerank_producer.fusion.shown import shown_score
from rerank_producer.integrations.fields import known_scores
from rerank_producer.integrations.options import FleetOptions, missing, told
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import InvalidRequest

try:
    from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
except ImportError as error:
    raise missing("langchain-core", "langchain", error) from error

_SCORE = "relevance_score"


class FleetRerank(FleetOptions, BaseDocumentCompressor):
    """Reranks documents through the fleet and keeps the best `top_n` (None: all). Options are those of FleetOptions.

    A document that the fleet did not score in time has no `relevance_score`. Callbacks see a run named FleetRerank,
    whose outputs hold the stage timings. For `fusion` the first-stage score is the number that a document's metadata
    has under `first_stage_score_key` (None: it has none, and the order of the documents may count). Vector stores give
    scores beside documents, not in them: LangChain's guides write them to `metadata["score"]`. Raises RerankError.
    """

    top_n: int | None = Field(3, ge=1)
    first_stage_score_key: str | None = "score"

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return the best documents for a query, best first."""
        if not documents:
            return []
        manager = CallbackManager.configure(callbacks)
        run = manager.on_chain_start(None, _inputs(documents, query), name=type(self).__name__)
        try:
            response = self.ask(query, _texts(documents), self.top_n, self._scores(documents))
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end(_outputs(response))
        return _ranked(documents, response, self.top_n)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return the best documents for a query, best first; from asyncio, without a thread."""
        if not documents:
            return []
        manager = AsyncCallbackManager.configure(callbacks)
        run = await manager.on_chain_start(None, _inputs(documents, query), name=type(self).__name__)
        try:
            response = await self.aask(query, _texts(documents), self.top_n, self._scores(documents))
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end(_outputs(response))
        return _ranked(documents, response, self.top_n)

    def _scores(self, documents: Sequence[Document]) -> list[Any]:
        """Return the first-stage scores that the documents carry. Raises InvalidRequest where fusion has none."""
        key = self.first_stage_score_key
        scores = known_scores([None if key is None else document.metadata.get(key) for document in documents])
        if self.fusion in ("weighted", "zscore") and all(score is None for score in scores):
            raise InvalidRequest(
                f"first_stage_score_key: fusion={self.fusion!r} needs first-stage scores, and no document has "
                f"one in its metadata under {key!r}. Name the key, or ask for 'rrf', which takes the documents' order"
            )
        return scores


def _texts(documents: Sequence[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _ranked(documents: Sequence[Document], response: RerankResponse | None, top_n: int | None) -> list[Document]:
    if response is None:
        return list(documents[:top_n])
    return [_scored(documents[result.index], shown_score(result, response.model)) for result in response.results]


def _scored(document: Document, score: float | None) -> Document:
    # The score of an earlier stage would look like the fleet's.
    metadata = {key: value for key, value in document.metadata.items() if key != _SCORE}
    if score is not None:
        metadata[_SCORE] = score
    return document.model_copy(update={"metadata": metadata})


def _inputs(documents: Sequence[Document], query: str) -> dict[str, Any]:
    return {"query": query, "documents": len(documents)}


def _outputs(response: RerankResponse | None) -> dict[str, Any]:
    if response is None:
        return {"results": [], **told(response)}
    fused = {"logit", "first_stage_score", "fused_score"} if response.fusion else set()
    results = [
        {"index": result.index, _SCORE: shown_score(result, response.model), **result.model_dump(include=fused)}
        for result in response.results
    ]
    return {"results": results, **told(response)}
