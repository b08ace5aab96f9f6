"""Every family that has graphs of ours can be shortened, whatever its own head was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rerank_ops.export.depth.shortening import Depth
from rerank_ops.export.pipeline import Wanted, export
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.manifest import read_manifest
from rerank_shared.models.precision import LAYOUTS
from rerank_shared.scheduling.runs import RunShape
from rerank_worker.engine import open_engine
from rerank_worker.engine.whole import run_engine
from rerank_worker.tokenizing import PairTokenizer
from support.model.toy_models import MAX_TOKENS, WORDS, reference_logits, toy_pairs, write_toy

Toy = Callable[[str], Path]
pytestmark = pytest.mark.export


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    random = np.random.default_rng(3)

    def text(longest: int) -> str:
        return " ".join(random.choice(WORDS, random.integers(3, longest)))

    lines = [{"query": text(8), "documents": [text(40) for _ in range(20)]} for _ in range(30)]
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize(
    "family", ["bert", "roberta", "xlm-roberta", "electra", "camembert", "distilbert", "modernbert", "deberta-v2"]
)
def test_a_family_is_shortened_in_every_layout(family: str, toy: Toy, requests: Path, tmp_path: Path) -> None:
    """The export itself compares each layout with the first layers of the published model and the fitted head."""
    wanted = Wanted("fp32", depth=Depth(1, (requests,), 150))
    manifest = export(str(toy(family)), tmp_path / "out", wanted)
    assert manifest == read_manifest(tmp_path / "out")
    assert manifest.model == f"{toy(family).name}-depth1"
    assert tuple(manifest.layouts) == LAYOUTS
    assert manifest.shortened is not None
    assert (manifest.shortened.kept, manifest.shortened.pairs) == (1, 150)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config.get("num_hidden_layers", config.get("n_layers")) == 1
    files = load_files(f"file:{tmp_path / 'out'}", unsafe=True)
    pairs = toy_pairs(9)
    encoded = [PairTokenizer(files.tokenizer_path).encode(q, [d], MAX_TOKENS)[0] for q, d in pairs]
    found = run_engine(open_engine(files, RunShape("unpadded")), encoded)
    assert np.ptp(found) > 0.01
    assert not np.allclose(found, reference_logits(toy(family), pairs), atol=0.01)


def test_a_head_that_reads_the_mean_is_fitted_on_the_mean(requests: Path, tmp_path: Path) -> None:
    toy = write_toy("modernbert", tmp_path / "toy", classifier_pooling="mean", num_hidden_layers=3)
    manifest = export(str(toy), tmp_path / "out", Wanted("fp32", depth=Depth(2, (requests,), 150), name="my/short"))
    assert manifest.model == "my/short"
    assert manifest.shortened is not None
    assert manifest.shortened.by_depth.keys() == {1, 2}


def test_every_depth_ranks_the_collections(toy: Toy, requests: Path, labelled_words: Path, tmp_path: Path) -> None:
    """The depth that is kept and the whole model rank as their own exports do."""
    wanted = Wanted("fp32", layouts=("unpadded",), eval_dirs=(labelled_words,), eval_queries=9)
    whole = export(str(toy("bert")), tmp_path / "whole", wanted)
    short = export(str(toy("bert")), tmp_path / "short", replace(wanted, depth=Depth(1, (requests,), 150)))
    assert short == read_manifest(tmp_path / "short")
    assert short.shortened is not None
    (found,) = short.shortened.collections
    assert (found.name, found.queries) == ("words", 9)
    assert 0 < found.ndcg_10_first < 1
    assert found.by_depth.keys() == {1, 2}
    for depth, manifest in ((1, short), (2, whole)):
        assert manifest.quality is not None
        (ranked,) = manifest.quality.collections
        assert found.by_depth[depth].ndcg_10 == pytest.approx(ranked.ndcg_10)
        assert found.ndcg_10_first == ranked.ndcg_10_first
    assert found.by_depth[1] != found.by_depth[2]
