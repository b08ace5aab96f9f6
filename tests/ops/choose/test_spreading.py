"""Calls over cores: the same answers in the same order, and no caller sees that a process was killed."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest

from rerank_ops.choose import spreading
from rerank_ops.choose.load import Cut, Fleet
from rerank_ops.choose.spreading import one_by_one, over_cores
from rerank_ops.simulate.model.spec import FleetSpec
from support.choice import COST, LENGTHS, scored, times


def _where(number: int) -> tuple[int, int]:
    return number, os.getpid()


def _killed_elsewhere(parent: int, number: int) -> int:
    if os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _refuses(number: int) -> int:
    raise ValueError(f"number {number}")


def _p95_ms(cut: Cut) -> float:
    return cut.latency(Fleet(4, 4.0, FleetSpec(4, COST), 30.0, requests=100)).p95_ms


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "affinity", lambda: {0, 1})


def test_items_are_answered_in_their_order_by_other_processes() -> None:
    numbers, processes = zip(*over_cores(_where, range(6)), strict=True)
    assert numbers == tuple(range(6))
    assert os.getpid() not in processes


def test_one_item_takes_no_other_process() -> None:
    assert over_cores(_where, [7]) == [(7, os.getpid())]
    assert over_cores(_where, []) == []


def test_a_process_that_is_killed_is_not_noticed() -> None:
    assert over_cores(partial(_killed_elsewhere, os.getpid()), range(3)) == [0, 1, 2]


def test_an_error_of_the_function_is_the_callers() -> None:
    with pytest.raises(ValueError, match="number"):
        over_cores(_refuses, range(3))


def test_simulated_times_are_the_same_in_any_process() -> None:
    tokens = {query.id: query.tokens for query in scored(256)}
    cuts = [Cut(times(), length, 20, tokens) for length in LENGTHS]
    assert over_cores(_p95_ms, cuts) == one_by_one(_p95_ms, cuts)
