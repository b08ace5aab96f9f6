"""A request is split by tokens, and memory is read where the system tells it."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rerank_dev.bench.engine import processes
from rerank_dev.bench.engine.lineup.models import MODELS
from rerank_dev.bench.engine.place import Place
from rerank_dev.bench.engine.processes import Engines, memory, pss_mb, split_by_tokens


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


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engines:
    """Engines whose fleet has a known size by each kernel, since two fleets of eight take a minute."""
    sizes = {"avx512": 340.0, "onnxruntime": 297.0}
    monkeypatch.setattr(processes, "fleet_mb", lambda engines, requests, kernel: sizes[kernel])
    monkeypatch.setattr(processes, "weights_mb", lambda engines: 30.0)
    return Engines(Place(tmp_path, "python"), MODELS[0], tmp_path / "requests.json", "avx512")


def test_the_memory_of_a_kernel_is_held_against_the_fleet_without_it(engines: Engines) -> None:
    whole, without, added = memory(engines, [])
    assert whole.name == "minilm-l6: memory of a fleet of 8 workers beyond the weights (30 MB)"
    assert (whole.value, whole.target) == (340.0, "at most 480")
    assert (without.value, without.target) == (297.0, None)
    assert (added.value, added.target, added.met) == (43.0, "at most 60", True)


def test_without_a_kernel_there_is_nothing_to_compare(engines: Engines) -> None:
    (whole,) = memory(replace(engines, kernel="onnxruntime"), [])
    assert whole.value == 297.0
