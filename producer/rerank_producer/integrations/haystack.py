"""Haystack: `FleetRanker`, a component for pipelines, sync and async.

It returns copies, best first, with the fleet's score, and never changes the documents it gets.
"""

# No postponed annotations: Haystack 2 reads the types of a component's sockets from the annotations as they are.
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from rerank_producer import AsyncRerankClient, RerankClient
from rerank_producer.fusion.shown import shown_score
from rerank_producer.integrations.options import FleetOptions, missing
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import ConfigurationError, InvalidRequest
from rerank_shared.keys import FirstStageOrder, FusionMethod, JobClass

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.utils import Secret, deserialize_secrets_inplace
except ImportError as error:
    raise missing("haystack-ai", "haystack", error) from error


@component
class FleetRanker:
    """Reranks documents through the fleet and keeps the best `top_k` (None: all).

    Scores a document's content, preceded by the values of `meta_fields_to_embed`. A document that the fleet did not
    score in time has the score None. Of documents with the same id the first counts. For `fusion` the first-stage
    score is the document's. Raises RerankError.
    """

    def __init__(
        self,
        top_k: int | None = 10,
        *,
        redis_url: Secret | None = None,
        namespace: str | None = None,
        deadline_ms: float | None = None,
        job_class: JobClass = "interactive",
        tenant: str = "",
        model: str | None = None,
        max_length: int | None = None,
        partial: bool = True,
        fallback: bool = False,
        fusion: FusionMethod | None = None,
        fusion_weight: float | None = None,
        fusion_ratio: float | None = None,
        first_stage: str = "",
        first_stage_order: FirstStageOrder = "descending",
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        client: RerankClient | None = None,
        async_client: AsyncRerankClient | None = None,
    ) -> None:
        """Options are those of FleetOptions. Without `redis_url` or a client, the environment names the server.

        A ranker that was given a client can't be serialized.
        """
        self.top_k = _checked(top_k)
        self.redis_url = redis_url
        self.meta_fields_to_embed = list(meta_fields_to_embed or [])
        self.embedding_separator = embedding_separator
        self._has_client = client is not None or async_client is not None
        self._fleet = FleetOptions(
            client=client,
            async_client=async_client,
            redis_url=None if redis_url is None else redis_url.resolve_value(),
            namespace=namespace,
            deadline_ms=deadline_ms,
            job_class=job_class,
            tenant=tenant,
            model=model,
            max_length=max_length,
            partial=partial,
            fallback=fallback,
            fusion=fusion,
            fusion_weight=fusion_weight,
            fusion_ratio=fusion_ratio,
            first_stage=first_stage,
            first_stage_order=first_stage_order,
        )

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """Return the best documents for a query, best first; `top_k` takes precedence over that of the ranker."""
        candidates, limit = _unique(documents), _checked(top_k) or self.top_k
        if not candidates:
            return {"documents": []}
        response = self._fleet.ask(query, self._texts(candidates), limit, _scores(candidates))
        return {"documents": _ranked(candidates, response, limit)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Do as `run`, from asyncio."""
        candidates, limit = _unique(documents), _checked(top_k) or self.top_k
        if not candidates:
            return {"documents": []}
        response = await self._fleet.aask(query, self._texts(candidates), limit, _scores(candidates))
        return {"documents": _ranked(candidates, response, limit)}

    def warm_up(self) -> None:
        """Do nothing: the workers hold the model."""

    def close(self) -> None:
        """Close the connections of `run`."""
        self._fleet.close()

    async def close_async(self) -> None:
        """Close all connections of `run`, and those of `run_async` in this event loop."""
        await self._fleet.aclose()

    def to_dict(self) -> dict[str, Any]:
        """Serialize the component. Raises ConfigurationError if it was given a client."""
        if self._has_client:
            raise ConfigurationError("a FleetRanker that was given a client can't be serialized: give it redis_url")
        data: dict[str, Any] = default_to_dict(
            self,
            top_k=self.top_k,
            redis_url=None if self.redis_url is None else self.redis_url.to_dict(),
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
            **self._fleet.model_dump(),
        )
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the component that `to_dict` serialized."""
        parameters = dict(data.get("init_parameters", {}))
        deserialize_secrets_inplace(parameters, keys=["redis_url"])
        ranker: Self = default_from_dict(cls, {**data, "init_parameters": parameters})
        return ranker

    def _texts(self, documents: Sequence[Document]) -> list[str]:
        return [
            self.embedding_separator.join([*self._meta_texts(document.meta), document.content or ""])
            for document in documents
        ]

    def _meta_texts(self, meta: dict[str, Any]) -> list[str]:
        return [str(meta[field]) for field in self.meta_fields_to_embed if meta.get(field)]


def _checked(top_k: int | None) -> int | None:
    if top_k is not None and top_k < 1:
        raise InvalidRequest(f"top_k: {top_k}, but at least 1 expected")
    return top_k


def _unique(documents: Sequence[Document]) -> list[Document]:
    """Return the first document of each id: joined pipelines bring a document twice."""
    unique: dict[str, Document] = {}
    for document in documents:
        unique.setdefault(document.id, document)
    return list(unique.values())


def _scores(documents: Sequence[Document]) -> list[float | None]:
    return [document.score for document in documents]


def _ranked(documents: Sequence[Document], response: RerankResponse | None, top_k: int | None) -> list[Document]:
    if response is None:
        return list(documents[:top_k])
    return [_scored(documents[result.index], shown_score(result, response.model)) for result in response.results]


def _scored(document: Document, score: float | None) -> Document:
    # `replace` alone would share the dict, to which later components write.
    return replace(document, score=score, meta=dict(document.meta))
