"""Whether a step of a rollout is held longer, goes on or goes back. Pure: figures and seconds in, a verdict out.

A bound is broken where the figures are beyond it and chance explains that badly, so that one failed request of twenty
takes nothing back. Figures that are beyond a bound and may be chance are watched longer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rerank_producer.routed.figures import Figures, durations_beside
from rerank_shared.keys import HEARTBEAT_TTL_S
from rerank_shared.routing.rollout_plan import Bounds, Names, Plan
from rerank_shared.watch.log_buckets import DURATIONS

#: Figures that a model within its bounds shows by chance in fewer than one look of a thousand break a bound: a step is
#: looked at each second, and a sound model must not be taken back for that.
CHANCE = 0.001
#: The share of requests that a 95th percentile leaves above it.
_ABOVE_P95 = 0.05
#: A new model whose heartbeats are missing for so long is gone.
GONE_S = 2.0 * HEARTBEAT_TTL_S


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a step. `says` tells the figures that broke a bound, or what a longer hold waits for."""

    kind: Literal["hold", "on", "back"]
    says: str = ""


@dataclass(frozen=True, slots=True)
class _Excess:
    """Figures beyond a bound, in words, and how probable they are for a model at the bound."""

    says: str
    chance: float


def judge(plan: Plan, names: Names, held_s: float, old: Figures, new: Figures, gone_s: float) -> Verdict:
    """Return the verdict on a step that is held for `held_s`; `gone_s` is how long the new model has no live process.

    `old` are figures to compare with: those of the same step, or of an earlier one where it had too few.
    """
    if gone_s >= GONE_S:
        return Verdict("back", f"no live worker has served {names.new} for {gone_s:.0f} s")
    excesses = [*_errors(plan.bounds, names, old, new), *_slowness(plan.bounds, names, old, new)]
    broken = [each.says for each in excesses if each.chance < CHANCE]
    if broken:
        return Verdict("back", "; ".join(broken))
    if held_s < plan.hold_s:
        return Verdict("hold")
    return _after_hold(plan, names, held_s, new, [each.says for each in excesses])


def _after_hold(plan: Plan, names: Names, held_s: float, new: Figures, beyond: Sequence[str]) -> Verdict:
    over = held_s >= plan.max_hold_s
    if new.requests < plan.min_requests:
        few = f"{names.new} has ended {new.requests} of the {plan.min_requests} requests that a step needs"
        return Verdict("back", f"{few}, after {held_s:.0f} s") if over else Verdict("hold", few)
    if beyond:
        return Verdict("back" if over else "hold", "; ".join(beyond))
    return Verdict("on")


def _errors(bounds: Bounds, names: Names, old: Figures, new: Figures) -> list[_Excess]:
    allowed = min(1.0, bounds.error_share + old.error_share)
    if new.error_share <= allowed:
        return []
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(new.outcomes.items()) if kind != "complete" and count)
    says = (
        f"errors: {new.failed} of {new.requests} requests to {names.new} failed ({new.error_share:.1%}: {kinds}), "
        f"{old.failed} of {old.requests} to {names.old} ({old.error_share:.1%}); the bound is {bounds.error_share:.1%} "
        "more"
    )
    return [_Excess(says, tail(new.failed, new.requests, allowed))]


def _slowness(bounds: Bounds, names: Names, old: Figures, new: Figures) -> list[_Excess]:
    found = []
    for each in durations_beside(old, new):
        if each.ratio <= bounds.p95_ratio:
            continue
        limit_s = bounds.p95_ratio * each.old_ms / 1000
        slow = sum(number for bucket, number in new.seconds[each.k].items() if DURATIONS.middle(bucket) > limit_s)
        says = (
            f"P95 of requests with {each.k} scored documents: {names.new} {each.new_ms:.0f} ms ({each.new_requests} "
            f"requests), {names.old} {each.old_ms:.0f} ms ({each.old_requests}); the bound is "
            f"{bounds.p95_ratio:g} times"
        )
        found.append(_Excess(says, tail(slow, each.new_requests, _ABOVE_P95)))
    return found


def tail(least: int, trials: int, probability: float) -> float:
    """Return how probable at least `least` successes in `trials` are: the upper tail of a binomial distribution.

    1 where `least` is no more than expected; there the exact value is of no use to the policy.
    """
    if least <= trials * probability:
        return 1.0
    if probability <= 0:
        return 0.0
    log_odds = math.log(probability) - math.log1p(-probability)
    ways = math.lgamma(trials + 1) - math.lgamma(least + 1) - math.lgamma(trials - least + 1)
    term = math.exp(ways + least * log_odds + trials * math.log1p(-probability))
    total = 0.0
    # Beyond the expected number each term is smaller than the one before, by an ever smaller ratio.
    for successes in range(least, trials + 1):
        total += term
        if term < total * 1e-12:
            break
        term *= (trials - successes) / (successes + 1) * math.exp(log_odds)
    return min(1.0, total)
