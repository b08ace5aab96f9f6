"""What the lanes of a race did, as outcomes, floors and figures: pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rerank_dev.bench.engine.compare import agreement, paired_ratios
from rerank_dev.bench.engine.floor import ModelShape, floor_s
from rerank_dev.bench.engine.lineup.contenders import REFERENCE, Contender
from rerank_dev.bench.engine.lineup.targets import Targets
from rerank_dev.bench.engine.race import Lane
from rerank_dev.bench.record import Figure

#: The lane of the bare matrix products.
GEMM = "gemm"
#: Our engines by precision, and the products that each is held against.
_FLOORS = {"int8-row": "int8", "int8": "int8", "fp32": "fp32"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one contender did with requests of k pairs. `ahead`: how many times as fast the headline was, by round.

    `cpu_share` is CPU time over wall time: about 1 on one thread. Scores are held against the reference's.
    """

    contender: str
    label: str
    precision: str
    ours: bool
    k: int
    batch_size: int | None
    failure: str | None
    seconds: list[float]
    cpu_share: float | None
    ahead: list[float]
    max_difference: float | None
    spearman: float | None


@dataclass(frozen=True, slots=True)
class Floor:
    """Time of the linear layers at the rate of bare `products`, int8 or fp32, and what share of it an engine reached.

    The engine is ours in `precision` and layout unpadded.
    """

    k: int
    precision: str
    products: str
    rates: dict[str, float]
    seconds: list[float]
    share: list[float]


def judge(
    lanes: Mapping[str, Lane],
    contenders: Sequence[Contender],
    k: int,
    batch_sizes: Mapping[str, int],
    headline: str,
) -> list[Outcome]:
    """Turn what the lanes did into outcomes, held against the headline's time and the reference's scores."""
    first = lanes.get(headline, Lane()).seconds
    reference = _reference(lanes, contenders)
    outcomes = []
    for contender in contenders:
        lane = lanes[contender.name]
        scores = [answer["scores"] for answer in lane.answers]
        agreed = agreement(scores, reference) if scores and reference else None
        cpu_s = sum(answer["cpu_s"] for answer in lane.answers)
        outcomes.append(
            Outcome(
                contender=contender.name,
                label=contender.label,
                precision=contender.precision,
                ours=contender.ours,
                k=k,
                batch_size=batch_sizes.get(contender.name),
                failure=lane.failure,
                seconds=lane.seconds,
                cpu_share=cpu_s / sum(lane.seconds) if lane.seconds else None,
                ahead=paired_ratios(lane.seconds, first) if lane.seconds and first else [],
                max_difference=agreed.max_difference if agreed else None,
                spearman=agreed.spearman if agreed else None,
            )
        )
    return outcomes


def find_floors(lanes: Mapping[str, Lane], k: int, tokens: Sequence[int], shape: ModelShape) -> list[Floor]:
    """Return the floor of each of our precisions that ran, round by round, and what layout unpadded reached of it."""
    answers = lanes.get(GEMM, Lane()).answers
    floors = []
    for precision, products in _FLOORS.items():
        engine = lanes.get(f"ours-{precision}-unpadded", Lane()).seconds
        seconds = [floor_s(n, shape, answer["rates"][products]) for n, answer in zip(tokens, answers, strict=False)]
        if seconds and engine:
            rates = _best_rates(answers, products)
            floors.append(Floor(k, precision, products, rates, seconds, paired_ratios(seconds, engine)))
    return floors


def target_figures(model: str, outcomes: Sequence[Outcome], headline: str, targets: Targets) -> list[Figure]:
    """Return how far ahead the headline is of those it has a target against."""
    ours = next((outcome.precision for outcome in outcomes if outcome.contender == headline), "")
    figures = []
    for outcome in outcomes:
        limit = targets.ahead.get(outcome.contender)
        if limit is not None and outcome.ahead:
            name = f"{model}, k={outcome.k}: our {ours} over {outcome.label} ({outcome.precision})"
            figures.append(Figure.of(name, outcome.ahead, "x", "at least", limit))
    return figures


def floor_figures(model: str, floors: Sequence[Floor], headline: str, targets: Targets) -> list[Figure]:
    """Return the shares of the floors that were reached; only the headline has a target."""
    figures = []
    for floor in floors:
        name = f"{model}, k={floor.k}: share of the {floor.products} product floor by {floor.precision}"
        if targets.floor_share is not None and headline == f"ours-{floor.precision}-unpadded":
            figures.append(Figure.of(name, floor.share, "", "at least", targets.floor_share))
        else:
            figures.append(Figure.of(name, floor.share, ""))
    return figures


def _reference(lanes: Mapping[str, Lane], contenders: Sequence[Contender]) -> list[list[float]]:
    """Return the scores that count as right: sentence-transformers', or without it those of any in fp32."""
    fp32 = [contender.name for contender in contenders if contender.precision == "fp32"]
    for name in (REFERENCE, *fp32):
        if answers := lanes.get(name, Lane()).answers:
            return [answer["scores"] for answer in answers]
    return []


def _best_rates(products: Sequence[dict[str, Any]], precision: str) -> dict[str, float]:
    """Return the median over the rounds of each shape's best rate."""
    rounds = [answer["rates"][precision] for answer in products]
    shapes = rounds[0] if rounds else {}
    return {shape: statistics.median(max(rates[shape].values()) for rates in rounds) for shape in shapes}
