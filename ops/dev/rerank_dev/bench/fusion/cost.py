"""Cost of fusing: microseconds that it adds to ranking and answering a request of 50, methods in turns."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial

from rerank_dev.bench.record import Figure
from rerank_producer._request.ranking import ranking_of
from rerank_producer._request.response import build_response
from rerank_shared.contract.messages import Fusion, Score, ScoringIdentity, StoredRequest
from rerank_shared.contract.schemas import Timings

_DOCUMENTS = 50
_ROUNDS = 400
_CALLS = 10
_LIMIT_US = 20.0
_IDENTITY = ScoringIdentity("model", "e" * 64, "a" * 64, "int8", "bert", 512, "longest_first", "sigmoid")


def cost() -> list[Figure]:
    """Return the microseconds of ranking today, what each method adds, and what its fields add to the response."""
    requests = {"none": _request(None)} | {
        name: _request(fusion)
        for name, fusion in (
            ("weighted", Fusion("weighted", 1.0, _scores(), ratio=0.3, learned_requests=100)),
            ("zscore", Fusion("zscore", 1.0, _scores())),
            ("rrf", Fusion("rrf", 1.0, _scores())),
        )
    }
    ranked: dict[str, list[float]] = {name: [] for name in requests}
    answered: dict[str, list[float]] = {name: [] for name in requests}
    for _ in range(_ROUNDS):
        for name, request in requests.items():
            ranking = ranking_of(request, None)
            ranked[name].append(_microseconds(partial(ranking_of, request, None)))
            answer = partial(build_response, request, None, ranking, timings=Timings())
            answered[name].append(_microseconds(answer))
    figures = [Figure.of("ranking 50 documents by logit", ranked["none"], "us")]
    for name in list(requests)[1:]:
        added = [fused - plain for fused, plain in zip(ranked[name], ranked["none"], strict=True)]
        figures.append(Figure.of(f"added by {name}", added, "us", "at most", _LIMIT_US))
    more = [fused - plain for fused, plain in zip(answered["weighted"], answered["none"], strict=True)]
    return [*figures, Figure.of("added to the response by two more fields a document", more, "us")]


def _microseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(_CALLS):
        call()
    return (time.perf_counter() - started) / _CALLS * 1e6


def _scores() -> tuple[float, ...]:
    draw = random.Random(7)
    return tuple(draw.gauss(12.0, 4.0) for _ in range(_DOCUMENTS))


def _request(fusion: Fusion | None) -> StoredRequest:
    draw = random.Random(8)
    hits = {index: Score(draw.gauss(0.0, 4.0), 60, False) for index in range(_DOCUMENTS)}
    ids = tuple(f"document {index}" for index in range(_DOCUMENTS))
    return StoredRequest("job", "interactive", "model", ids, hits, (), None, 1.0, 2.0, _IDENTITY, fusion=fusion)
