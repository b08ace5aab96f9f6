"""What callers' metrics say, and that their labels stay within closed sets."""

from __future__ import annotations

import asyncio
import importlib
import sys

import pytest
from prometheus_client import REGISTRY

from producer.conftest import Echo
from producer.echo_worker import score
from producer.test_sync_client import texts
from rerank_producer import RerankClient, metrics
from rerank_shared.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    JobLost,
    JobPoisoned,
    JobRevoked,
    Overloaded,
    QueueUnavailable,
    ScoringFailed,
    UnknownModel,
)


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {key.rstrip("_"): label for key, label in labels.items()}) or 0.0


@pytest.mark.parametrize(
    ("k", "bucket"),
    [(1, "1-10"), (10, "1-10"), (11, "11-25"), (50, "26-50"), (51, "51-100"), (250, "101-250"), (251, "251+")],
)
def test_numbers_of_documents_fall_in_six_buckets(k: int, bucket: str) -> None:
    assert metrics.k_bucket(k) == bucket


@pytest.mark.parametrize(
    ("error", "label"),
    [
        (InvalidRequest(""), "invalid"),
        (UnknownModel(""), "invalid"),
        (DeadlineExceeded(""), "deadline"),
        (QueueUnavailable(""), "unavailable"),
        (JobRevoked(""), "revoked"),
        (JobLost(""), "lost"),
        (JobPoisoned(""), "poisoned"),
        (Overloaded("", 1.0, 1.0), "refused"),
        (ScoringFailed(""), "failed"),
        (InternalError(""), "failed"),
        (ZeroDivisionError(), "failed"),
        (KeyboardInterrupt(), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
def test_every_end_has_a_label(error: BaseException, label: str) -> None:
    before = value("rerank_requests_total", class_="bulk", outcome=label)
    with pytest.raises(type(error)), metrics.watched("bulk"):
        raise error
    assert value("rerank_requests_total", class_="bulk", outcome=label) == before + 1


def test_a_class_that_does_not_exist_makes_no_label_of_its_own() -> None:
    with pytest.raises(InvalidRequest), metrics.watched("my " * 50):
        raise InvalidRequest("class")
    assert value("rerank_requests_total", class_="unknown", outcome="invalid") >= 1


def test_duration_buckets_reach_a_minute() -> None:
    assert metrics.SECONDS_BUCKETS[0] == 0.001
    assert 50 < metrics.SECONDS_BUCKETS[-1] < 70
    assert list(metrics.SECONDS_BUCKETS) == sorted(set(metrics.SECONDS_BUCKETS))


def test_importing_again_makes_no_metric_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert importlib.reload(metrics).REQUESTS is metrics.REQUESTS
    monkeypatch.delitem(sys.modules, "rerank_producer.metrics")
    again = importlib.import_module("rerank_producer.metrics")
    assert again is not metrics
    assert again.REQUEST_SECONDS is metrics.REQUEST_SECONDS


@pytest.mark.integration
def test_requests_are_counted_by_how_they_went(client: RerankClient, echo: Echo) -> None:
    def counts() -> dict[str, float]:
        seconds = "rerank_request_seconds_count"
        return {
            "complete": value("rerank_requests_total", class_="interactive", outcome="complete"),
            "partial": value("rerank_requests_total", class_="interactive", outcome="partial"),
            "failed": value("rerank_requests_total", class_="interactive", outcome="failed"),
            "cold": value(seconds, class_="interactive", k="11-25", cache="cold"),
            "warm": value(seconds, class_="interactive", k="11-25", cache="warm"),
            "hot": value(seconds, class_="interactive", k="11-25", cache="hot"),
            "hit": value("rerank_cache_pairs_total", result="hit"),
            "miss": value("rerank_cache_pairs_total", result="miss"),
        }

    documents, before = texts(20), counts()
    client.rerank("half", documents)
    echo.write_cache({("q", text): score("q", text) for text in documents[:15]})
    client.rerank("q", documents)
    client.rerank("q", documents[:15])
    client.rerank("q", [])
    with pytest.raises(ScoringFailed):
        client.rerank("fail", documents)
    client.collect(client.submit("q", documents))
    after = counts()
    assert {name: after[name] - before[name] for name in before} == {
        "complete": 4,
        "partial": 1,
        "failed": 1,
        "cold": 1,
        "warm": 1,
        "hot": 1,
        "hit": 45,
        "miss": 50,
    }
