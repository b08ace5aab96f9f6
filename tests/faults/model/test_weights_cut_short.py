"""Somebody cuts a file of weights short while workers map it: they die of it, and those that follow read it anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rerank_ops.local.fleet import local_fleet
from rerank_producer import RerankClient
from rerank_shared.settings import Settings, load_settings
from support.jobs import passages
from support.model.exports import write_export

pytestmark = [pytest.mark.integration, pytest.mark.faults]


def sizes(place: Path) -> dict[Path, int]:
    return {weights: weights.stat().st_size for weights in place.rglob("*.bin")}


def test_requests_are_answered_by_workers_that_write_the_weights_anew(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With two of them: a job that has met both has died twice, and may be tried a third time."""
    place = tmp_path / "packed"
    changes = {
        "model": f"file:{write_export(tmp_path / 'export', 'fp32', layouts=('unpadded',))}",
        "packed_dir": str(place),
        "pin": False,
        "redelivery_s": 1.0,
    }
    served = load_settings(**(settings.model_dump(exclude_none=True) | changes))
    with local_fleet(served, 2) as fleet, RerankClient(fleet.settings) as client:
        assert client.rerank("which rooms?", passages(3), partial=False).complete
        whole = sizes(place)
        before = set(fleet.supervisor.pids())
        for weights in whole:
            os.truncate(weights, 0)
        assert client.rerank("which rooms?", passages(3), deadline_ms=60_000, partial=False).complete
        assert not before & set(fleet.supervisor.pids())
        assert sizes(place) == whole
    assert "cut short" in caplog.text
