"""Calls over cores: the same answers in the same order, and no caller sees that a process was killed."""

from __future__ import annotations

import os
from functools import partial

import pytest

from rerank_ops.choose import spreading
from rerank_ops.choose.load import Cut
from rerank_ops.choose.spreading import one_by_one, over_cores
from support.choice import LENGTHS, scored, times
from support.spreading import killed_elsewhere, p95_ms, refuses, where


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "affinity", lambda: {0, 1})


def test_items_are_answered_in_their_order_by_other_processes() -> None:
    numbers, processes = zip(*over_cores(where, range(6)), strict=True)
    assert numbers == tuple(range(6))
    assert os.getpid() not in processes


def test_one_item_takes_no_other_process() -> None:
    assert over_cores(where, [7]) == [(7, os.getpid())]
    assert over_cores(where, []) == []


def test_a_process_that_is_killed_is_not_noticed() -> None:
    assert over_cores(partial(killed_elsewhere, os.getpid()), range(3)) == [0, 1, 2]


def test_an_error_of_the_function_is_the_callers() -> None:
    with pytest.raises(ValueError, match=r"number \d in \d+") as raised:
        over_cores(refuses, range(3))
    assert not str(raised.value).endswith(f" {os.getpid()}")


def test_simulated_times_are_the_same_in_any_process() -> None:
    tokens = {query.id: query.tokens for query in scored(256)}
    cuts = [Cut(times(), length, 20, tokens) for length in LENGTHS]
    assert over_cores(p95_ms, cuts) == one_by_one(p95_ms, cuts)
