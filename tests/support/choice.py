"""A made set where the answer is known: nothing relevant beyond k 50, nothing cut at 256 tokens, a good model."""

from __future__ import annotations

import numpy as np

from rerank_ops.choose.choosing import Judgements, Scored, chosen
from rerank_ops.choose.latency import Times
from rerank_ops.choose.load import Fleet
from rerank_ops.choose.result import Asked, Choice, Measured
from rerank_ops.evaluate.comparison import measures_of
from rerank_ops.evaluate.dataset import Labelled
from rerank_ops.evaluate.systems import System
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_ops.judging.bootstrap import Values
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.scheduling.cost import CostParameters

KS = (10, 20, 30, 50, 75, 100)
LENGTHS = (128, 256, 512)
NAMES = tuple(f"q{number:02}" for number in range(60))
COST = CostParameters(0.0005, 100e-6, 0.0)
#: Milliseconds of a pair on the two processes that were timed.
PAIR_MS = {128: 5.0, 256: 6.0, 512: 6.5}
_MEAN_TOKENS = {128: 100, 256: 120, 512: 120}


def relevant(number: int) -> list[int]:
    """Return the places of the relevant documents in the first stage's order: one of them deep, none beyond 50."""
    return [number % 10, 10 + number % 10, 20 + number % 10, 30 + number % 20]


def scored(length: int, noise: float = 0.0) -> tuple[ScoredQuery, ...]:
    """Return the scores at a length: 128 tokens lose what is in the end of half of the relevant documents."""
    random = np.random.default_rng(length)
    return tuple(_query(number, name, length, random.normal(size=100) * noise) for number, name in enumerate(NAMES))


def _query(number: int, name: str, length: int, noise: Values) -> ScoredQuery:
    logits = [-5.0 - place / 100 for place in range(100)]
    for order, place in enumerate(relevant(number)):
        logits[place] = -9.0 if length == 128 and (number + order) % 2 else 5.0
    return ScoredQuery(
        id=name,
        documents=tuple(f"{name}-{place:02}" for place in range(100)),
        logits=tuple(logit + float(more) for logit, more in zip(logits, noise, strict=True)),
        scores=tuple(20.0 - place / 10 for place in range(100)),
        tokens=(_MEAN_TOKENS[length],) * 100,
        cut=(length == 128,) * 100,
    )


def times(processes: int = 2) -> Times:
    """Return times that grow with k, in steps that no noise disturbs."""
    cells = {(length, k): dict.fromkeys(NAMES[:20], k * PAIR_MS[length]) for length in LENGTHS for k in (10, 50, 100)}
    return Times(cells, COST, processes, "a machine", asked=180)


def model(name: str = "good", noise: float = 0.0, made: Times | None = None) -> Scored:
    """Return a model as it was measured at all lengths."""
    scores = {length: scored(length, noise) for length in LENGTHS}
    info = ModelInfo(name=name, digest="ab" * 32, precision="int8", max_length=512)
    truncated = {length: float(length == 128) for length in LENGTHS}
    return Scored(Measured(name, name, info, LENGTHS, 18_000, 12_000, 0, truncated, made or times()), scores)


def choice(
    *models: Scored,
    p95_ms: float = 10_000.0,
    ks: tuple[int, ...] = KS,
    weights: tuple[float, ...] = (0.0, 1.0),
    processes: int = 2,
    rate: float | None = None,
    margin: float = 0.01,
    seed: int = 0,
) -> Choice:
    """Return what is chosen."""
    qrels = {name: {f"{name}-{place:02}": 1 for place in relevant(number)} for number, name in enumerate(NAMES)}
    order = {name: tuple(f"{name}-{place:02}" for place in range(100)) for name in NAMES}
    asked = Asked(
        data="made", queries=len(NAMES), stage="bm25", p95_ms=p95_ms, measure="nDCG@10", measures=("nDCG@10", "RR@10"),
        margin=margin, ks=ks, method="weighted", weights=weights, processes=processes, rate=rate, seed=seed,
    )  # fmt: skip
    judgements = Judgements(
        Labelled({name: f"text of {name}" for name in NAMES}, qrels),
        measures_of(asked.measures),
        System("bm25", "first stage", order, NAMES),
    )
    fleet = Fleet(processes, rate, FleetSpec(processes, COST), 30.0, seed, requests=300)
    return chosen(asked, models or (model(),), judgements, fleet, ())
