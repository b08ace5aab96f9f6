"""Stages of a cascade: which documents go on to the next model, and how two orders become one. Pure.

What a later model has scored stands above the rest, in its order; the rest keep the order before. No score is compared
with that of another model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeVar

from rerank_producer.fusion.lists import Candidate
from rerank_shared.contract.schemas import RerankRequest, RerankResponse, Result, StageInfo, Timings, Usage
from rerank_shared.routing.route import Stage
from rerank_shared.scheduling.cost import CostParameters, Work

_Sum = TypeVar("_Sum", Timings, Usage)


@dataclass(frozen=True, slots=True)
class StageAnswer:
    """What came of a stage that was to score `documents`.

    `results` have the indexes of the whole request. `response` is None where the stage did not answer; `reason` says
    why it is not complete, None where it is.
    """

    stage: Stage
    documents: int
    results: tuple[Result, ...] = ()
    response: RerankResponse | None = None
    reason: str | None = None

    @property
    def scored(self) -> int:
        """The number of documents that it scored."""
        return sum(result.scored for result in self.results)

    def info(self) -> StageInfo:
        """Return what the answer says of the stage."""
        return StageInfo(
            model=self.stage.model,
            digest=None if self.response is None else self.response.model.digest,
            documents=self.documents,
            scored=self.scored,
            complete=self.reason is None,
            reason=self.reason,
            usage=Usage() if self.response is None else self.response.usage,
        )


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a pool can do for a request: it waits for `wait_s`, then `processes` work on it for `left_s` less that."""

    cost: CostParameters
    processes: int
    wait_s: float
    left_s: float

    def fitting(self, lengths: Sequence[int | None]) -> int:
        """Return how many documents, best first, can be scored in time; a length is in tokens, None where the score is
        cached.
        """
        spare_s = max(0.0, self.left_s - self.wait_s) * max(1, self.processes)
        spent_s = 0.0
        for place, length in enumerate(lengths):
            spent_s += 0.0 if length is None else self.cost.predict_s(Work.pair(length))
            if spent_s > spare_s:
                return place
        return len(lengths)


def kept(order: Sequence[Result], stage: Stage) -> Sequence[Result]:
    """Return the documents that a stage may score, best first; with "auto" the time decides among them."""
    return order[: stage.keep] if isinstance(stage.keep, int) else order


def part_of(request: RerankRequest, indexes: Sequence[int]) -> RerankRequest:
    """Return the request for some of its documents, in this order, all of which are in the answer."""
    changes: dict[str, Any] = {"stages": None, "top_n": max(1, len(indexes))}
    documents = [request.documents[index] for index in indexes]
    return request.model_copy(update=changes | {"documents": documents} | _first_stage_of(request, indexes))


def placed(results: Sequence[Result], asked: Sequence[Result], model: str) -> tuple[Result, ...]:
    """Return the results of a stage with the indexes of the whole request; `asked` are its documents, as they stood."""
    return tuple(
        result.model_copy(
            update={
                "index": asked[result.index].index,
                "first_stage_score": asked[result.index].first_stage_score,
                "scored_by": model if result.scored else None,
            }
        )
        for result in results
    )


def above(upper: Sequence[Result], lower: Sequence[Result]) -> list[Result]:
    """Return the order of all documents of `lower`, in which those that `upper` has scored come first."""
    top = [result for result in upper if result.scored]
    raised = {result.index for result in top}
    return [*top, *(result for result in lower if result.index not in raised)]


def joined(first: RerankResponse, parts: Sequence[StageAnswer], top_n: int | None) -> RerankResponse:
    """Return the answer of all stages; `first` is that of the first one."""
    order = reduce(lambda lower, part: above(part.results, lower), parts, list(parts[0].results))
    answers = [part.response for part in parts if part.response is not None]
    top = next((part.response for part in reversed(parts) if part.response is not None and part.scored), first)
    return first.model_copy(
        update={
            "results": order[:top_n],
            "complete": all(part.reason is None for part in parts),
            "model": top.model,
            "fusion": top.fusion,
            "timings": _summed(Timings, [each.timings for each in answers]),
            "usage": _summed(Usage, [each.usage for each in answers]),
            "batch_pairs": [pairs for each in answers for pairs in each.batch_pairs],
            "workers": [worker for each in answers for worker in each.workers],
            "stages": [part.info() for part in parts],
        }
    )


def _first_stage_of(request: RerankRequest, indexes: Sequence[int]) -> dict[str, Any]:
    """Return the first-stage scores of some documents, as fields of their request."""
    given = request.first_stage_scores()
    part = [given[index] for index in indexes]
    if any(score is not None for score in part):
        return {} if request.scores is None else {"scores": part}
    if any(score is not None for score in given):
        # A method that needs scores would be refused where none of these has one.
        return {"scores": None, "fusion": "none"}
    if request.fusion == "rrf" and not all(isinstance(each, Candidate) for each in request.documents):
        # The order in which the request has them, which is not that of `indexes`.
        sign = 1.0 if request.first_stage_order == "ascending" else -1.0
        return {"scores": [sign * index for index in indexes]}
    return {"scores": None}


def _summed(kind: type[_Sum], parts: Sequence[_Sum]) -> _Sum:
    """Return the sum of each field."""
    return kind(**{name: sum(getattr(part, name) for part in parts) for name in kind.model_fields})
