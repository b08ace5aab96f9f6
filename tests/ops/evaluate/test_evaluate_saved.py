"""Saved evaluations: scores come back to the bit or not at all, and every evaluator reads the runs alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import pytest
import pytrec_eval

from rerank_ops.evaluate.dataset import Labelled
from rerank_ops.evaluate.first_stages import FirstStage
from rerank_ops.evaluate.saved import fingerprint_of, save_run, save_scores, saved_scores
from rerank_ops.evaluate.scoring import Again, ModelScores
from rerank_ops.evaluate.systems import System
from rerank_ops.fusion.sweep import ScoredQuery
from rerank_shared.contract.schemas import ModelInfo
from rerank_shared.errors import InputRefused, RunDiffers
from support.model.exports import write_export

STAGE = FirstStage("bm25", {"q1": (("a", 2.0), ("b", 1.0)), "q2": ()})
LABELLED = Labelled({"q1": "one", "q2": "two"}, {"q1": {"a": 1}, "q2": {"b": 1}})
SCORES = ModelScores(
    "org-model",
    ModelInfo(name="org/model", digest="ab" * 32, precision="int8", max_length=512),
    (ScoredQuery("q1", ("a", "b"), (0.1 + 0.2, -1e-300), (2.0, 1.0)), ScoredQuery("q2", (), (), ())),
    pairs=2,
    truncated=1,
    cached=0,
    again=Again({"q1": (0.1 + 0.2, -1e-300)}, (12.5,), 3, "a CPU, 2 cores"),
)


def fingerprint(stage: FirstStage = STAGE, model: str = "org/model", documents: str = "1") -> dict[str, object]:
    return fingerprint_of({"documents": documents}, LABELLED, stage, model=model, max_length=None, timed=1)


def test_scores_come_back_as_they_were(tmp_path: Path) -> None:
    assert saved_scores(tmp_path, SCORES.name, fingerprint()) is None
    save_scores(tmp_path / "new", SCORES, fingerprint())
    assert saved_scores(tmp_path / "new", SCORES.name, fingerprint()) == SCORES
    untimed = replace(SCORES, again=None)
    save_scores(tmp_path / "new", untimed, fingerprint())
    assert saved_scores(tmp_path / "new", SCORES.name, fingerprint()) == untimed


def test_scores_of_other_data_are_refused_with_what_differs(tmp_path: Path) -> None:
    save_scores(tmp_path, SCORES, fingerprint())
    other = FirstStage("bm25", {"q1": (("b", 2.0), ("a", 1.0)), "q2": ()})
    differing = {
        "first stage": fingerprint(other),
        "model": fingerprint(model="x"),
        "documents": fingerprint(documents="2"),
    }
    for said, wanted in differing.items():
        with pytest.raises(RunDiffers, match=f"other values of: {said}. Without --reuse"):
            saved_scores(tmp_path, SCORES.name, wanted)


def test_scores_of_a_directory_that_was_exported_anew_are_refused(tmp_path: Path) -> None:
    model = tmp_path / "model"
    write_export(model, seed=1)
    save_scores(tmp_path, SCORES, fingerprint(model=str(model)))
    assert saved_scores(tmp_path, SCORES.name, fingerprint(model=str(model))) == SCORES
    rmtree(model)
    write_export(model, seed=2)
    with pytest.raises(RunDiffers, match="other values of: the model's weights"):
        saved_scores(tmp_path, SCORES.name, fingerprint(model=str(model)))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fingerprint": 3}'])
def test_a_damaged_file_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "org-model.scores.json").write_text(text)
    with pytest.raises(InputRefused, match="can't be read"):
        saved_scores(tmp_path, SCORES.name, fingerprint())


def test_a_run_is_read_in_its_order_by_others(tmp_path: Path) -> None:
    documents = tuple(f"d{number}" for number in (3, 1, 2, 10, 9))
    save_run(tmp_path, System("m + 0.5 bm25", "fused", {"q1": documents}, ("q1", "q2")))
    path = tmp_path / "m+0.5-bm25.trec"
    with path.open() as lines:
        run = pytrec_eval.parse_run(lines)
    assert tuple(sorted(run["q1"], key=lambda name: -run["q1"][name])) == documents
    assert "q2" not in run


def test_an_id_that_would_break_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="white space"):
        save_run(tmp_path, System("m", "model", {"q1": ("a b",)}, ("q1",)))
