"""What a tuning says: that fusion helps, does not, or that the set can't tell; and the settings that follow."""

from __future__ import annotations

import json
import math
from random import Random

import pytest
from rich.console import Console

from rerank_ops.cli.fusion.report import as_plain, print_tuning, settings_to_use, verdict_text
from rerank_ops.fusion.labelled import LabelledQuery, LabelledSet
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_ops.fusion.tuning import Tuning, tune
from rerank_shared.keys import FirstStageOrder


def made_set(count: int, model: float, first_stage: float) -> tuple[list[ScoredQuery], dict[str, dict[str, int]]]:
    """Queries of 20 candidates with one answer, which each stage sees through noise so many times louder than it."""
    random = Random(7)
    queries, qrels = [], {}
    for number in range(count):
        answer = random.randrange(20)
        logits = [(place == answer) + random.gauss(0, model) for place in range(20)]
        scores = [10 * ((place == answer) + random.gauss(0, first_stage)) for place in range(20)]
        documents = tuple(f"d{place}" for place in range(20))
        queries.append(ScoredQuery(f"q{number}", documents, tuple(logits), tuple(scores)))
        qrels[f"q{number}"] = {f"d{answer}": 1}
    return queries, qrels


def tuned(count: int, model: float, first_stage: float) -> Tuning:
    queries, qrels = made_set(count, model, first_stage)
    return tune(queries, qrels, folds=4, seed=1)


def labelled(order: FirstStageOrder = "descending") -> LabelledSet:
    return LabelledSet("made", (LabelledQuery("q0", "q", (), order),), {}, unjudged=3)


def printed(tuning: Tuning, order: FirstStageOrder = "descending") -> str:
    console = Console(width=120)
    with console.capture() as capture:
        print_tuning(tuning, labelled(order), "a/model", console)
    return capture.get()


def test_two_stages_that_err_apart_are_better_together() -> None:
    found = tuned(200, model=0.6, first_stage=0.6)
    assert found.verdict == "helps"
    assert found.gain.low > 0
    assert found.overall.quality.ndcg_at_10 > max(found.model.ndcg_at_10, found.first_stage.ndcg_at_10)
    assert found.ratio == pytest.approx(0.1, rel=0.1)
    best = found.overall.best
    assert settings_to_use(found) == {"RERANK_FUSION": best.method, "RERANK_FUSION_WEIGHT": f"{best.weight:g}"}
    shown = printed(found)
    assert "Fusion helps here: +" in shown
    assert f"export RERANK_FUSION={best.method}\n" in shown
    assert "best of all" in shown
    assert "first_stage_order" not in shown
    assert "first_stage_order=ascending" in printed(found, "ascending")


def test_a_first_stage_of_noise_does_not_help() -> None:
    found = tuned(200, model=0.1, first_stage=50.0)
    assert (found.verdict, found.overall.best.weight) == ("model alone", 0.0)
    assert settings_to_use(found) == {"RERANK_FUSION": "none"}
    assert "Fusion does not help here: the model alone" in printed(found)


def test_a_model_of_noise_does_not_help_either() -> None:
    found = tuned(200, model=50.0, first_stage=0.1)
    assert (found.verdict, found.overall.best.weight) == ("first stage alone", math.inf)
    assert settings_to_use(found) == {"RERANK_FUSION": "none"}
    assert "Neither fusion nor this model helps here" in printed(found)


def test_few_queries_tell_nothing_whatever_they_gain() -> None:
    found = tuned(12, model=0.6, first_stage=0.6)
    assert found.verdict == "undecided"
    assert "fewer than 20 queries tell little" in verdict_text(found)
    assert (settings_to_use(found)["RERANK_FUSION"] == "none") == (found.gain.mean <= 0)


def test_the_same_seed_finds_the_same() -> None:
    assert tuned(30, 0.6, 0.6) == tuned(30, 0.6, 0.6)


def test_a_report_for_programs_is_strict_json() -> None:
    found = tuned(40, model=50.0, first_stage=0.1)
    plain = json.loads(json.dumps(as_plain(found, labelled(), "a/model"), allow_nan=False))
    assert (plain["queries"], plain["unjudged"], plain["verdict"]) == (40, 3, "first stage alone")
    assert plain["overall"]["weight"] == "inf"
    assert plain["fusion_ratio"] == found.ratio
    assert plain["methods"].keys() == {"weighted", "zscore", "rrf"}
    assert len(plain["overall"]["folds"]) == 4
