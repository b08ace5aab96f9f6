"""When a waiting caller looks, sends again and gives up, on a clock that the test moves."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rerank_producer.patience import Act, Patience

Log = list[tuple[float, Act]]


def live(patience: Patience, until: float, restored: tuple[float, ...] = ()) -> Log:
    """Do what the policy says until it stops; sleep exactly as long as it allows, or less when the line comes back."""
    log: Log = []
    now, interrupts = patience.sent_at, sorted(restored)
    for _ in range(10_000):
        act = patience.act(now)
        if act is Act.STOP:
            return [*log, (round(now, 6), act)]
        if act is not Act.WAIT:
            log.append((round(now, 6), act))
            continue
        wake = now + patience.wait_s(now)
        assert wake > now, "a wait of no length would spin"
        if interrupts and interrupts[0] <= wake:
            wake = max(now, interrupts.pop(0))
            patience.line_restored(wake)
        now = wake
        assert now <= until
    raise AssertionError("never gave up")


def test_looks_after_half_a_second_then_each_second_and_sends_after_ever_longer_silence() -> None:
    long = live(Patience(0.0, 30.0, redelivery_s=3.0), 30.0)
    assert [at for at, act in long if act is Act.SEND] == [3.0, 9.0, 21.0]
    log = live(Patience(0.0, 8.0, redelivery_s=3.0), 8.0)
    assert [at for at, act in log if act is Act.CHECK] == [0.5, 1.5, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert [at for at, act in log if act is Act.SEND] == [3.0]
    assert log[-1] == (8.0, Act.STOP)


def test_restored_line_is_looked_at_and_sent_on_at_once() -> None:
    log = live(Patience(0.0, 2.0, redelivery_s=60.0), 2.0, restored=(0.2,))
    assert log[:2] == [(0.2, Act.CHECK), (0.2, Act.SEND)]
    assert [act for _, act in log[2:]] == [Act.CHECK, Act.STOP]


def test_what_can_not_be_sent_again_is_only_looked_for() -> None:
    log = live(Patience(0.0, 5.0, redelivery_s=0.0, resends=False), 5.0, restored=(0.1, 2.2))
    assert Act.SEND not in [act for _, act in log]
    assert (0.1, Act.CHECK) in log
    assert (2.2, Act.CHECK) in log


def test_deadline_in_the_past_stops_at_once() -> None:
    assert Patience(10.0, 9.0, redelivery_s=1.0).act(10.0) is Act.STOP


@given(
    st.floats(0.001, 40),
    st.floats(0.5, 20),
    st.booleans(),
    st.lists(st.floats(0, 40), max_size=5).map(tuple),
)
def test_policy_ends_looks_before_it_sends_and_never_spins(
    wait_s: float, redelivery_s: float, resends: bool, restored: tuple[float, ...]
) -> None:
    log = live(Patience(100.0, 100.0 + wait_s, redelivery_s, resends), 100.0 + wait_s, tuple(100 + r for r in restored))
    assert log[-1][1] is Act.STOP
    assert all(at < 100.0 + wait_s for at, act in log[:-1]) or len(log) == 1
    sends = [position for position, (_, act) in enumerate(log) if act is Act.SEND]
    assert all(log[position - 1] == (log[position][0], Act.CHECK) for position in sends)
    assert len(sends) <= (wait_s / redelivery_s + len(restored) if resends else 0)
    checks = [100.0] + [at for at, act in log if act is not Act.SEND]
    assert all(later - earlier <= 1.000_01 for earlier, later in pairwise(checks))


def test_what_is_late_is_hedged_after_a_look_and_once() -> None:
    patience = Patience(0.0, 10.0, redelivery_s=60.0, late_at=0.3)
    log = live(patience, 10.0)
    hedges = [at for at, act in log if act is Act.HEDGE]
    assert hedges[0] == 0.3
    assert all(later - earlier >= 0.25 for earlier, later in pairwise(hedges))
    assert log[log.index((0.3, Act.HEDGE)) - 1] == (0.3, Act.CHECK)
    patience = Patience(0.0, 10.0, redelivery_s=60.0, late_at=0.3)
    patience.hedged()
    assert Act.HEDGE not in [act for _, act in live(patience, 10.0)]
