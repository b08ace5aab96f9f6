"""By a kernel, pairs of layout unpadded share runs of varlen's graph: the bits of one pair a run, in any company."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_ops.cli.admin.checks.model import check_kernel
from rerank_ops.tune.engines import layouts_of
from rerank_shared.models.catalogue import ModelFiles, load_files
from rerank_shared.models.precision import LAYOUTS, LayoutName, kernel_precision
from rerank_shared.scheduling.cost import CostParameters
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.settings import load_settings
from rerank_worker.batching.batcher import Batcher
from rerank_worker.batching.lane import Lane
from rerank_worker.batching.run_cost import RunCost
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.engine import ArtefactEngine, PackedWeights, PreparedKernel, identity_of, kernel_for, open_engine
from rerank_worker.engine.kernels import kernels_here
from rerank_worker.engine.providers import ON_CPU
from rerank_worker.tokenizing import EncodedPair
from support.model.exports import KERNEL_HIDDEN, MAX_LENGTH, VOCABULARY, tokenizer, write_export
from support.scoring import FAR_S, PATIENCE_S, scorer_of

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("rerank_kernels") is None, reason="no kernels are installed: `make kernels`"
)
#: What this CPU runs: `portable`, and the fast ones where it has their instructions.
VARIANTS = ("portable", *(kernel.variant for kernel in kernels_here("auto")))
LENGTHS = (1, 2, 7, 15, 16, 17, 63, 64, 65, 200, 511, 512)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFiles]:
    """One int8 export with all graphs, and one of the same weights with that of layout unpadded alone."""
    directory, names = tmp_path_factory.mktemp("exports"), [kernel_precision(each, 1) for each in VARIANTS]
    sets: dict[str, tuple[LayoutName, ...]] = {"all": LAYOUTS, "unpadded": ("unpadded",)}
    return {
        name: load_files(f"file:{write_export(directory / name, 'int8', layouts, hidden=KERNEL_HIDDEN, kernels=names)}")
        for name, layouts in sets.items()
    }


@cache
def kernel_of(source: str, variant: str) -> PreparedKernel:
    kernel = kernel_for(load_settings(kernel=variant), load_files(source), ON_CPU, PackedWeights(None))
    assert kernel is not None
    return kernel


@cache
def engine_of(source: str, variant: str | None) -> ArtefactEngine:
    kernel = kernel_of(source, variant) if variant else None
    engine = open_engine(load_files(source), RunShape(), kernel=kernel)
    assert isinstance(engine, ArtefactEngine)
    return engine


@cache
def pair(tokens: int, seed: int = 0) -> EncodedPair:
    random = np.random.default_rng((tokens, seed))
    ids, types = random.integers(0, VOCABULARY, tokens), random.integers(0, 2, tokens)
    return EncodedPair(ids.astype(np.int64), types.astype(np.int64), truncated=False)


@cache
def alone(source: str, variant: str, tokens: int, seed: int = 0) -> bytes:
    """The bits of a pair's logit, one pair a run, by the graph of layout unpadded."""
    return engine_of(source, variant).score([pair(tokens, seed)]).tobytes()


def bits(logits: npt.NDArray[np.float32]) -> list[bytes]:
    return [logit.tobytes() for logit in logits]


def runs_of_body(engine: ArtefactEngine, pairs: Sequence[EncodedPair], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The pairs of each run of the body that scores `pairs`."""
    sizes: list[int] = []
    rows = engine._rows

    def watched(group: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
        sizes.append(len(group))
        return rows(group)

    monkeypatch.setattr(engine, "_rows", watched)
    engine.score(pairs)
    return sizes


class TestBits:
    @settings(max_examples=30, deadline=None)
    @given(
        st.sampled_from(VARIANTS),
        st.lists(st.tuples(st.sampled_from(LENGTHS), st.integers(0, 3)), min_size=1, max_size=12),
    )
    def test_a_run_gives_each_pair_the_bits_that_it_has_alone(
        self, exports: dict[str, ModelFiles], variant: str, drawn: list[tuple[int, int]]
    ) -> None:
        found = engine_of(exports["all"].source, variant).score([pair(*each) for each in drawn])
        assert bits(found) == [alone(exports["unpadded"].source, variant, *each) for each in drawn]

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_every_length_to_the_longest_shares_one_run(
        self, exports: dict[str, ModelFiles], variant: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lengths = [MAX_LENGTH, 1, *range(2, MAX_LENGTH, 37), MAX_LENGTH]
        engine = engine_of(exports["all"].source, variant)
        found = engine.score([pair(length) for length in lengths])
        assert bits(found) == [alone(exports["unpadded"].source, variant, length) for length in lengths]
        assert runs_of_body(engine, [pair(length) for length in lengths], monkeypatch) == [len(lengths)]

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_the_scores_have_one_name_with_the_graph_and_without_it(
        self, exports: dict[str, ModelFiles], variant: str
    ) -> None:
        names = {
            identity_of(files, tokenizer(), "unpadded", kernel=kernel_of(files.source, variant)).precision
            for files in exports.values()
        }
        assert names == {kernel_precision(variant, 1)}


class TestWithoutTheGraphOrTheKernel:
    @pytest.mark.parametrize(("export", "variant"), [("unpadded", "portable"), ("all", None)])
    def test_one_pair_runs_at_a_time(
        self, export: str, variant: str | None, exports: dict[str, ModelFiles], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine, pairs = engine_of(exports[export].source, variant), [pair(length) for length in (40, 3, 200)]
        assert bits(engine.score(pairs)) == [engine.score([each]).tobytes() for each in pairs]
        assert runs_of_body(engine, pairs, monkeypatch) == [1, 1, 1]

    def test_an_explicit_layout_keeps_its_own_graph(
        self, exports: dict[str, ModelFiles], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = exports["all"]
        engine = open_engine(files, RunShape("padded"), kernel=kernel_of(files.source, "portable"))
        assert isinstance(engine, ArtefactEngine)
        assert not engine.joins_runs
        assert runs_of_body(engine, [pair(9), pair(3)], monkeypatch) == [2]


class TestScoringThread:
    @pytest.fixture
    def worker(self, exports: dict[str, ModelFiles]) -> Iterator[tuple[ScoringThread, list[list[int]], set[str]]]:
        """A scoring thread on a kernel's engine, with pairs so slow that four are a run; what ran; the revoked."""
        engine = engine_of(exports["all"].source, "portable")
        ran: list[list[int]] = []
        revoked: set[str] = set()

        class Watched:
            joins_runs = engine.joins_runs

            def runs(self, pairs: Sequence[EncodedPair]) -> list[range]:
                return engine.runs(pairs)

            def score(self, pairs: Sequence[EncodedPair]) -> npt.NDArray[np.float32]:
                ran.append([each.tokens for each in pairs])
                # Its caller leaves while the first run is under way.
                revoked.add("left")
                return engine.score(pairs)

        run_cost = RunCost()
        run_cost.adopt(CostParameters(20.0, 0.0, 0.0))
        batcher = Batcher(
            budget_tokens=2_048,
            max_wait_s=0.0,
            predict_s=run_cost.cost.predict_s,
            work_of=run_cost.work.pair_work,
            most_pairs=run_cost.work.batch_pairs,
        )
        lane = Lane(scorer_of(Watched()), batcher, run_cost)
        # While the clock stands, nothing is learned.
        scoring = ScoringThread([lane], revoked=revoked.__contains__, clock=lambda: 100.0)
        yield scoring, ran, revoked
        scoring.drain()

    def test_a_job_that_is_cancelled_stops_after_the_run_that_is_under_way(
        self, exports: dict[str, ModelFiles], worker: tuple[ScoringThread, list[list[int]], set[str]]
    ) -> None:
        scoring, ran, _ = worker
        lengths = {"left": [40, 41, 42, 43, 44, 45, 46, 47, 48], "stays": [30, 31]}
        jobs = {
            name: scoring.submit(name, [bytes([each]) for each in mine], [pair(each) for each in mine], FAR_S, None)
            for name, mine in lengths.items()
        }
        scoring.start()
        assert all(job.wait(PATIENCE_S) for job in jobs.values())
        assert jobs["left"].dropped == "revoked"
        assert ran == [[40, 41, 42, 43], [30, 31]]
        logits = [np.float32(score.logit).tobytes() for score in jobs["stays"].scores if score is not None]
        assert logits == [alone(exports["unpadded"].source, "portable", each) for each in lengths["stays"]]

    def test_a_pair_that_the_model_fails_on_fails_alone(
        self, exports: dict[str, ModelFiles], worker: tuple[ScoringThread, list[list[int]], set[str]]
    ) -> None:
        scoring, ran, _ = worker
        broken = EncodedPair(np.full(5, VOCABULARY, np.int64), np.zeros(5, np.int64), truncated=False)
        bad = scoring.submit("bad", [b"bad"], [broken], FAR_S, None)
        good = scoring.submit("good", [b"1", b"2", b"3"], [pair(each) for each in (50, 6, 17)], FAR_S, None)
        scoring.start()
        assert bad.wait(PATIENCE_S)
        assert good.wait(PATIENCE_S)
        assert bad.error is not None
        assert good.error is None
        assert ran[0] == [5, 50, 6, 17]
        logits = [np.float32(score.logit).tobytes() for score in good.scores if score is not None]
        assert logits == [alone(exports["unpadded"].source, "portable", each) for each in (50, 6, 17)]


class TestTools:
    def test_tune_measures_each_graph_once(self, exports: dict[str, ModelFiles]) -> None:
        files, lone = exports["all"], exports["unpadded"]
        assert layouts_of(files, kernel_of(files.source, "portable")).names == ("unpadded", "padded", "packed")
        assert layouts_of(files).names == LAYOUTS
        assert layouts_of(lone, kernel_of(lone.source, "portable")).names == ("unpadded",)

    @pytest.mark.parametrize(
        ("export", "changes", "told", "fix"),
        [
            ("all", {}, "several pairs a run", False),
            ("unpadded", {}, "one pair a run, since the model has no graph of layout varlen", True),
            ("all", {"layout": "padded"}, "RERANK_KERNEL is portable", False),
            ("all", {"kernel": "onnxruntime"}, "RERANK_KERNEL is onnxruntime", False),
        ],
    )
    def test_doctor_tells_whether_pairs_share_runs(
        self, export: str, changes: dict[str, str], told: str, fix: bool, exports: dict[str, ModelFiles]
    ) -> None:
        finding = check_kernel(exports[export], load_settings(**({"kernel": "portable"} | changes)))
        assert finding.status == "ok"
        assert told in finding.message
        assert ("pairs a run" in finding.message) == (told == "several pairs a run")
        assert (finding.fix is not None) == fix
