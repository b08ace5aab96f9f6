"""The gate on models whose faults are known: each is found, named with its number, and nothing else is."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from rich.console import Console

from rerank_ops.quality.agreement import Scores
from rerank_ops.quality.collection import load_collection
from rerank_ops.quality.invariance import ScoreTexts, TextPair, is_invariant
from rerank_ops.quality.pairs import frozen_pairs
from rerank_ops.quality.quality_gate import measure
from rerank_ops.quality.report import quality_report
from rerank_shared.errors import InternalError
from rerank_shared.models.manifest import Bounds, Quality
from support.model.collections import write_collection

PAIRS = [(f"query {i % 7}", f"document {i} " + "word " * (i % 40)) for i in range(120)]


def f32(values: Sequence[float]) -> Scores:
    return np.array(values, dtype=np.float32)


def chance(pair: TextPair) -> float:
    """A number from 0 to 1 that depends on the pair alone."""
    return crc32("\0".join(pair).encode()) / 2**32


def exact(texts: Sequence[TextPair]) -> Scores:
    return f32([8 * chance(pair) - 4 for pair in texts])


def noisy(size: float) -> ScoreTexts:
    def score(texts: Sequence[TextPair]) -> Scores:
        return exact(texts) + f32([size * chance((pair[1], pair[0])) for pair in texts])

    return score


def drifting(texts: Sequence[TextPair]) -> Scores:
    """As dynamic int8 in a batch: the longest companion shifts every score a little."""
    return exact(texts) + f32([1e-6 * max(len(document) for _, document in texts)])


def by_place(texts: Sequence[TextPair]) -> Scores:
    return exact(texts) + f32([1e-6 * place for place in range(len(texts))])


def failing_once(texts: Sequence[TextPair]) -> Scores:
    scores = exact(texts)
    scores[: len(texts) == len(PAIRS)] = np.nan
    return scores


def reversed_order(texts: Sequence[TextPair]) -> Scores:
    return -exact(texts)


class TestPairs:
    def test_the_same_scores_pass(self) -> None:
        quality = measure({"unpadded": exact}, exact, "int8", pairs=PAIRS)
        assert quality.passed
        assert (quality.spearman, quality.rmse, quality.max_difference) == (1.0, 0.0, 0.0)
        assert quality.pairs == len(PAIRS)
        assert quality.invariance == {"unpadded": True}
        assert quality.bounds == Bounds()

    def test_the_frozen_set_is_what_is_scored(self) -> None:
        seen: list[TextPair] = []

        def reference(texts: Sequence[TextPair]) -> Scores:
            seen.extend(texts)
            return exact(texts)

        assert measure({"unpadded": exact}, reference, "fp32").pairs == len(frozen_pairs())
        assert seen == [(pair.query, pair.document) for pair in frozen_pairs()]

    def test_noise_is_measured_and_judged(self) -> None:
        quiet = measure({"unpadded": noisy(0.1)}, exact, "int8", pairs=PAIRS)
        assert quiet.passed
        assert 0.995 < quiet.spearman < 1.0
        assert 0.05 < quiet.rmse < quiet.max_difference <= 0.1001
        loud = measure({"unpadded": noisy(4.0)}, exact, "int8", pairs=PAIRS)
        (failure,) = loud.failures
        assert f"Spearman correlation with fp32 is {loud.spearman:.4f} over 120 pairs, below 0.995" in failure
        assert measure({"unpadded": noisy(4.0)}, exact, "int8", pairs=PAIRS, bounds=Bounds(min_spearman=0.5)).passed

    def test_the_worst_layout_counts(self) -> None:
        quality = measure({"unpadded": exact, "padded": noisy(4.0)}, exact, "int8", pairs=PAIRS)
        assert quality.spearman < 0.995
        assert quality.max_difference > 1
        assert not quality.passed

    def test_scores_that_are_no_numbers_fail_and_can_still_be_written_down(self) -> None:
        quality = measure({"unpadded": failing_once}, exact, "int8", pairs=PAIRS)
        assert "1 of 120 scores in layout unpadded" in quality.failures[0]
        assert Quality.model_validate_json(quality.model_dump_json()) == quality

    def test_a_scorer_that_loses_a_pair_is_a_bug(self) -> None:
        with pytest.raises(InternalError, match="120 pairs"):
            measure({"unpadded": lambda texts: exact(texts)[1:]}, exact, "int8", pairs=PAIRS)


class TestInvariance:
    def test_a_score_of_the_pair_alone_is_invariant(self) -> None:
        assert is_invariant(exact, PAIRS)
        assert is_invariant(noisy(1.0), PAIRS)

    @pytest.mark.parametrize("score", [drifting, by_place])
    def test_order_and_company_are_noticed(self, score: ScoreTexts) -> None:
        assert not is_invariant(score, PAIRS)

    def test_a_pair_that_only_differs_alone_is_noticed(self) -> None:
        shortest = min(PAIRS, key=lambda pair: (len(pair[0]) + len(pair[1]), pair))

        def alone(texts: Sequence[TextPair]) -> Scores:
            return exact(texts) + f32([1e-6 if list(texts) == [shortest] else 0])

        assert not is_invariant(alone, PAIRS)

    def test_a_pair_that_only_differs_beside_its_like_is_noticed(self) -> None:
        def merged(texts: Sequence[TextPair]) -> Scores:
            return exact(texts) + f32([1e-6 * (list(texts).count(pair) - 1) for pair in texts])

        assert not is_invariant(merged, PAIRS)

    def test_few_pairs_are_enough(self) -> None:
        assert is_invariant(exact, PAIRS[:1])
        assert not is_invariant(drifting, PAIRS[:3])

    def test_the_promise_of_the_precision_decides(self) -> None:
        assert measure({"unpadded": exact, "padded": drifting}, exact, "int8", pairs=PAIRS).passed
        quality = measure({"unpadded": drifting, "padded": drifting}, exact, "int8", pairs=PAIRS)
        assert quality.invariance == {"unpadded": False, "padded": False}
        (failure,) = quality.failures
        assert "in layout unpadded, where it changes" in failure

    def test_layouts_whose_scores_share_a_name_must_share_bits(self) -> None:
        """Each is invariant by itself; but a fleet may change from one to the other with a warm cache."""
        other = noisy(1e-6)
        quality = measure({"unpadded": exact, "varlen": exact, "padded": other}, exact, "int8-row", pairs=PAIRS)
        assert quality.invariance == {"unpadded": True, "varlen": True, "padded": False}
        assert "in layout padded, where it changes" in quality.failures[0]
        assert measure({"unpadded": exact, "varlen": other}, exact, "int8", pairs=PAIRS).invariance["varlen"]


class TestCollections:
    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        return write_collection(tmp_path / "tiny")

    def test_both_rankings_are_measured(self, directory: Path) -> None:
        def good(texts: Sequence[TextPair]) -> Scores:
            return f32([("boil" in text) + 2 * ("Berlin" in text) for _, text in texts])

        (found,) = measure(
            {"unpadded": good}, good, "int8", pairs=PAIRS[:9], collections=[load_collection(directory)]
        ).collections
        assert (found.name, found.queries) == ("tiny", 2)
        assert found.ndcg_10 == found.ndcg_10_fp32 == pytest.approx(1.0)
        assert found.mrr_10 == found.mrr_10_fp32 == pytest.approx(1.0)
        assert found.spearman == pytest.approx(1.0)

    def test_the_first_stage_is_measured_beside_them(self, directory: Path) -> None:
        """Whether the model helps at all is the first thing to know of a collection."""

        def none(texts: Sequence[TextPair]) -> Scores:
            # Ties keep the order of the first stage.
            return f32([0.0] * len(texts))

        quality = measure({"unpadded": none}, none, "fp32", pairs=PAIRS[:9], collections=[load_collection(directory)])
        (found,) = quality.collections
        assert found.ndcg_10_first == found.ndcg_10 > 0
        console = Console(width=140, record=True, file=StringIO())
        console.print(quality_report(quality, "fp32"))
        assert "BM25" in console.export_text()

    def test_a_ranking_that_lost_fails_with_its_numbers(self, directory: Path) -> None:
        def good(texts: Sequence[TextPair]) -> Scores:
            return f32([("boil" in text) for _, text in texts])

        def bad(texts: Sequence[TextPair]) -> Scores:
            return -good(texts) if len(texts) == 2 and "potato" in texts[0][0] else good(texts)

        quality = measure(
            {"unpadded": bad}, good, "int8", pairs=PAIRS[:9], collections=[load_collection(directory)],
            bounds=Bounds(min_spearman=-1.0),
        )  # fmt: skip
        (found,) = quality.collections
        assert found.ndcg_10 < found.ndcg_10_fp32 == pytest.approx(1.0)
        # d2 before d3: grades 1, 2 where 2, 1 is best; q1 has its only answer either way.
        gain = (1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3))
        assert found.ndcg_10 == pytest.approx((1 + gain) / 2, abs=1e-4)
        (failure,) = quality.failures
        assert f"nDCG@10 on tiny is {found.ndcg_10:.4f}" in failure
        assert "below 0.99" in failure

    def test_ties_keep_the_order_of_the_first_stage(self, directory: Path) -> None:
        def same(texts: Sequence[TextPair]) -> Scores:
            return f32([0.0] * len(texts))

        (found,) = measure(
            {"unpadded": same}, same, "int8", pairs=PAIRS[:9], collections=[load_collection(directory)]
        ).collections
        assert found.ndcg_10 == pytest.approx(1.0)

    def test_layout_unpadded_does_the_ranking(self, directory: Path) -> None:
        quality = measure(
            {"padded": reversed_order, "unpadded": exact}, exact, "int8", pairs=PAIRS[:9],
            collections=[load_collection(directory)],
        )  # fmt: skip
        (found,) = quality.collections
        assert found.ndcg_10 == found.ndcg_10_fp32


def test_the_report_shows_every_figure_and_the_verdict(tmp_path: Path) -> None:
    collections = [load_collection(write_collection(tmp_path / "tiny"))]

    def shown(score: ScoreTexts) -> str:
        console = Console(width=110, file=StringIO())
        quality = measure({"unpadded": score, "padded": drifting}, exact, "int8", pairs=PAIRS, collections=collections)
        console.print(quality_report(quality, "int8"))
        assert isinstance(console.file, StringIO)
        return console.file.getvalue()

    good, bad = shown(exact), shown(noisy(4.0))
    assert "int8 against fp32 of the same weights" in good
    assert "The quality gate is passed." in good
    assert "The quality gate is failed:" in bad
    assert "below 0.995" in bad
    for part in ("Spearman, 120 pairs", "1.0000", "same bits", "varies", "tiny", "0.99", "MRR@10"):
        assert part in good
