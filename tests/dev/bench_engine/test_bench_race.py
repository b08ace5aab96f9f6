"""Contenders take turns round by round, one that fails drops out with its reason, and the rest go on."""

from typing import Any

import pytest

from rerank_dev.bench.engine.children import ContenderFailed
from rerank_dev.bench.engine.race import best_batch_size, race


def test_each_runs_once_a_round_before_the_next_round_begins() -> None:
    ran: list[tuple[str, int]] = []

    def runner(name: str) -> Any:
        def run(number: int) -> dict[str, Any]:
            ran.append((name, number))
            return {"seconds": float(number)}

        return run

    lanes = race({name: runner(name) for name in "abc"}, [4, 5])
    assert ran == [("a", 4), ("b", 4), ("c", 4), ("a", 5), ("b", 5), ("c", 5)]
    assert lanes["b"].seconds == [4.0, 5.0]


def test_one_that_fails_keeps_its_reason_and_no_times() -> None:
    tries: list[int] = []

    def broken(number: int) -> dict[str, Any]:
        tries.append(number)
        if number == 2:
            raise ContenderFailed("out of memory")
        return {"seconds": 1.0}

    lanes = race({"broken": broken, "sound": lambda number: {"seconds": 2.0}}, [1, 2, 3])
    assert tries == [1, 2]
    assert lanes["broken"].failure == "out of memory"
    assert lanes["broken"].seconds == []
    assert lanes["sound"].seconds == [2.0, 2.0, 2.0]


def test_a_fault_of_the_benchmark_itself_is_not_a_result() -> None:
    def wrong(number: int) -> dict[str, Any]:
        raise KeyError(number)

    with pytest.raises(KeyError):
        race({"wrong": wrong}, [1])


def test_best_batch_size_is_by_median_so_that_one_slow_start_does_not_count() -> None:
    times = {1: [9.0, 1.0, 1.0], 4: [2.0, 2.0, 2.0], 8: [0.5, 3.0, 3.0]}
    order: list[int] = []

    def seconds(size: int) -> float:
        order.append(size)
        return times[size].pop(0)

    assert best_batch_size(seconds, [1, 4, 8]) == 1
    assert order == [1, 4, 8] * 3
