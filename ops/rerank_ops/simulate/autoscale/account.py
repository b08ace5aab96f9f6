"""Account of a scaled fleet: what it cost, how close it kept to what was needed, and what callers saw.

What is needed at a second is what a planner knows who sees the future: as many processes as the work that arrives in
the minute around it keeps busy for `GROW_AT_SHARE` of their time.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rerank_ops.simulate.model.call import Call
from rerank_ops.simulate.model.run import Result
from rerank_ops.simulate.report import percentile
from rerank_shared.scheduling.autoscaling import GROW_AT_SHARE
from rerank_shared.scheduling.cost import Work

#: Seconds that the need at a moment is taken over, and those of which callers get one 95th percentile.
_NEED_S, _WINDOW_S = 60.0, 10.0


@dataclass(frozen=True, slots=True)
class Account:
    """One fleet. `over_s`: seconds in windows of ten whose 95th percentile was over the target, or that refused."""

    name: str
    p95_ms: float
    over_s: float
    refused: float
    late: float
    process_hours: float
    needed_hours: float
    overshoot: float
    peak: int
    turns_per_hour: float


def needs(result: Result) -> list[int]:
    """Return the processes needed at each second."""
    meter, cost = result.meter, result.spec.cost
    seconds = max(1, math.ceil(meter.ends))
    arrived = [0.0] * seconds
    for call in result.calls:
        request = call.request
        arrived[min(seconds - 1, int(request.at_s))] += request.slowness * cost.predict_s(Work.of(request.tokens))
    sums = [0.0]
    for work_s in arrived:
        sums.append(sums[-1] + work_s)
    half = int(_NEED_S / 2)
    found = []
    for second in range(seconds):
        begin, end = max(0, second - half), min(seconds, second + half)
        found.append(math.ceil((sums[end] - sums[begin]) / (end - begin) / GROW_AT_SHARE))
    return found


def account(name: str, result: Result, target_s: float, least: int) -> Account:
    """Return the account of a run; `least` processes are needed in any case."""
    begins, ends = result.meter.begins, result.meter.ends
    needed = [max(least, count) for count in needs(result)][int(begins) :]
    kept = _kept(result)[int(begins) :]
    calls = result.calls
    counts = Counter(call.end for call in calls)
    return Account(
        name=name,
        p95_ms=1000 * percentile(sorted(call.latency_s for call in calls if call.end != "refused"), 0.95),
        over_s=_over_s(calls, target_s),
        refused=counts["refused"] / len(calls),
        late=(counts["late"] + counts["partial"]) / len(calls),
        process_hours=result.process_s / 3600,
        needed_hours=sum(needed) / 3600,
        overshoot=sum(max(0, have - need) for have, need in zip(kept, needed, strict=False)) / len(needed),
        peak=max(kept),
        turns_per_hour=turns(kept) / (ends - begins) * 3600,
    )


def turns(kept: Sequence[int]) -> int:
    """Return how often a number of processes that grew shrank next, or the other way round."""
    steps = [after - before for before, after in pairwise(kept) if after != before]
    return sum((one > 0) != (next_one > 0) for one, next_one in pairwise(steps))


def _kept(result: Result) -> list[int]:
    """Return the processes that were kept at each second."""
    seconds = max(1, math.ceil(result.meter.ends))
    by_second = {int(look.at): look.kept for look in result.looks}
    kept, found = result.spec.processes, []
    for second in range(seconds):
        kept = by_second.get(second, kept)
        found.append(kept)
    return found


def _over_s(calls: Sequence[Call], target_s: float) -> float:
    windows: dict[int, list[float]] = defaultdict(list)
    for call in calls:
        took_s = math.inf if call.end in ("refused", "late") else call.latency_s
        windows[int(call.request.at_s / _WINDOW_S)].append(took_s)
    # The least value that 95 of 100 are within: interpolated between two infinite ones it would be no number.
    slow = sum(sorted(took)[math.ceil(0.95 * len(took)) - 1] > target_s for took in windows.values())
    return slow * _WINDOW_S
