"""The span of a request, with OpenInference's attributes for rerankers. Texts are in it only if the settings say so."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

from rerank_producer._request.plan import RequestPlan
from rerank_shared.contract.messages import name_of
from rerank_shared.contract.schemas import Document, RerankRequest, RerankResponse, encodable
from rerank_shared.settings import Settings
from rerank_shared.tracing.spans import Span, Value, spanning

#: Documents whose content is told, of those asked about and of the best each. The SDK keeps 128 attributes of a span,
#: and drops the first ones.
_MOST_TOLD = 20


def request_span(name: str) -> AbstractContextManager[Span]:
    """Return the span of a call, which ends with the block; an error marks it as failed."""
    return spanning(name, attributes={"openinference.span.kind": "RERANKER"})


def tell_asked(span: Span, request: RerankRequest, settings: Settings) -> None:
    """Put what a valid request asks for into its span."""
    if not span.recording:
        return
    told: dict[str, Value] = {
        "reranker.model_name": name_of(request.model or settings.model),
        "rerank.class": request.job_class,
        "rerank.documents": len(request.documents),
    }
    if request.top_n is not None:
        told["reranker.top_k"] = request.top_n
    if settings.trace_content:
        told["reranker.query"] = encodable(request.query)
        told |= _contents("reranker.input_documents", enumerate(request.documents[:_MOST_TOLD]))
    span.set(told)


def tell_planned(span: Span, plan: RequestPlan) -> None:
    """Put what the cache knew of a request into its span."""
    if not span.recording:
        return
    stored = plan.stored
    told: dict[str, Value] = {"rerank.cache.hits": len(stored.hits), "rerank.cache.misses": len(stored.misses)}
    if stored.route is not None:
        told |= {"rerank.route": stored.route, "reranker.model_name": stored.model}
    span.set(told)


def tell_answered(span: Span, request: RerankRequest, response: RerankResponse, settings: Settings) -> None:
    """Put what came of a request into its span."""
    if not span.recording:
        return
    told: dict[str, Value] = {
        "messaging.message.conversation_id": response.id,
        "rerank.complete": response.complete,
        "rerank.truncated": sum(result.truncated for result in response.results),
        "rerank.tokens": response.usage.tokens,
        "rerank.workers": response.workers,
    }
    if settings.trace_content:
        best = response.results[:_MOST_TOLD]
        told |= _contents("reranker.output_documents", enumerate(request.documents[each.index] for each in best))
        for place, result in enumerate(best):
            if result.relevance_score is not None:
                told[f"reranker.output_documents.{place}.document.score"] = result.relevance_score
    span.set(told)


def _contents(prefix: str, documents: Iterable[tuple[int, str | Document]]) -> dict[str, Value]:
    told: dict[str, Value] = {}
    for place, document in documents:
        text = document if isinstance(document, str) else document.text
        if text is not None:
            told[f"{prefix}.{place}.document.content"] = encodable(text)
        if isinstance(document, Document) and document.id is not None:
            told[f"{prefix}.{place}.document.id"] = encodable(document.id)
    return told
