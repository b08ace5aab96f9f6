"""Exported models on ONNX Runtime: all layouts compute the model; unpadded, a score is its pair's alone."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.catalogue import ModelFiles, load_files
from rerank_shared.models.cpu import host_features
from rerank_shared.models.precision import LAYOUTS, LayoutName, PrecisionName
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.settings import Settings
from rerank_worker.engine import ArtefactEngine, Engine, PlainEngine, identity_of, open_engine
from rerank_worker.engine.layouts import LAYOUTS as FEEDS
from rerank_worker.tokenizing import EncodedPair
from support.model.artefacts import damage
from support.model.exports import MAX_LENGTH, pairs_of, random_body, tokenizer, write_export
from support.model.oracle import oracle

TOGETHER: tuple[LayoutName, ...] = ("padded", "varlen", "packed")
CPU_PRECISIONS: tuple[PrecisionName, ...] = ("fp32", "int8", "int8-static")
#: From the shortest pair that holds a word to the longest that the model takes.
LENGTHS = (40, 4, 200, 5, 17, MAX_LENGTH, 18, 96, 33)
ORDERS = st.lists(st.integers(0, len(LENGTHS) - 1), min_size=1, max_size=12)
#: A score may move by this much with its company, by precision: rounding, and the step of int8 where a run has one.
DRIFT: dict[PrecisionName, float] = {"fp32": 1e-4, "int8": 0.03, "int8-static": 1e-3}
#: How far 8 bits are from full precision. Weights have 7 of them where a CPU's products would overflow.
NEAR = 0.06 if host_features().saturates else 0.03
Logits = npt.NDArray[np.float32]
Open = Callable[[PrecisionName, LayoutName], Engine]


@cache
def pairs() -> list[EncodedPair]:
    return pairs_of(LENGTHS)


@cache
def expected() -> npt.NDArray[np.float64]:
    return oracle(random_body(), pairs())


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an export of each precision lies under its name."""
    directory = tmp_path_factory.mktemp("exports")
    for precision in CPU_PRECISIONS:
        write_export(directory / precision, precision)
    return directory


@pytest.fixture(scope="module")
def engine(exports: Path) -> Open:
    """The engine of a precision and a layout, with room for many pairs in a run."""

    @cache
    def opened(precision: PrecisionName, layout: LayoutName) -> Engine:
        return open_engine(load_files(f"file:{exports / precision}"), RunShape(layout, pairs=5, tokens=2_048))

    return opened


def score(engine: Engine, batch: Sequence[EncodedPair]) -> Logits:
    """Score a batch run by run, as the scoring thread does."""
    return np.concatenate([engine.score(batch[run.start : run.stop]) for run in engine.runs(batch)])


class TestPlans:
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_each_computes_the_model(self, layout: LayoutName, engine: Open) -> None:
        assert score(engine("fp32", layout), pairs()) == pytest.approx(expected(), abs=1e-4)
        # The scores are far enough apart for that to mean something.
        assert np.abs(np.diff(np.sort(expected()))).min() > 1e-3

    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("precision", ["int8", "int8-static"])
    def test_8_bits_stay_near_it(self, precision: PrecisionName, layout: LayoutName, engine: Open) -> None:
        assert score(engine(precision, layout), pairs()) == pytest.approx(expected(), abs=NEAR)

    @pytest.mark.parametrize("precision", CPU_PRECISIONS)
    @pytest.mark.parametrize("layout", TOGETHER)
    @given(ORDERS)
    @settings(max_examples=20)
    def test_company_moves_a_score_by_rounding_at_most(
        self, engine: Open, layout: LayoutName, precision: PrecisionName, order: list[int]
    ) -> None:
        single = score(engine(precision, "unpadded"), pairs())
        together = score(engine(precision, layout), [pairs()[i] for i in order])
        assert together == pytest.approx(single[order], abs=DRIFT[precision])

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_token_types_reach_the_model(self, layout: LayoutName, engine: Open) -> None:
        (pair,) = pairs_of([40])
        other = dataclasses.replace(pair, type_ids=1 - pair.type_ids)
        assert abs(engine("fp32", layout).score([pair])[0] - engine("fp32", layout).score([other])[0]) > 1e-2

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_logits_are_one_a_pair_in_order(self, layout: LayoutName, engine: Open) -> None:
        logits = engine("fp32", layout).score(pairs()[:3])
        assert logits.shape == (3,)
        assert logits.dtype == np.dtype(np.float32)


class TestSingle:
    @pytest.mark.parametrize("precision", CPU_PRECISIONS)
    @given(ORDERS)
    @settings(max_examples=30)
    def test_a_score_is_the_same_bits_in_any_order_and_company(
        self, engine: Open, precision: PrecisionName, order: list[int]
    ) -> None:
        single = engine(precision, "unpadded")
        alone = [single.score([pairs()[i]])[0] for i in order]
        assert score(single, [pairs()[i] for i in order]).tolist() == alone
        assert single.score([pairs()[i] for i in order]).tolist() == alone

    @pytest.mark.parametrize("precision", CPU_PRECISIONS)
    def test_another_session_and_another_shape_give_the_same_bits(
        self, engine: Open, precision: PrecisionName, exports: Path
    ) -> None:
        other = open_engine(load_files(f"file:{exports / precision}"), RunShape("unpadded", pairs=1))
        assert [len(run) for run in other.runs(pairs())] == [1] * len(pairs())
        assert score(other, pairs()).tobytes() == score(engine(precision, "unpadded"), pairs()).tobytes()

    @pytest.mark.parametrize("precision", CPU_PRECISIONS)
    def test_another_process_gives_the_same_bits(self, engine: Open, precision: PrecisionName, exports: Path) -> None:
        """In another order, so that what a session keeps of earlier runs would show."""
        code = (
            "import sys; sys.path[:0] = ['tests']\n"
            "from rerank_shared.models.catalogue import load_files\n"
            "from rerank_worker.engine import open_engine\n"
            "from support.model.exports import pairs_of\n"
            f"engine = open_engine(load_files('file:{exports / precision}'))\n"
            f"print(engine.score(pairs_of({LENGTHS})[::-1])[::-1].tobytes().hex())"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
        assert done.stdout.strip() == score(engine(precision, "unpadded"), pairs()).tobytes().hex()


class TestLayoutsAndGraphs:
    @pytest.mark.parametrize("precision", CPU_PRECISIONS)
    @pytest.mark.parametrize("layout", ["padded", "varlen"])
    def test_what_stands_in_the_padding_changes_nothing(
        self, layout: LayoutName, precision: PrecisionName, exports: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """int8 takes its scale from padding too, where it is computed: padded int8 is excused."""
        batch = pairs()[:5]
        opened = open_engine(load_files(f"file:{exports / precision}"), RunShape(layout, pairs=5, tokens=2_048))
        before = opened.score(batch)
        feeds_of = FEEDS[layout]

        def poisoned(batch: Sequence[EncodedPair]) -> dict[str, npt.NDArray[np.int64]]:
            feeds = feeds_of(batch)
            name = "input_ids" if layout == "padded" else "padded_from"
            padding = np.arange(feeds[name].shape[1]) >= feeds["lengths"][:, None]
            last = 30_521 if layout == "padded" else len(feeds["input_ids"]) - 1
            return {**feeds, name: np.where(padding, last, feeds[name])}

        monkeypatch.setattr(opened, "_layout", poisoned)
        tolerance = 0.1 if (layout, precision) == ("padded", "int8") else 1e-6
        assert opened.score(batch) == pytest.approx(before, abs=tolerance)


class TestOpening:
    def test_the_shape_says_the_layout_and_single_is_the_usual_one(self, exports: Path) -> None:
        files = load_files(f"file:{exports / 'fp32'}")
        usual = open_engine(files)
        assert isinstance(usual, ArtefactEngine)
        assert usual.score(pairs()).tobytes() == open_engine(files, RunShape("unpadded")).score(pairs()).tobytes()

    def test_a_layout_that_the_model_lacks_is_told(self, tmp_path: Path) -> None:
        files = load_files(f"file:{write_export(tmp_path / 'two', layouts=('unpadded', 'packed'))}")
        with pytest.raises(
            ConfigurationError, match=r"no graph for layout varlen; it has unpadded, packed.*--layouts varlen"
        ):
            open_engine(files, RunShape("varlen"))
        assert open_engine(files, RunShape("packed")).score(pairs()[:1]).shape == (1,)

    @pytest.mark.parametrize("layout", ["varlen", "packed"])
    def test_a_plain_model_has_no_packed_layouts(self, layout: LayoutName) -> None:
        plain = load_files(Settings().model)
        with pytest.raises(ConfigurationError, match=f"plain ONNX model.*unpadded or padded, not {layout}.*export"):
            open_engine(plain, RunShape(layout))

    def test_a_plain_export_is_run_as_a_plain_model(self, tmp_path: Path) -> None:
        """One graph that serves layouts single and buckets, as architectures without a graph of ours have it."""
        plain = dataclasses.replace(
            load_files(Settings().model), manifest=load_files(f"file:{write_export(tmp_path / 'x')}").manifest
        )
        assert plain.manifest is not None
        without_tail = plain.manifest.model_copy(update={"tail": None})
        assert isinstance(open_engine(dataclasses.replace(plain, manifest=without_tail)), PlainEngine)

    @pytest.mark.parametrize("precision", CPU_PRECISIONS)
    def test_scores_of_different_layouts_have_different_names(self, precision: PrecisionName, exports: Path) -> None:
        files = load_files(f"file:{exports / precision}")
        names = [identity_of(files, tokenizer(), layout).precision for layout in LAYOUTS]
        assert names == [precision, *(f"{precision}-{layout}" for layout in TOGETHER)]
        assert identity_of(files, tokenizer(), "unpadded").max_length == MAX_LENGTH


class TestDamage:
    @pytest.fixture
    def files(self, tmp_path: Path) -> ModelFiles:
        return load_files(f"file:{write_export(tmp_path / 'export', 'int8', layouts=('unpadded',))}")

    @pytest.mark.parametrize("name", ["unpadded.onnx", "tail.onnx", "weights.bin", "tokenizer.json"])
    def test_one_changed_byte_is_found_before_anything_is_loaded(self, files: ModelFiles, name: str) -> None:
        damage(files.model_path.parent / name)
        with pytest.raises(ModelDamaged, match=f"{name} has SHA-256"):
            load_files(files.source)

    @pytest.mark.parametrize("name", ["unpadded.onnx", "tail.onnx"])
    @pytest.mark.parametrize("content", [b"", b"not a graph", b"\x00" * 1_000])
    def test_a_graph_that_is_none_is_told(self, files: ModelFiles, name: str, content: bytes) -> None:
        (files.model_path.parent / name).write_bytes(content)
        with pytest.raises(ModelDamaged, match=f"{name} can't be loaded by ONNX Runtime"):
            open_engine(files)

    @pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
    def test_cut_weights_are_told(self, files: ModelFiles, share: float) -> None:
        weights = files.model_path.with_name("weights.bin")
        weights.write_bytes(weights.read_bytes()[: int(weights.stat().st_size * share)])
        with pytest.raises(ModelDamaged, match=r"onnx can't be loaded by ONNX Runtime"):
            open_engine(files)

    @pytest.mark.parametrize("name", ["unpadded.onnx", "tail.onnx", "weights.bin"])
    def test_a_missing_file_is_told(self, files: ModelFiles, name: str) -> None:
        (files.model_path.parent / name).unlink()
        with pytest.raises(ModelDamaged, match="can't be loaded by ONNX Runtime"):
            open_engine(files)
