"""A request is split by tokens, and memory is read where the system tells it."""

import os
import sys

import pytest

from rerank_dev.bench.engine.processes import pss_mb, split_by_tokens


def test_parts_hold_every_pair_once_and_nearly_equal_tokens() -> None:
    tokens = [90, 10, 40, 70, 60, 30]
    parts = split_by_tokens(tokens, 2)
    assert sorted(index for part in parts for index in part) == [0, 1, 2, 3, 4, 5]
    assert [sum(tokens[index] for index in part) for part in parts] == [160, 140]


def test_the_longest_pair_comes_first() -> None:
    assert split_by_tokens([1, 5, 3], 2) == [[1], [2, 0]]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/PID/smaps_rollup")
def test_this_process_has_some_memory() -> None:
    size = pss_mb(os.getpid())
    assert size is not None
    assert 10 < size < 10_000


def test_a_process_that_is_gone_has_none() -> None:
    assert pss_mb(2**22 + 1) is None
