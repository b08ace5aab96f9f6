"""LangChain: `FleetRerank`, a document compressor for ContextualCompressionRetriever.

It returns copies, best first, with `relevance_score` in their metadata, and never changes the documents it gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from rerank_producer.integrations.options import FleetOptions, missing, told
from rerank_shared.contract.schemas import RerankResponse

try:
    from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
except ImportError as error:
    raise missing("langchain-core", "langchain", error) from error

_SCORE = "relevance_score"


class FleetRerank(FleetOptions, BaseDocumentCompressor):
    """Reranks documents through the fleet and keeps the best `top_n` (None: all). Options are those of FleetOptions.

    A document that the fleet did not score in time has no `relevance_score`. Callbacks see a run named FleetRerank,
    whose outputs hold the stage timings. Raises RerankError.
    """

    top_n: int | None = Field(3, ge=1)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return the best documents for a query, best first."""
        if not documents:
            return []
        manager = CallbackManager.configure(callbacks)
        run = manager.on_chain_start(None, _inputs(documents, query), name=type(self).__name__)
        try:
            response = self.ask(query, _texts(documents), self.top_n)
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
            response = await self.aask(query, _texts(documents), self.top_n)
        except BaseException as error:
            await run.on_chain_error(error)
            raise
        await run.on_chain_end(_outputs(response))
        return _ranked(documents, response, self.top_n)


def _texts(documents: Sequence[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _ranked(documents: Sequence[Document], response: RerankResponse | None, top_n: int | None) -> list[Document]:
    if response is None:
        return list(documents[:top_n])
    return [_scored(documents[result.index], result.relevance_score) for result in response.results]


def _scored(document: Document, score: float | None) -> Document:
    # The score of an earlier stage would look like the fleet's.
    metadata = {key: value for key, value in document.metadata.items() if key != _SCORE}
    if score is not None:
        metadata[_SCORE] = score
    return document.model_copy(update={"metadata": metadata})


def _inputs(documents: Sequence[Document], query: str) -> dict[str, Any]:
    return {"query": query, "documents": len(documents)}


def _outputs(response: RerankResponse | None) -> dict[str, Any]:
    order = [] if response is None else [result.model_dump(include={"index", _SCORE}) for result in response.results]
    return {"results": order, **told(response)}
