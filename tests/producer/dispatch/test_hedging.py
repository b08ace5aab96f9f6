"""When a waiting caller looks, hedges and gives up, on a clock that the test moves."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rerank_producer._dispatch.hedging import Act, HedgePolicy

Log = list[tuple[float, Act]]


def live(policy: HedgePolicy, until: float, restored: tuple[float, ...] = ()) -> Log:
    """Do what the policy says until it stops; sleep exactly as long as it allows, or less when the line comes back."""
    log: Log = []
    now, interrupts = policy.sent_at, sorted(restored)
    for _ in range(10_000):
        act = policy.act(now)
        if act is Act.STOP:
            return [*log, (round(now, 6), act)]
        if act is not Act.WAIT:
            log.append((round(now, 6), act))
            continue
        wake = now + policy.wait_s(now)
        assert wake > now, "a wait of no length would spin"
        if interrupts and interrupts[0] <= wake:
            wake = max(now, interrupts.pop(0))
            policy.reconnected(wake)
        now = wake
        assert now <= until
    raise AssertionError("never gave up")


def test_looks_after_half_a_second_then_each_second() -> None:
    log = live(HedgePolicy(0.0, 8.0), 8.0)
    assert log == [(0.5 + number, Act.CHECK) for number in range(8)] + [(8.0, Act.STOP)]


def test_restored_line_is_looked_at_at_once() -> None:
    log = live(HedgePolicy(0.0, 2.0), 2.0, restored=(0.2,))
    assert log == [(0.2, Act.CHECK), (1.2, Act.CHECK), (2.0, Act.STOP)]


def test_deadline_in_the_past_stops_at_once() -> None:
    assert HedgePolicy(10.0, 9.0).act(10.0) is Act.STOP


@given(
    st.floats(0.001, 40),
    st.none() | st.floats(0.01, 40),
    st.lists(st.floats(0, 40), max_size=5).map(tuple),
)
def test_policy_ends_looks_before_it_hedges_and_never_spins(
    wait_s: float, late_s: float | None, restored: tuple[float, ...]
) -> None:
    late_at = math.inf if late_s is None else 100.0 + late_s
    log = live(HedgePolicy(100.0, 100.0 + wait_s, late_at), 100.0 + wait_s, tuple(100 + r for r in restored))
    assert log[-1][1] is Act.STOP
    assert all(at < 100.0 + wait_s for at, act in log[:-1]) or len(log) == 1
    hedges = [position for position, (_, act) in enumerate(log) if act is Act.HEDGE]
    assert all(log[position - 1] == (log[position][0], Act.CHECK) for position in hedges)
    assert (late_s is not None and late_s < wait_s) or not hedges
    checks = [100.0] + [at for at, act in log if act is not Act.HEDGE]
    assert all(later - earlier <= 1.000_01 for earlier, later in pairwise(checks))


def test_what_is_late_is_hedged_after_a_look_and_once() -> None:
    policy = HedgePolicy(0.0, 10.0, late_at=0.3)
    log = live(policy, 10.0)
    hedges = [at for at, act in log if act is Act.HEDGE]
    assert hedges[0] == 0.3
    assert all(later - earlier >= 0.25 for earlier, later in pairwise(hedges))
    assert log[log.index((0.3, Act.HEDGE)) - 1] == (0.3, Act.CHECK)
    policy = HedgePolicy(0.0, 10.0, late_at=0.3)
    policy.hedged()
    assert Act.HEDGE not in [act for _, act in live(policy, 10.0)]
