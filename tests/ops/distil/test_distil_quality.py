"""What a student is worth: beside its teacher and the free baselines, in its manifest and on its card."""

from __future__ import annotations

import numpy as np

from rerank_ops.distil.card import model_card
from rerank_ops.distil.quality import student_quality
from rerank_ops.evaluate.first_stages import FirstStage
from rerank_ops.evaluate.scoring import Again, ModelScores
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.models.manifest import Distilled, Manifest, Origin, Quality, StudentQuality

NAMES = tuple(f"d{n}" for n in range(12))
FIRST = tuple(float(12 - n) for n in range(12))
ORIGIN = Origin(kind="onnx", name="teacher/model", digest="a" * 64)


def scores(logits: list[list[float]], pairs_per_s: float) -> ModelScores:
    queries = tuple(ScoredQuery(f"q{n}", NAMES, tuple(each), FIRST) for n, each in enumerate(logits))
    again = Again({"q0": tuple(logits[0])}, (12 / pairs_per_s * 1000,), 1, "here")
    return ModelScores("any", ModelInfo(name="any"), queries, 24, 0, 0, again)


def measured() -> StudentQuality:
    random = np.random.default_rng(0)
    teacher = [list(map(float, random.normal(size=12))) for _ in range(2)]
    teacher[0][11], teacher[1][11] = 30.0, 30.0
    student = [[2 * logit + 1 for logit in each] for each in teacher]
    stage = FirstStage("bm25", {f"q{n}": tuple(zip(NAMES, FIRST, strict=True)) for n in range(2)})
    qrels = {"q0": {"d11": 1}, "q1": {"d11": 1}}
    pair = (scores(teacher, 10.0), scores(student, 40.0))
    return student_quality("tiny", "held out", stage, qrels, pair, k=12)


def test_a_student_stands_beside_its_teacher_and_what_is_free() -> None:
    quality = measured()
    by_name = {each.system: each for each in quality.systems}
    assert list(by_name) == ["bm25", "teacher", "teacher + bm25", "teacher + bm25, k 6", "student", "student + bm25"]
    assert by_name["teacher"].ndcg_10 == by_name["student"].ndcg_10 == 1.0
    # What answers is the last one of the first stage: half of its candidates lack it.
    assert by_name["teacher + bm25, k 6"].ndcg_10 == 0.0
    assert by_name["teacher + bm25"].gain is None
    assert by_name["teacher + bm25, k 6"].gain == (-1.0, -1.0, -1.0)
    assert (round(quality.correlation, 6), quality.overlap_at_10, quality.fused_overlap_at_10) == (1.0, 1.0, 1.0)
    assert (quality.teacher_pairs_per_s, quality.student_pairs_per_s) == (10.0, 40.0)


def test_a_card_tells_how_it_was_made_and_what_it_is_worth() -> None:
    distilled = Distilled(
        teacher="teacher/model",
        teacher_digest="b" * 64,
        teacher_precision="int8",
        student_of=ORIGIN,
        recipe={"layers": 3, "max_length": 128},
        data={"corpus": "c" * 64},
        counts={"lists": 900, "pairs": 7200, "held_out": 60, "steps": 400, "planned_steps": 450},
        beta=0.5,
        agreement=(0.7, 0.85),
        quality=(measured(), measured().model_copy(update={"judged_by": "sources", "kind": "other"})),
    )
    manifest = Manifest(
        model="mine", source=ORIGIN, family="bert", surgery=True, precision="int8", opset=21, versions={},
        max_length=512, template="t", activation="sigmoid", layouts={}, files={},
        quality=Quality(pairs=320, spearman=0.997, rmse=0.1, max_difference=0.5), distilled=distilled,
    )  # fmt: skip
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    card = model_card(manifest, distilled, "rerank-fleet distil teacher mine")
    for line in (
        "# mine",
        "$ rerank-fleet distil teacher mine",
        "| teacher + bm25, k 6 | 0.0000 | 0.0000 | -1.0000 | -1.0000 to -1.0000 |",
        "## On another collection: tiny",
        "| corpus | cccccccccccccccc |",
    ):
        assert line in card.splitlines()
    assert "so 4.0 times as many" in card
    assert "Nobody judged these queries" in card
    assert card.count("was chosen on lists of these very queries") == 1
    assert "0.700 with a fitted head alone, 0.850 after 400 of 450 steps" in card
    assert "passed. Spearman 0.9970" in card
    assert "It was not measured" not in card
