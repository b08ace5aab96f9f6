"""A pair that makes the model raise: only its own request fails, whatever shared its batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import StartFleet
from rerank_producer import RerankClient
from rerank_shared.errors import ScoringFailed
from support.jobs import passages
from support.model.poison import POISON_WORD, write_poison_model

pytestmark = [pytest.mark.integration, pytest.mark.faults]


@pytest.mark.parametrize("layout", ["unpadded", "padded"])
def test_only_the_guilty_request_fails(start_fleet: StartFleet, tmp_path: Path, layout: str) -> None:
    write_poison_model(tmp_path / "model")
    # A wait for company makes sure that good and bad pairs meet in one padded batch.
    fleet = start_fleet(model=f"file:{tmp_path / 'model'}", layout=layout, max_wait_ms=50.0)
    # Plain words: the random marks of other tests may hold rare pieces too.
    good = [passages(5, mark=name) for name in ("one", "two", "three")]
    bad = ["a good one", f"a bad one with {POISON_WORD} in it", "another good one"]
    with RerankClient(fleet.settings) as client, ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(client.rerank, "a", documents) for documents in (*good, bad)]
        for future in futures[:-1]:
            assert future.result().complete
        with pytest.raises(ScoringFailed, match="document 1"):
            futures[-1].result()
    assert fleet.processes[0].poll() is None
