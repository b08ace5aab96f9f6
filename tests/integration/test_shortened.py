"""A shortened model in a real fleet: served as its first layers and its head score, and refused where it failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_ops.export.depth.head import fit_head
from rerank_ops.export.depth.probe import Probe
from rerank_ops.export.depth.shortened_body import shortened_body
from rerank_producer import RerankClient
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.manifest import Shortened
from support.model.exports import LAYERS, QUERY, SENTENCE, pairs_of, random_body, tokenizer, write_export

pytestmark = pytest.mark.integration
EX_CONFIG = 78
KEPT = 2
DOCUMENTS = [" ".join((SENTENCE.split() * 20)[n % 7 :][:n]) for n in (18, 2, 140, 40, 9)]
FOLLOWS = Shortened(
    layers=LAYERS,
    kept=KEPT,
    pairs=60,
    queries=8,
    made_queries=0,
    text_digest="0" * 64,
    measured_lists=20,
    measured_pairs=400,
    correlation=0.95,
    overlap_at_10=0.9,
)


def test_a_shortened_model_is_served(start_fleet: StartFleet, tmp_path: Path) -> None:
    (tmp_path / "probe").mkdir()
    probe = Probe.of(random_body(), tmp_path / "probe", 1)
    probed = probe.run(pairs_of(range(16, 136, 2)))
    head = fit_head(probed.states[KEPT], probed.logits)
    short = shortened_body(random_body(), KEPT, head)
    directory = write_export(tmp_path / "short", layouts=("unpadded",), body=short, shortened=FOLLOWS)
    whole = write_export(tmp_path / "whole", layouts=("unpadded",))
    fleet = start_fleet(model=f"file:{directory}")
    with RerankClient(fleet.settings) as client:
        results = client.rerank(QUERY, DOCUMENTS).results
    expected = head.logits(probe.run(tokenizer().encode(QUERY, DOCUMENTS, 512)).states[KEPT])
    assert [result.logit for result in sorted(results, key=lambda each: each.index)] == pytest.approx(
        expected.tolist(), abs=1e-3
    )
    digests = {load_files(f"file:{each}").model_digest for each in (directory, whole)}
    assert len(digests) == 2


def test_one_that_does_not_follow_the_whole_model_ends_the_worker_for_good(
    start_fleet: StartFleet, tmp_path: Path
) -> None:
    failed = FOLLOWS.model_copy(update={"overlap_at_10": 0.4})
    directory = write_export(tmp_path / "short", layouts=("unpadded",), shortened=failed)
    fleet = start_fleet(wait=False, model=f"file:{directory}")
    assert fleet.processes[0].wait(timeout=30) == EX_CONFIG
    assert "with 2 of 3 layers it has 0.4000 of the whole model's best ten over 20 lists" in fleet.log()
    served = start_fleet(model=f"file:{directory}", unsafe=True)
    with RerankClient(served.settings) as client:
        assert client.rerank(QUERY, DOCUMENTS).complete
