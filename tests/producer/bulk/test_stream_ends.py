"""How a stream of requests ends: where its source fails, where the fleet is away, and where nobody is in a hurry."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from rerank_producer.bulk.iterating import rerank_iter
from rerank_shared.errors import FleetGone
from rerank_shared.settings import Settings, load_settings

pytestmark = pytest.mark.integration

PATIENCE_S = 0.5
REQUEST = {"query": "how many people live in Berlin?", "documents": ["Berlin has 3,520,031 registered inhabitants."]}


def test_what_the_source_raises_is_raised_at_once_though_no_worker_lives(settings: Settings) -> None:
    """The time-out of this test is far below the patience: the stream must not wait it out."""

    def broken() -> Iterator[dict[str, Any]]:
        raise ValueError("no such column")
        yield REQUEST

    for _ in range(3):
        with pytest.raises(ValueError, match="no such column"):
            list(rerank_iter(broken(), settings=settings, patience_s=3_600))


def test_a_fleet_that_is_away_is_waited_for_and_then_told() -> None:
    with pytest.raises(FleetGone, match=r"^no answer for 0.5 s: .*can't be reached"):
        list(rerank_iter([REQUEST], settings=load_settings(redis_url="unix:///nowhere"), patience_s=PATIENCE_S))


def test_patience_is_for_answers_and_not_for_a_source_that_is_slow(settings: Settings) -> None:
    """Nothing is asked for a while, so nothing is missed."""

    def slow() -> Iterator[dict[str, Any]]:
        time.sleep(4 * PATIENCE_S)
        yield from ()

    assert list(rerank_iter(slow(), settings=settings, patience_s=PATIENCE_S)) == []
