"""The turns of pools in one process: by weights where there are any, else as their jobs come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rerank_shared.scheduling.pool_turns import PoolTurns

A, B, C = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"


def taken(turns: PoolTurns, waiting: Mapping[str, int], jobs: int) -> Counter[str]:
    """Take jobs from pools whose queues never end, each of the tokens that `waiting` says; returns the tokens taken."""
    tokens: Counter[str] = Counter()
    for _ in range(jobs):
        asked = turns.order([A, B, C, ""], "")
        pool = next(each for each in asked if each in waiting)
        turns.took(asked, pool, "interactive", waiting[pool])
        tokens[pool] += waiting[pool]
    return tokens


def share(tokens: Counter[str], pool: str) -> float:
    return tokens[pool] / tokens.total()


def test_without_weights_the_pool_that_woke_the_process_is_first() -> None:
    turns = PoolTurns(lambda: {A: None, B: None})
    assert not turns.weighted
    assert [turns.order(["", B, A], woken) for woken in ("", A, B)] == [["", A, B], [A, "", B], [B, "", A]]


def test_pools_give_tokens_by_weight_whatever_the_size_of_their_jobs() -> None:
    turns = PoolTurns(lambda: {A: 3.0, B: 1.0, C: None})
    tokens = taken(turns, {A: 100, B: 700}, 2_000)
    assert abs(share(tokens, A) - 0.75) < 0.01


def test_a_pool_without_a_weight_counts_as_one() -> None:
    tokens = taken(PoolTurns(lambda: {A: 2.0, B: None, C: None}), {A: 50, B: 50, C: 50}, 400)
    assert [round(share(tokens, pool), 1) for pool in (A, B, C)] == [0.5, 0.2, 0.2]


def test_the_common_queue_gives_as_much_as_all_pools_together() -> None:
    tokens = taken(PoolTurns(lambda: {A: 3.0, B: 1.0}), {A: 100, B: 100, "": 100}, 800)
    assert abs(share(tokens, "") - 0.5) < 0.01


def test_a_pool_that_was_empty_earns_no_credit() -> None:
    turns = PoolTurns(lambda: {A: 1.0, B: 1.0})
    taken(turns, {A: 100}, 1_000)
    assert taken(turns, {A: 100, B: 100}, 10) == {A: 500, B: 500}


def test_bulk_is_not_counted() -> None:
    turns = PoolTurns(lambda: {A: 1.0, B: 1.0})
    turns.took([A, B], A, "bulk", 1_000)
    assert turns.order([A, B], B) == [B, A]


def test_a_pool_that_is_served_no_longer_is_forgotten() -> None:
    turns = PoolTurns(lambda: {A: 1.0, B: 1.0})
    taken(turns, {A: 10, B: 10}, 9)
    turns.took([A], A, "interactive", 10)
    assert set(turns.had) == {A}
