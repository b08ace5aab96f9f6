"""Workload: draws requests with lengths, classes, tenants and deadlines from a few distributions.

The slowness of a request's runs is drawn with the request, not when it runs, so that the compared fleets and policies
get the same random numbers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from rerank_shared.keys import JobClass

_T = TypeVar("_T")
#: Least tokens of a pair: [CLS] query [SEP] document [SEP], with one word each.
_LEAST_TOKENS = 5


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    `tokens` are those of each pair in first-stage order. `slowness` is actual over predicted time of its runs.
    Requests with the same `query` have the same pairs; None: no other request has them.
    """

    at_s: float
    tokens: tuple[int, ...]
    deadline_s: float = 30.0
    job_class: JobClass = "interactive"
    tenant: str = ""
    partial: bool = True
    slowness: float = 1.0
    query: int | None = None


@dataclass(frozen=True, slots=True)
class Mix:
    """Distributions of requests. Choices are pairs of a value and its weight; shares are 0 to 1.

    `spread` is the standard deviation of the logarithm of a pair's tokens, `noise` that of a request's slowness, whose
    mean is 1. `queries` is the number of different queries, the n-th n^-zipf as frequent as the first; 0: all requests
    differ.
    """

    k: tuple[tuple[int, float], ...] = ((50, 1.0),)
    mean_tokens: float = 100.0
    spread: float = 0.43
    max_tokens: int = 512
    deadline_s: float = 30.0
    tight_share: float = 0.0
    tight_deadline_s: float = 0.5
    bulk_share: float = 0.0
    bulk_deadline_s: float = 3600.0
    tenants: tuple[tuple[str, float], ...] = (("", 1.0),)
    queries: int = 0
    zipf: float = 1.0
    noise: float = 0.1
    partial: bool = True


def draw(mix: Mix, times: Iterable[float], seed: int) -> list[Request]:
    """Return one request for each time."""
    drawing = _Drawing(mix, seed)
    return [drawing.request(at_s) for at_s in times]


def lengths(rng: random.Random, count: int, mean: float, spread: float, most: int) -> tuple[int, ...]:
    """Draw the tokens of `count` pairs from a log-normal law with this mean, cut at `most` as a model cuts them."""
    if spread == 0:
        return (min(most, max(1, round(mean))),) * count
    mu = math.log(mean) - spread * spread / 2
    draw_one = rng.lognormvariate
    return tuple(min(most, max(_LEAST_TOKENS, round(draw_one(mu, spread)))) for _ in range(count))


def slowness(rng: random.Random, noise: float) -> float:
    """Draw the actual over the predicted time of a request's runs: log-normal, mean 1."""
    return rng.lognormvariate(-noise * noise / 2, noise) if noise > 0 else 1.0


class _Drawing:
    """Draws requests. Each property has its own random stream, so that changing one leaves the others unchanged."""

    def __init__(self, mix: Mix, seed: int) -> None:
        self._mix = mix
        self._seed = seed
        self._rng = {name: random.Random(f"{seed}:{name}") for name in ("pairs", "class", "tenant", "noise", "query")}
        self._k = ([k for k, _ in mix.k], list(accumulate(weight for _, weight in mix.k)))
        self._tenants = ([name for name, _ in mix.tenants], list(accumulate(weight for _, weight in mix.tenants)))
        self._popularity = list(accumulate((n + 1) ** -mix.zipf for n in range(mix.queries)))
        self._asked: dict[int, tuple[int, ...]] = {}

    def request(self, at_s: float) -> Request:
        mix, rng = self._mix, self._rng
        is_bulk, is_tight = (rng["class"].random() < share for share in (mix.bulk_share, mix.tight_share))
        deadline_s = mix.bulk_deadline_s if is_bulk else mix.tight_deadline_s if is_tight else mix.deadline_s
        query = _choose(rng["query"], range(mix.queries), self._popularity) if mix.queries else None
        return Request(
            at_s=at_s,
            tokens=self._pairs(rng["pairs"]) if query is None else self._pairs_of(query),
            deadline_s=deadline_s,
            job_class="bulk" if is_bulk else "interactive",
            tenant=_choose(rng["tenant"], *self._tenants),
            partial=mix.partial,
            slowness=slowness(rng["noise"], mix.noise),
            query=query,
        )

    def _pairs_of(self, query: int) -> tuple[int, ...]:
        if query not in self._asked:
            self._asked[query] = self._pairs(random.Random(f"{self._seed}:query:{query}"))
        return self._asked[query]

    def _pairs(self, rng: random.Random) -> tuple[int, ...]:
        mix = self._mix
        return lengths(rng, _choose(rng, *self._k), mix.mean_tokens, mix.spread, mix.max_tokens)


def _choose(rng: random.Random, values: Sequence[_T], weights: Sequence[float]) -> _T:
    return rng.choices(values, cum_weights=weights)[0]
