"""How requests that came by a route ended, as a gateway is told of them, and what their errors say of it."""

from __future__ import annotations

from typing import Any

import pytest

from rerank_producer._dispatch.routes.ended import RoutedRequest
from rerank_producer._io.port import drive
from rerank_producer.fusion import FirstStage
from rerank_shared.errors import DeadlineExceeded, InvalidRequest, RerankError, ScoringFailed, UnknownModel
from support.in_memory import OPTIONS, Parts


@pytest.fixture
def parts() -> Parts:
    """A fleet with a route to one model."""
    parts = Parts()
    parts.fleet.serve("small", lambda query, document: 1.0)
    parts.fleet.route("search", {"small": 1.0})
    return parts


@pytest.fixture
def told(parts: Parts) -> list[RoutedRequest]:
    """What was told of the requests that ended."""
    found: list[RoutedRequest] = []
    parts.pipeline.on_routed_end = found.append
    return found


def rerank(parts: Parts, query: str = "q", **options: Any) -> None:
    given, partial = FirstStage(["a", "b"]), options.pop("partial", True)
    drive(parts.pipeline.rerank(parts.port, query, given, OPTIONS | {"model": "search"} | options, partial=partial))


def test_an_answer_is_told_with_the_pairs_that_were_scored_for_it(parts: Parts, told: list[RoutedRequest]) -> None:
    rerank(parts)
    rerank(parts, job_class="bulk")
    scored, cached = told
    assert (scored.route, scored.version, scored.model) == ("search", 1, "small")
    assert (scored.outcome, scored.run_pairs, scored.job_class) == ("complete", 2, "interactive")
    assert (cached.outcome, cached.run_pairs, cached.job_class) == ("complete", 0, "bulk")


def test_the_version_and_the_model_are_those_that_the_request_met(parts: Parts, told: list[RoutedRequest]) -> None:
    parts.fleet.serve("large", lambda query, document: 2.0)
    parts.fleet.route("search", {"large": 1.0})
    rerank(parts)
    assert [(each.version, each.model) for each in told] == [(2, "large")]


def test_a_request_that_names_a_model_is_not_told(parts: Parts, told: list[RoutedRequest]) -> None:
    rerank(parts, model="small")
    with pytest.raises(UnknownModel):
        rerank(parts, model="nobody")
    assert told == []


def test_a_late_answer_is_partial_and_without_any_a_deadline(parts: Parts, told: list[RoutedRequest]) -> None:
    rerank(parts)
    parts.fleet.workers = 0
    rerank(parts, "other", deadline_ms=100)
    with pytest.raises(DeadlineExceeded):
        rerank(parts, "third", deadline_ms=100, partial=False)
    assert [each.outcome for each in told] == ["complete", "partial", "deadline"]


def test_a_model_that_nobody_serves_is_unserved(parts: Parts, told: list[RoutedRequest]) -> None:
    parts.fleet.route("search", {"absent": 1.0})
    with pytest.raises(UnknownModel) as error:
        rerank(parts)
    assert [(each.outcome, each.model) for each in told] == [("unserved", "absent")]
    assert names(error.value) == ("search", 2, "absent")


def test_an_error_says_by_which_route_it_came(parts: Parts, told: list[RoutedRequest]) -> None:
    parts.fleet.fail_with(ScoringFailed("no"), times=1)
    with pytest.raises(ScoringFailed) as error:
        rerank(parts)
    assert names(error.value) == ("search", 1, "small")
    assert [each.outcome for each in told] == ["failed"]
    with pytest.raises(InvalidRequest) as wrong:
        rerank(parts, " ")
    assert names(wrong.value) == (None, None, None)


def names(error: RerankError) -> tuple[str | None, int | None, str | None]:
    return error.route, error.route_version, error.routed_to
