"""What is waited out, what is the row's own failure, and what ends a run."""

from __future__ import annotations

import pytest

from rerank_producer.bulk.asking.patience import Again, GiveUp, RowFails, verdict
from rerank_shared.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    JobLost,
    JobPoisoned,
    NoWorkers,
    Overloaded,
    QueueUnavailable,
    RerankError,
    ScoringFailed,
    UnknownModel,
    WireError,
)


@pytest.mark.parametrize(
    "error",
    [
        DeadlineExceeded("late"),
        NoWorkers("none"),
        JobLost("gone"),
        QueueUnavailable("away"),
        Overloaded("full", retry_after_s=2.0),
    ],
)
def test_a_fleet_that_is_away_or_full_is_waited_for_however_long(error: RerankError) -> None:
    verdicts = [verdict(error, failures) for failures in (1, 2, 3, 1_000)]
    pauses = [each.pause_s for each in verdicts if isinstance(each, Again)]
    assert len(pauses) == 4
    assert pauses == sorted(pauses)
    assert pauses[-1] == 10.0


def test_a_full_fleet_says_when_to_come_again() -> None:
    assert verdict(Overloaded("full", retry_after_s=3.5), 1) == Again(3.5)
    assert verdict(Overloaded("full", retry_after_s=500.0), 1) == Again(10.0)


@pytest.mark.parametrize(("error", "sends"), [(ScoringFailed("no"), 3), (JobPoisoned("killed them"), 2)])
def test_a_row_that_no_worker_scores_fails_alone(error: RerankError, sends: int) -> None:
    verdicts = [verdict(error, failures) for failures in range(1, sends + 1)]
    assert [isinstance(each, Again) for each in verdicts] == [True] * (sends - 1) + [False]
    assert verdicts[-1] == RowFails()


def test_a_wrong_row_fails_at_once() -> None:
    assert verdict(InvalidRequest("query: is empty"), 1) == RowFails()


@pytest.mark.parametrize(
    "error", [ConfigurationError("wrong"), WireError("newer"), QueueUnavailable("who are you?", "credentials")]
)
def test_what_no_waiting_mends_ends_the_run(error: RerankError) -> None:
    assert verdict(error, 1) == GiveUp()


def test_a_model_that_is_not_served_ends_the_run_and_fails_no_row() -> None:
    """Its workers may be restarting; but rows must not fail one after the other for it."""
    verdicts = [verdict(UnknownModel("not served"), failures) for failures in range(1, 9)]
    assert [isinstance(each, Again) for each in verdicts] == [True] * 7 + [False]
    assert verdicts[-1] == GiveUp()
