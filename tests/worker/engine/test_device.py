"""The engine for GPUs, run on the CPU: the same code over host memory, with the scores of the engine for CPUs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank_ops.export.graph.build import TAIL_FILE, graph_file
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.precision import LAYOUTS, LayoutName
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import ArtefactEngine, DeviceEngine, runs_at_once, starter
from rerank_worker.engine.providers import ON_CPU, Providers
from rerank_worker.tokenizing import EncodedPair
from support.model.exports import MAX_LENGTH, pairs_of, write_export
from support.scoring import PATIENCE_S

#: Of 32-bit floats: other shapes are summed in another order.
TOLERANCE = 1e-5
LENGTHS = (16, 17, 30, 31, 32, 33, 47, 64, 65, 90, 129, 200, 511, 512)
GRAPHS = Providers(ON_CPU.options, "a test", cuda_graphs=True)
EACH_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)
PADDED_PLANS = pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "unpadded"])

Open = Callable[..., DeviceEngine]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(tmp_path_factory.mktemp("device") / "model")


@pytest.fixture
def open_device(model: Path) -> Iterator[Open]:
    opened: list[DeviceEngine] = []

    def make(layout: LayoutName, providers: Providers = ON_CPU, pairs: int = 9, tokens: int = 4_096) -> DeviceEngine:
        shape = RunShape(layout, pairs, tokens)
        opened.append(DeviceEngine(model / graph_file(layout), model / TAIL_FILE, shape, providers, MAX_LENGTH))
        return opened[-1]

    yield make
    for engine in opened:
        engine.close()


@pytest.fixture(scope="module")
def expected(model: Path) -> np.ndarray:
    """The logits of LENGTHS by the engine for CPUs."""
    engine = ArtefactEngine(model / graph_file("unpadded"), model / TAIL_FILE, RunShape())
    logits = engine.score(pairs_of(LENGTHS))
    assert np.ptp(logits) > 1_000 * TOLERANCE, "the model tells no pair from another, so no test could fail"
    return logits


class TestScores:
    @pytest.mark.parametrize(
        ("layout", "providers"), [*product(LAYOUTS, [ON_CPU]), *product(("padded", "varlen", "packed"), [GRAPHS])]
    )
    def test_are_those_of_the_engine_for_cpus(
        self, layout: LayoutName, providers: Providers, open_device: Open, expected: np.ndarray
    ) -> None:
        # Nine pairs are rounded up to ten, where their number is.
        engine, pairs = open_device(layout, providers), pairs_of(LENGTHS)
        # Twice: the first time buffers grow between runs, the second time they are used again.
        for _ in range(2):
            runs = engine.runs(pairs)
            found = np.concatenate([engine.score([pairs[i] for i in run]) for run in runs])
            assert found == pytest.approx(expected, abs=TOLERANCE)
            assert (found.dtype, len(runs) > 1) == (np.dtype(np.float32), True)

    @EACH_LAYOUT
    def test_do_not_depend_on_what_the_buffers_held(self, layout: LayoutName, open_device: Open) -> None:
        engine, pairs = open_device(layout), pairs_of((20, 400, 48))
        alone = [engine.score([pair])[0] for pair in pairs]
        for order in ([1, 0, 2], [2, 1, 0], [1, 1, 2]):
            # Each in a slot that held another pair before.
            assert [engine.score([pairs[i]])[0] for i in order] == [alone[i] for i in order]

    def test_of_layout_unpadded_depend_on_their_pair_alone(self, open_device: Open) -> None:
        engine, pairs = open_device("unpadded"), pairs_of(LENGTHS)
        alone = [engine.score([pair])[0] for pair in pairs]
        assert engine.score(pairs).tolist() == alone
        assert engine.score(pairs[::-1]).tolist() == alone[::-1]


class TestRuns:
    def test_count_padding_as_it_will_be(self, open_device: Open) -> None:
        # 33 is padded to 48: three of them and a fourth would be 192.
        pairs = pairs_of((33,) * 4)
        assert open_device("padded", pairs=8, tokens=180).runs(pairs) == [range(3), range(3, 4)]
        assert open_device("packed", pairs=8, tokens=180).runs(pairs) == [range(4)]

    def test_a_layout_without_recurring_shapes_has_no_graphs(self, open_device: Open) -> None:
        with pytest.raises(ConfigurationError, match="RERANK_LAYOUT"):
            open_device("unpadded", GRAPHS)


class TestTwoUnderWay:
    @EACH_LAYOUT
    def test_give_the_scores_of_one_after_the_other(self, layout: LayoutName, open_device: Open) -> None:
        engine, pairs = open_device(layout), pairs_of(LENGTHS)
        runs = [[pairs[i] for i in run] for run in engine.runs(pairs)]
        one_by_one = [engine.score(run).tolist() for run in runs]
        for (first, second), (want_first, want_second) in zip(pairwise(runs), pairwise(one_by_one), strict=True):
            results = [engine.start(first), engine.start(second)]
            assert [result().tolist() for result in results] == [want_first, want_second]

    def test_the_next_run_is_copied_while_one_is_computed(self, open_device: Open) -> None:
        engine = open_device("padded")
        computing, go_on = threading.Event(), threading.Event()
        inner = engine._body

        class Slow:
            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

            def run_with_iobinding(self, *arguments: Any) -> None:
                computing.set()
                assert go_on.wait(PATIENCE_S)
                inner.run_with_iobinding(*arguments)

        pairs = pairs_of((40, 70))
        apart = [engine.score([pair])[0] for pair in pairs]
        engine._body = Slow()
        first = engine.start(pairs[:1])
        assert computing.wait(PATIENCE_S)
        # Returns although the first one can't end: laid out, and copied into its own slot.
        second = engine.start(pairs[1:])
        go_on.set()
        assert [first()[0], second()[0]] == apart

    def test_a_failing_run_raises_where_its_scores_are_asked_for(self, open_device: Open) -> None:
        engine = open_device("padded")
        (good,) = pairs_of((20,))
        bad = EncodedPair(np.full(5, 1_000_000, dtype=np.int64), np.zeros(5, dtype=np.int64), truncated=False)
        wrong_type = EncodedPair(good.ids, np.zeros(3, dtype=np.int64), truncated=False)
        before = engine.score([good])
        # More often than there are slots: none is lost.
        for _ in range(3):
            for broken in (bad, wrong_type):
                result = engine.start([broken])
                with pytest.raises(Exception, match=r"indices element out of data bounds|broadcast"):
                    result()
        assert engine.score([good]).tobytes() == before.tobytes()

    def test_only_engines_that_overlap_are_asked_ahead(self, open_device: Open, model: Path) -> None:
        asked: list[int] = []

        class Plain(ArtefactEngine):
            def score(self, pairs: Sequence[EncodedPair]) -> Any:
                asked.append(len(pairs))
                return super().score(pairs)

        plain = Plain(model / graph_file("unpadded"), model / TAIL_FILE, RunShape())
        pairs = pairs_of((20, 30))
        assert (runs_at_once(plain), runs_at_once(open_device("padded"))) == (1, 2)
        logits = starter(plain)(pairs)
        assert asked == []
        assert logits() == pytest.approx(starter(open_device("padded"))(pairs)(), abs=TOLERANCE)
        assert asked == [2]
