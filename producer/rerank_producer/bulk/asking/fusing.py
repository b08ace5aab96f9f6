"""Fusion in a bulk run: its method is settled, and its ratio measured, before the first row is written.

A ratio that is learned while requests pass would differ from run to run. Here `weighted` measures it on the first rows
of the input, the same way each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rerank_producer.fusion.methods import mean_deviations
from rerank_shared.contract.messages import Fusion
from rerank_shared.contract.schemas import RerankRequest, RerankResponse
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import FirstStageOrder, FusionMethod

#: Rows that the ratio is measured on. Orders rest on 30 in a fleet that learns while it runs.
PILOT_ROWS = 100


@dataclass(frozen=True, slots=True)
class RunFusion:
    """How first-stage scores count in a run, where a row does not say. `ratio` None: it is still to be measured.

    `asked` says that the run itself was asked for the method; else it is a default, for rows that have scores.
    """

    method: FusionMethod = "none"
    weight: float = 1.0
    ratio: float | None = None
    order: FirstStageOrder | None = None
    asked: bool = False

    @property
    def needs_ratio(self) -> bool:
        """Whether a ratio is to be measured before the first row."""
        return self.method == "weighted" and self.ratio is None

    def with_ratio(self, ratio: float | None) -> RunFusion:
        """Return it with a ratio."""
        return replace(self, ratio=ratio)

    def applied_to(self, request: RerankRequest) -> RerankRequest:
        """Return the request with this fusion where it has none of its own. Raises InvalidRequest.

        A row that itself asks for `weighted` has to bring the ratio, or the run has to have one.
        """
        update: dict[str, object] = {}
        if self.order is not None and "first_stage_order" not in request.model_fields_set:
            update["first_stage_order"] = self.order
        if all(score is None for score in request.first_stage_scores()):
            # A method that was asked for is left to the client, which refuses it or takes the order of the documents.
            method = request.fusion or (self.method if self.asked else "none")
            return request.model_copy(update=update | {"fusion": method, "fusion_weight": self._weight(request)})
        method = request.fusion or self.method
        update |= {"fusion": method, "fusion_weight": self._weight(request)}
        if method == "weighted" and request.fusion_ratio is None:
            if self.ratio is None:
                raise InvalidRequest(
                    "fusion: 'weighted' learns its ratio while it runs, and a bulk run has to give the same answer "
                    "each time. Give the row a `fusion_ratio`, or the whole run --fusion weighted"
                )
            update["fusion_ratio"] = self.ratio
        return request.model_copy(update=update)

    def _weight(self, request: RerankRequest) -> float:
        return self.weight if request.fusion_weight is None else request.fusion_weight


def measured_ratio(answers: Iterable[tuple[RerankRequest, RerankResponse]], order: FirstStageOrder | None) -> float:
    """Return the ratio of logits' deviation to that of first-stage scores, by geometric means over some rows.

    Raises InvalidRequest where no row tells: none has two first-stage scores that differ.
    """
    known = mean_deviations(_lesson(request, response, order) for request, response in answers)
    if known is None:
        raise InvalidRequest(
            f"fusion: the first {PILOT_ROWS} rows have no first-stage scores that differ, so there is no ratio to "
            "measure. Give --fusion-ratio, or another --fusion"
        )
    return known.ratio


def _lesson(
    request: RerankRequest, response: RerankResponse, order: FirstStageOrder | None
) -> tuple[Sequence[float | None], Fusion]:
    """Return the logits of a request's documents, and their first-stage scores."""
    logits: list[float | None] = [None] * len(request.documents)
    for result in response.results:
        logits[result.index] = result.logit
    scores = tuple(request.first_stage_scores())
    return logits, Fusion(method="weighted", weight=1.0, scores=scores, order=order or request.first_stage_order)
