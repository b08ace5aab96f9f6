"""The registry of scorers: each kind of model that a manifest may name is one that a worker opens."""

from __future__ import annotations

from pathlib import Path

from rerank_shared.models.catalogue import load_files
from rerank_shared.models.heads import HEADS
from rerank_shared.settings import load_settings
from rerank_worker.scorers.pair_classifier import PairClassifier
from rerank_worker.scorers.registry import SCORERS, open_scorer
from support.model.artefacts import rewrite, write_artefact


def test_each_head_has_a_scorer() -> None:
    assert SCORERS.keys() == set(HEADS)


def test_a_model_whose_manifest_names_no_head_scores_as_one_that_names_it(tmp_path: Path) -> None:
    """The scoring identity is the key of cached scores."""
    settings = load_settings(redis_url="unix:///nowhere/redis.sock", packed_dir="off")
    write_artefact(tmp_path / "exported")
    absent = open_scorer(load_files(f"file:{tmp_path}/exported"), settings)
    rewrite(tmp_path / "exported", head="sequence-classification")
    named = open_scorer(load_files(f"file:{tmp_path}/exported"), settings)
    assert isinstance(absent, PairClassifier)
    assert absent.identity == named.identity
    query, documents = "which one", ["this", "that"]
    logits = [scorer.score(scorer.encode(query, documents, 256)).tolist() for scorer in (absent, named)]
    assert logits[0] == logits[1]
