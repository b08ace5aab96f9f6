"""The step that pairs share: a row's logit is the same bits in any company and place, or rows are run one by one."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.export.graph.tail import build_tail
from rerank_shared.scheduling.runs import SHARED_ROWS
from rerank_worker.engine.session import open_session
from rerank_worker.engine.tail import Tail
from support.model.exports import HEADS, HIDDEN, random_body

WIDTH = (HEADS + 1) * HIDDEN
Floats = npt.NDArray[np.float32]


@cache
def session() -> Any:
    return onnxruntime.InferenceSession(
        build_tail(random_body()).SerializeToString(), providers=["CPUExecutionProvider"]
    )


@cache
def rows() -> Floats:
    return np.random.default_rng(3).standard_normal((11, WIDTH), dtype=np.float32)


@cache
def alone() -> list[float]:
    tail = Tail(session())
    return [tail.logits(rows()[i : i + 1]).tolist()[0] for i in range(len(rows()))]


@dataclass
class Crooked:
    """A session whose rounding depends on a row's place in its block, as some CPUs' kernels do."""

    blocks: list[int] = field(default_factory=list)

    def get_inputs(self) -> list[Any]:
        return list(session().get_inputs())

    def run(self, outputs: None, feeds: dict[str, Floats]) -> list[Floats]:
        given = feeds["rows"]
        self.blocks.append(len(given))
        return [(given[:, :1] + np.arange(len(given), dtype=np.float32)[:, None] * 1e-6).astype(np.float32)]


@dataclass
class Counting:
    """A real session that notes how many rows each run had."""

    inner: Any
    blocks: list[int] = field(default_factory=list)

    def get_inputs(self) -> list[Any]:
        return list(self.inner.get_inputs())

    def run(self, outputs: None, feeds: dict[str, Floats]) -> list[Floats]:
        self.blocks.append(len(feeds["rows"]))
        return list(self.inner.run(outputs, feeds))


@given(st.lists(st.integers(0, 10), min_size=1, max_size=13))
def test_a_row_has_the_same_logit_in_any_company_and_place(chosen: list[int]) -> None:
    assert Tail(session()).logits(rows()[chosen]).tolist() == [alone()[i] for i in chosen]


def test_it_is_the_graph_s_own_result() -> None:
    (expected,) = session().run(None, {"rows": rows()})
    assert Tail(session()).logits(rows()) == pytest.approx(expected.reshape(-1), rel=1e-5)
    assert len(set(alone())) == len(rows())


def test_where_rounding_depends_on_the_place_rows_are_run_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    crooked = Crooked()
    with caplog.at_level(logging.WARNING):
        tail = Tail(crooked)
    assert "row by row" in caplog.text
    crooked.blocks.clear()
    assert tail.logits(rows()).tolist() == rows()[:, 0].tolist()
    assert crooked.blocks == [1] * len(rows())


def test_blocks_are_of_one_size_and_filled_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "tail.onnx"
    path.write_bytes(build_tail(random_body()).SerializeToString())
    counting = Counting(open_session(path, optimise=False))
    tail = Tail(counting)
    assert not caplog.records
    counting.blocks.clear()
    for count in range(1, 12):
        tail.logits(rows()[:count])
    assert set(counting.blocks) == {SHARED_ROWS}
    assert len(counting.blocks) == sum(-(-count // SHARED_ROWS) for count in range(1, 12))
