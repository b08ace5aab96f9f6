"""What a caller is told of each error, and what it is never told."""

from __future__ import annotations

import pytest

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import ClientGone, Refused, problem_of
from rerank_shared import errors


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (errors.InvalidRequest("query: is empty"), 400, "invalid_request", False),
        (errors.UnknownModel("model: 'x' is not served"), 404, "unknown_model", False),
        (errors.Overloaded("refused", 900.0, 2.5), 429, "overloaded", True),
        (errors.DeadlineExceeded("too late"), 504, "deadline_exceeded", True),
        (errors.NoWorkers("no worker that serves m is alive"), 503, "no_workers", True),
        (errors.JobRevoked("cancelled"), 499, "job_revoked", False),
        (errors.JobLost("gone"), 503, "job_lost", True),
        (errors.ScoringFailed("not a number"), 500, "scoring_failed", False),
        (errors.JobPoisoned("set aside"), 500, "job_poisoned", False),
    ],
)
def test_what_callers_can_act_on_is_told_in_its_own_words(
    error: errors.RerankError, status: int, code: str, retryable: bool
) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code, problem.retryable) == (status, code, retryable)
    assert problem.message == error.message


@pytest.mark.parametrize(
    ("error", "status", "code", "retryable"),
    [
        (errors.QueueUnavailable("Redis at redis://10.0.0.7 can't be reached"), 503, "queue_unavailable", True),
        (errors.WireError("10.0.0.7"), 502, "wire_error", False),
        (errors.UnsupportedVersion("10.0.0.7"), 502, "unsupported_version", False),
        (errors.ConfigurationError("/etc/10.0.0.7"), 500, "internal_error", False),
        (errors.InternalError("a worker failed with 10.0.0.7"), 500, "internal_error", False),
        (errors.RerankError("10.0.0.7"), 500, "internal_error", False),
        (KeyError("10.0.0.7"), 500, "internal_error", False),
    ],
)
def test_what_only_the_operator_should_know_is_not_told(
    error: Exception, status: int, code: str, retryable: bool
) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code, problem.retryable) == (status, code, retryable)
    assert "10.0.0.7" not in problem.message
    assert problem.message


def test_each_error_of_the_tree_has_a_status() -> None:
    for kind in errors.BY_CODE.values():
        problem = problem_of(kind("said"))
        assert 400 <= problem.status <= 599, kind


@pytest.mark.parametrize(
    ("error", "retry_after_s"),
    [
        (errors.Overloaded("refused", 900.0, 2.5), 2.5),
        (errors.Overloaded("refused by a worker that did not say for how long"), 1.0),
        (errors.QueueUnavailable("away"), 1.0),
        (errors.JobLost("gone"), 1.0),
        (errors.NoWorkers("no worker that serves m is alive"), 5.0),
        (errors.DeadlineExceeded("too late"), None),
        (errors.InvalidRequest("query: is empty"), None),
    ],
)
def test_when_to_come_back_is_told_where_it_is_known(error: Exception, retry_after_s: float | None) -> None:
    assert problem_of(error).retry_after_s == retry_after_s


def test_what_the_gateway_refused_keeps_its_problem() -> None:
    problem = Problem(413, "body_too_large", "too large")
    assert problem_of(Refused(problem)) is problem
    assert problem_of(ClientGone("hung up")).status == 499


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        ("unreachable", "can't be reached"),
        ("silent", "can't be reached"),
        ("out_of_memory", "is full"),
        ("loading", "is starting"),
        ("credentials", "refuses this gateway"),
        ("permission", "refuses this gateway"),
        ("tls", "refuses this gateway"),
    ],
)
def test_what_keeps_the_queue_away_is_told_apart(reason: str, says: str) -> None:
    problem = problem_of(errors.QueueUnavailable("Redis at redis://10.0.0.7 says something", reason))
    assert problem.status == 503
    assert says in problem.message
    assert "10.0.0.7" not in problem.message
