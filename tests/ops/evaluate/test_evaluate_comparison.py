"""Comparison of systems: the measures are ir_measures', the tests SciPy's, and an A/A row is exactly 0."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from scipy.stats import ttest_rel

from rerank_ops.evaluate.comparison import compared, measures_of
from rerank_ops.evaluate.evaluation import Asked, Evaluation, as_plain, evaluated
from rerank_ops.evaluate.first_stages import FirstStage
from rerank_ops.evaluate.scoring import Again, ModelScores
from rerank_ops.evaluate.systems import System, ceiling, names_of_rows, systems_of
from rerank_ops.evaluate.table import evaluation_text
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_ops.judging.significance import holm
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.errors import ConfigurationError

NAMES = tuple(f"q{number}" for number in range(24))
DOCUMENTS = tuple(f"d{number}" for number in range(6))
RANDOM = np.random.default_rng(5)
GRADES = RANDOM.integers(0, 3, (len(NAMES), 6)).tolist()
QRELS = {
    name: dict(zip(DOCUMENTS, grades, strict=True)) | {"far": 1} for name, grades in zip(NAMES, GRADES, strict=True)
}
ORDERS = {name: RANDOM.permutation(6).tolist() for name in NAMES}
STAGE = FirstStage(
    "bm25",
    {name: tuple((DOCUMENTS[place], 6.0 - rank) for rank, place in enumerate(order)) for name, order in ORDERS.items()},
)


def logits_of(query: str, noise: float, seed: int) -> tuple[float, ...]:
    """Logits that follow the grades, but for noise."""
    random = np.random.default_rng([seed, NAMES.index(query)])
    return tuple(QRELS[query][document] + noise * float(random.normal()) for document, _ in STAGE.hits[query])


def scores(name: str, noise: float, seed: int, *, again: float | None = 0.0) -> ModelScores:
    """Scores of a model; `again` is what is added to the logits of three queries the second time."""
    queries = tuple(
        ScoredQuery(
            query,
            tuple(document for document, _ in STAGE.hits[query]),
            logits_of(query, noise, seed),
            tuple(score for _, score in STAGE.hits[query]),
        )
        for query in NAMES
    )
    second = {} if again is None else {each.id: (each.logits[0] + again, *each.logits[1:]) for each in queries[:3]}
    timed = None if again is None else Again(second, (10.0, 20.0, 40.0), processes=2)
    model = ModelInfo(name=name, digest="ab" * 32, precision="int8", max_length=512)
    return ModelScores(name, model, queries, pairs=144, truncated=36, cached=0, again=timed)


def evaluation(*models: ModelScores, baseline: str = "bm25", correction: str = "holm") -> Evaluation:
    measures = measures_of(["nDCG@5", "RR@10", "R@6"])
    first = (System("bm25", "first stage", run_of(STAGE), NAMES), ceiling(STAGE, QRELS, 6))
    systems = systems_of(first, models, "bm25", "weighted", [0.5, 1.0])
    asked = Asked(
        "tiny", len(NAMES), 6, "bm25", baseline, tuple(map(str, measures)), ("t", "randomisation"), correction, 0, None
    )
    return evaluated(asked, systems, QRELS, measures, models, ())


def run_of(stage: FirstStage) -> dict[str, tuple[str, ...]]:
    return {query: tuple(document for document, _ in hits) for query, hits in stage.hits.items()}


def test_values_are_those_of_ir_measures() -> None:
    rows = {row.name: row for row in evaluation(scores("m", 0.5, 1)).rows}
    run = {query: {document: float(score) for document, score in hits} for query, hits in STAGE.hits.items()}
    expected = ir_measures.calc_aggregate(measures_of(["nDCG@5", "RR@10", "R@6"]), QRELS, run)
    assert {name: rows["bm25"].mean(name) for name in ("nDCG@5", "RR@10", "R@6")} == pytest.approx(
        {str(measure): value for measure, value in expected.items()}
    )


def test_rows_come_in_order_and_the_ceiling_is_never_exceeded() -> None:
    found = evaluation(scores("m", 0.5, 1))
    assert [row.name for row in found.rows] == [
        "bm25", "m", "m + 0.5 bm25", "m + bm25", "m, again", "perfect order of bm25's 6",
    ]  # fmt: skip
    assert [row.name for row in found.rows if row.kind in ("first stage", "model", "fused")] == names_of_rows(
        [System("bm25", "first stage", {}, ())], ["m"], "bm25", "weighted", [0.5, 1.0]
    )
    best = found.rows[-1]
    for row in found.rows[:4]:
        assert (row.values["nDCG@5"] <= best.values["nDCG@5"] + 1e-12).all()
    # What the first stage did not find is missing in the ceiling as well.
    assert best.mean("R@6") == found.rows[0].mean("R@6") < 1


def test_differences_are_tested_by_scipy_and_corrected_for_the_systems() -> None:
    rows = {row.name: row for row in evaluation(scores("good", 0.3, 1), scores("poor", 4.0, 2)).rows}
    names = ["good", "good + 0.5 bm25", "good + bm25", "poor", "poor + 0.5 bm25", "poor + bm25"]
    base = rows["bm25"].values["nDCG@5"]
    expected = [float(ttest_rel(rows[name].values["nDCG@5"], base).pvalue) for name in names]
    comparisons = [rows[name].comparisons["nDCG@5"] for name in names]
    assert [each.p["t"] for each in comparisons] == pytest.approx(expected)
    assert [each.corrected["t"] for each in comparisons] == pytest.approx(holm(expected))
    for name, each in zip(names, comparisons, strict=True):
        differences = rows[name].values["nDCG@5"] - base
        assert each.gain.mean == pytest.approx(differences.mean())
        assert (each.wins, each.ties, each.losses) == (
            (differences > 0).sum(), (differences == 0).sum(), (differences < 0).sum(),
        )  # fmt: skip
        assert each.gain.low < each.gain.mean < each.gain.high


def test_a_baseline_may_be_any_system_and_is_not_compared_with_itself() -> None:
    rows = {row.name: row for row in evaluation(scores("m", 0.5, 1), baseline="m").rows}
    assert not rows["m"].comparisons
    assert rows["bm25"].comparisons["RR@10"].against == "m"


def test_the_same_system_twice_differs_by_exactly_nothing() -> None:
    found = evaluation(scores("m", 0.5, 1))
    (row,) = (row for row in found.rows if row.kind == "again")
    assert row.queries == NAMES[:3]
    for each in row.comparisons.values():
        assert (each.against, each.gain.mean, each.gain.low, each.gain.high) == ("m", 0.0, 0.0, 0.0)
        assert (each.wins, each.ties, each.losses, each.p["t"]) == (0, 3, 0, 1.0)
    assert found.unrepeatable() == []


def test_a_score_that_changes_is_seen_however_little() -> None:
    found = evaluation(scores("m", 0.5, 1, again=1e-7))
    assert [each.name for each in found.unrepeatable()] == ["m"]


def test_measures_are_spelled_as_ir_measures_does() -> None:
    assert list(map(str, measures_of(["nDCG@10", "AP", "nDCG@10", "R(rel=2)@5"]))) == ["nDCG@10", "AP", "R(rel=2)@5"]
    for wrong in ("Foo@3", "nDCG@x", "", "nDCG@10 RR@10", "__import__('os')", "P", "nDCG@1.5", "nDCG@0", "P(x=1)@5"):
        with pytest.raises(ConfigurationError, match="no measure"):
            measures_of([wrong])


def test_a_measure_that_the_data_or_this_host_do_not_bear_is_told() -> None:
    """ERR is calculated by a program for TREC's ids, which are numbers."""
    system = System("bm25", "first stage", run_of(STAGE), NAMES)
    with pytest.raises(ConfigurationError, match="can't calculate ERR@10"):
        compared([system], QRELS, measures_of(["ERR@10"]), "bm25", tests=["t"], correction="none")


def test_the_text_has_all_that_it_rests_on() -> None:
    text = evaluation_text(evaluation(scores("m", 0.5, 1), scores("other", 0.5, 2, again=None)))
    assert "24 queries of tiny; the best 6 documents of bm25 are ranked" in text
    # Three queries of 36 pairs in 70 ms, at 10, 20 and 40 ms.
    assert "20      38      40      257  25.0%" in text
    assert "m, again (A/A, 3 queries)  +0.0000  +0.0000 to +0.0000" in text
    assert "RR@10 less bm25" in text
    # No order changes how many are found.
    assert "R@6 less bm25" not in text
    assert "corrected by Holm's method" in text
    assert "m: int8, 512 tokens at most, digest abababababab; 144 pairs" in text
    assert "Largest difference of a logit to the first time: 0." in text
    assert max(map(len, text.split("\n\np: ")[0].splitlines())) <= 120


def test_plain_data_have_each_query_and_the_speed() -> None:
    found = as_plain(evaluation(scores("m", 0.5, 1)))
    model = found["systems"][1]
    assert model["per_query"]["q0"].keys() == {"nDCG@5", "RR@10", "R@6"}
    assert model["means"]["RR@10"] == pytest.approx(np.mean([each["RR@10"] for each in model["per_query"].values()]))
    assert model["comparisons"]["nDCG@5"]["corrected"].keys() == {"t", "randomisation"}
    timed = found["models"][0]["timed"]
    assert (timed["p50_ms"], timed["queries"], timed["pairs"], timed["processes"]) == (20.0, 3, 18, 2)
    assert timed["pairs_per_s"] == pytest.approx(18 / 0.07)
