"""What the fleet serves is asked for rarely, and what was learned is given up in time."""

from __future__ import annotations

import pytest

from rerank_producer._dispatch.served_models import REMEMBERED_S, ServedModels
from rerank_producer._io.clock import Clock
from rerank_producer._io.port import drive
from rerank_shared.contract.messages import ScoringIdentity
from rerank_shared.errors import QueueUnavailable, UnknownModel
from support.in_memory import Parts


@pytest.fixture
def parts() -> Parts:
    return Parts()


def get(parts: Parts) -> ScoringIdentity | None:
    pools = drive(parts.pipeline.served_models.get(parts.port, parts.model))
    return pools[0].identity if pools else None


def test_an_answer_is_remembered_for_some_seconds(parts: Parts) -> None:
    first = get(parts)
    assert first is not None
    assert first.model == parts.model
    parts.fleet.advance(REMEMBERED_S - 0.1)
    assert get(parts) == first
    assert parts.port.trips == ["pipeline"]
    parts.fleet.advance(0.2)
    assert get(parts) == first
    assert parts.port.trips == ["pipeline"] * 2


def test_other_weights_under_the_same_name_are_learned_after_that(parts: Parts) -> None:
    first = get(parts)
    parts.fleet.serve(parts.model, lambda query, document: 0.0)
    assert get(parts) == first
    parts.fleet.advance(REMEMBERED_S + 0.1)
    assert get(parts) != first


def test_that_nothing_is_announced_is_not_remembered() -> None:
    parts = Parts(workers=0)
    assert get(parts) is None
    parts.fleet.workers = 1
    assert get(parts) is not None


def test_what_was_forgotten_is_asked_for_again(parts: Parts) -> None:
    get(parts)
    parts.pipeline.served_models.forget(parts.model)
    get(parts)
    assert len(parts.port.trips) == 2


def test_a_model_that_is_not_served_is_told_with_those_that_are(parts: Parts) -> None:
    with pytest.raises(UnknownModel, match=parts.model):
        drive(parts.pipeline.served_models.get(parts.port, "another"))


def test_a_server_that_is_away_is_told(parts: Parts) -> None:
    parts.fleet.go_away()
    with pytest.raises(QueueUnavailable):
        get(parts)


def test_the_server_s_time_comes_with_the_answer(parts: Parts) -> None:
    told: list[tuple[tuple[int, int], float]] = []
    timeline = parts.fleet._server.timeline
    parts.fleet.advance(7.25)
    clock = Clock(timeline.monotonic, timeline.epoch, lambda answer, asked_at: told.append((answer, asked_at)))
    drive(ServedModels(parts.pipeline.keys, clock).get(parts.port, parts.model))
    assert told == [((int(parts.fleet.now), 250_000), 7.25)]
