"""LlamaIndex: `FleetRerank`, a node postprocessor for query engines and retrievers.

It returns copies, best first, with the first-stage score in their metadata, and never changes the nodes it gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from pydantic import Field

from rerank_producer.fusion.shown import shown_score
from rerank_producer.integrations.options import FleetOptions, missing, told
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import InvalidRequest

try:
    from llama_index.core.callbacks import CBEventType, EventPayload
    from llama_index.core.callbacks.base import EventContext
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
    from llama_index_instrumentation import get_dispatcher
except ImportError as error:
    raise missing("llama-index-core", "llama-index", error) from error

dispatcher = get_dispatcher(__name__)
_FIRST_STAGE = "retrieval_score"


class FleetRerank(FleetOptions, BaseNodePostprocessor):
    """Reranks nodes through the fleet and keeps the best `top_n` (None: all). Options are those of FleetOptions.

    Scores a node's text with the metadata that its embedding includes. Its score becomes that of the fleet, None where
    it was not scored in time; the first-stage score goes to `metadata["retrieval_score"]`, which neither embeddings nor
    prompts show. `ReRankEndEvent.tags["rerank"]` holds the stage timings. For `fusion` the first-stage score is the
    node's. Raises RerankError.
    """

    top_n: int | None = Field(2, ge=1)
    keep_retrieval_score: bool = True

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class in serialized form."""
        return "FleetRerank"

    @dispatcher.span
    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        with self._begin(nodes, query_bundle, query) as event:
            return self._end(event, nodes, self.ask(query, _texts(nodes), self.top_n, _scores(nodes)))

    @dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        with self._begin(nodes, query_bundle, query) as event:
            return self._end(event, nodes, await self.aask(query, _texts(nodes), self.top_n, _scores(nodes)))

    def _begin(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None, query: str
    ) -> AbstractContextManager[EventContext]:
        top_n = len(nodes) if self.top_n is None else self.top_n
        dispatcher.event(ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=top_n, model_name=self._model_name))
        payload = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self._model_name,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: self.top_n,
        }
        event: AbstractContextManager[EventContext]
        event = self.callback_manager.event(CBEventType.RERANKING, payload=payload)
        return event

    def _end(
        self, event: EventContext, nodes: Sequence[NodeWithScore], response: RerankResponse | None
    ) -> list[NodeWithScore]:
        ranked = self._ranked(nodes, response)
        event.on_end(payload={EventPayload.NODES: ranked})
        dispatcher.event(ReRankEndEvent(nodes=ranked, tags={"rerank": told(response)}))
        return ranked

    def _ranked(self, nodes: Sequence[NodeWithScore], response: RerankResponse | None) -> list[NodeWithScore]:
        if response is None:
            return list(nodes[: self.top_n])
        return [self._scored(nodes[result.index], shown_score(result, response.model)) for result in response.results]

    def _scored(self, found: NodeWithScore, score: float | None) -> NodeWithScore:
        kept = {_FIRST_STAGE: found.score} if self.keep_retrieval_score else {}
        # If an embedding or another reranker saw it, the same node would have another text for each query.
        hidden = {
            name: [key for key in getattr(found.node, name) if key not in kept] + list(kept)
            for name in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys")
        }
        node = found.node.model_copy(update={"metadata": {**found.node.metadata, **kept}, **hidden})
        return found.model_copy(update={"node": node, "score": score})


def _query(query_bundle: QueryBundle | None) -> str:
    if query_bundle is None:
        raise InvalidRequest("query_bundle: missing; pass query_bundle=QueryBundle(...) or query_str=")
    return str(query_bundle.query_str)


def _texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]


def _scores(nodes: Sequence[NodeWithScore]) -> list[float | None]:
    return [node.score for node in nodes]
