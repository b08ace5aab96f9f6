"""Requests that are asked in part, and the score by which an answer is ordered. Pure."""

from __future__ import annotations

from rerank_shared.contract.messages import name_of
from rerank_shared.contract.schemas import RerankRequest, RerankResponse, Result
from rerank_shared.errors import UnknownModel


def to_depth(request: RerankRequest, depth: int | None) -> RerankRequest:
    """Return a request for its first `depth` documents; None: for all."""
    if depth is None or depth >= len(request.documents):
        return request
    scores = None if request.scores is None else request.scores[:depth]
    return request.model_copy(update={"documents": request.documents[:depth], "scores": scores})


def with_run_model(request: RerankRequest, own: str | None) -> RerankRequest:
    """Return a request of a row for the model of the run. Raises UnknownModel where it asks for another one."""
    _refuse_other_model(request.model, own)
    return request if own is None else request.model_copy(update={"model": own})


def with_rest(response: RerankResponse, rest: list[Result]) -> RerankResponse:
    """Return an answer with the documents below that were not asked for."""
    return response.model_copy(update={"results": [*response.results, *rest]}) if rest else response


def _refuse_other_model(asked: str | None, own: str | None) -> None:
    """Raise UnknownModel where a row asks for another model than that of the run; None asks for that.

    A model may be asked for by the last part of its name, as over HTTP.
    """
    if not asked or own is None:
        return
    wanted, known = name_of(asked), name_of(own)
    if wanted != known and wanted.casefold() != known.rpartition("/")[2].casefold():
        raise UnknownModel(
            f"model: the row asks for {wanted!r}, and this run scores with {known!r}. A bulk run has one model: "
            "leave the field out, or run the rows of each model apart with --model"
        )


def order_score(result: Result) -> float | None:
    """Return the score that results are ordered by: the fused one, else the logit; None where there is none.

    Unlike the score after a sigmoid, logits stay apart as 32-bit floats at both ends of the scale.
    """
    for score in (result.fused_score, result.logit, result.relevance_score):
        if score is not None:
            return score
    return None
