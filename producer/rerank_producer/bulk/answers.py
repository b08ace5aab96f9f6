"""Answers without what differs from run to run, so that the same rows always give the same bytes. Pure."""

from __future__ import annotations

from rerank_shared.contract.schemas import RerankResponse, Timings, Usage


def canonical(response: RerankResponse) -> RerankResponse:
    """Return a response as if each pair had been run for it alone; its id, times and workers are left out."""
    results = [result.model_copy(update={"cached": False}) for result in response.results]
    fusion = response.fusion
    return response.model_copy(
        update={
            "id": "",
            "results": results,
            "timings": Timings(),
            "usage": Usage(tokens=sum(result.tokens or 0 for result in results), pairs_run=len(results)),
            "batch_pairs": [],
            "workers": [],
            "fusion": None if fusion is None else fusion.model_copy(update={"learned_requests": None}),
        }
    )
