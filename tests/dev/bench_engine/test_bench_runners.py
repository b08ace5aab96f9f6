"""Our own runners: scores come back in the order of the documents, and bare products are what they claim."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from rerank_dev.bench.engine.runners.gemm import product, rate
from rerank_dev.bench.engine.runners.ours import open_ours, score_pairs
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.engine.kernels import kernels_here
from rerank_worker.tokenizing import EncodedPair
from support.model.exports import KERNEL_HIDDEN, write_export
from support.scoring import scorer_of


def pair(tokens: int) -> EncodedPair:
    ids = np.full(tokens, tokens, dtype=np.int64)
    return EncodedPair(ids=ids, type_ids=np.zeros(tokens, dtype=np.int64), truncated=False)


class LengthEngine:
    """Scores a pair by its length, two a run."""

    joins_runs = False

    def __init__(self) -> None:
        self.ran: list[list[int]] = []

    def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
        return [range(start, min(start + 2, len(pairs))) for start in range(0, len(pairs), 2)]

    def score(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        self.ran.append([pair.tokens for pair in pairs])
        return np.array([pair.tokens for pair in pairs], dtype=np.float32)


@pytest.mark.parametrize(
    ("layout", "ran"),
    [("unpadded", [[9, 3], [7, 5], [1]]), ("varlen", [[1, 3], [5, 7], [9]])],
)
def test_pairs_run_as_in_a_worker_and_come_back_in_order(layout: LayoutName, ran: list[list[int]]) -> None:
    """A batch of layout unpadded has four pairs, the most urgent first; another one has as many as fit, by length."""
    engine = LengthEngine()
    pairs = [pair(9), pair(3), pair(7), pair(5), pair(1)]
    run_cost = RunCost(RunShape(layout))
    assert score_pairs(scorer_of(engine), pairs, run_cost) == [9, 3, 7, 5, 1]
    assert engine.ran == ran
    assert run_cost.predict_s([9]) > 0


def test_what_ends_soon_shares_a_run_as_in_a_worker() -> None:
    engine = LengthEngine()
    engine.joins_runs = True
    run_cost = RunCost()
    run_cost.adopt(CostParameters(0.0, 1e-4, 0.0))
    assert score_pairs(scorer_of(engine), [pair(9), pair(3), pair(7), pair(5), pair(1)], run_cost) == [9, 3, 7, 5, 1]
    assert engine.ran == [[9, 3, 7, 5, 1]]


def test_the_int8_product_is_of_unsigned_activations() -> None:
    session = product("int8", 8, 4)
    random = np.random.default_rng(0)
    weights = random.integers(-127, 128, (8, 4)).astype(np.int32)
    x = np.arange(16, dtype=np.uint8).reshape(2, 8)
    (found,) = session.run(None, {"x": x})
    assert np.array_equal(found, (x.astype(np.int32) - 128) @ weights)


@pytest.mark.parametrize("kind", ["int8", "fp32"])
def test_a_rate_is_a_positive_number(kind: str) -> None:
    assert rate(product(kind, 16, 16), kind, 4, 16, 16) > 0


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 export that kernels take, and that no gate has measured."""
    return write_export(tmp_path_factory.mktemp("models") / "ours-int8", "int8", ("unpadded",), hidden=KERNEL_HIDDEN)


@pytest.mark.skipif(not kernels_here("portable"), reason="rerank-fleet-kernels is not installed")
def test_one_export_runs_by_a_kernel_and_by_operators_with_scores_of_their_own(exported: Path) -> None:
    pairs = [pair(tokens) for tokens in (5, 9, 17)]
    kernel, operators = (open_ours(exported, "unpadded", kernel=name) for name in ("portable", "onnxruntime"))
    by_kernel, by_operators = score_pairs(kernel, pairs, RunCost()), score_pairs(operators, pairs, RunCost())
    assert by_kernel != by_operators
    assert by_kernel == pytest.approx(by_operators, abs=0.3 * float(np.std(by_operators)) + 0.1)


def test_a_kernel_that_can_not_be_had_is_an_error(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rerank_worker.engine.kernels.start.installed", lambda: None)
    with pytest.raises(ConfigurationError, match="RERANK_KERNEL=portable can't be had"):
        open_ours(exported, "unpadded", kernel="portable")
