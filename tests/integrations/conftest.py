"""One fleet of a real worker for the tests of a framework, one that is overloaded, and one that isn't there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

# Before a framework is imported: none may report to its makers from a test.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["LANGSMITH_TRACING"] = "false"

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.settings import Settings, load_settings
from support.fleet import TestFleet
from support.jobs import BERLIN_DOCUMENTS, BERLIN_QUERY
from support.overload import overloaded_fleet

NOWHERE = "unix:///nowhere/redis.sock"
QUERY = BERLIN_QUERY
#: In no order of relevance.
TEXTS = [
    BERLIN_DOCUMENTS[1],
    "The Spree flows through Berlin.",
    BERLIN_DOCUMENTS[0],
    "Bread is baked from flour and water.",
]
#: Of a first stage, which finds the last text best and knows nothing of the second; and how much it counts.
SCORES = [0.2, None, 0.5, 0.9]
WEIGHT = 4.0


@dataclass(frozen=True)
class Expected:
    """What the client answers to QUERY and TEXTS: indexes, best first, and the score of each text."""

    order: list[int]
    scores: list[float]


@pytest.fixture(scope="module")
def fleet(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestFleet]:
    """A real worker for all tests of a file."""
    settings = load_settings(redis_url=server.url, namespace=f"clients-{uuid.uuid4().hex[:12]}")
    with TestFleet(settings, tmp_path_factory.mktemp("clients")) as fleet:
        yield fleet.start()


@pytest.fixture(scope="module")
def expected(fleet: TestFleet) -> Expected:
    """The client's own answer. It is cached from then on, so that adapters must give the very same."""
    with RerankClient(fleet.settings) as client:
        response = client.rerank(QUERY, TEXTS, partial=False)
    scores = {result.index: result.relevance_score for result in response.results}
    order = [result.index for result in response.results]
    assert order[:2] == [2, 1]
    return Expected(order, [scores[index] or 0.0 for index in range(len(TEXTS))])


@pytest.fixture(scope="module")
def fused(fleet: TestFleet, expected: Expected) -> RerankResponse:
    """The client's own answer where the first stage's scores count for so much that they change the order."""
    with RerankClient(fleet.settings) as client:
        response = client.rerank(QUERY, TEXTS, fusion="zscore", fusion_weight=WEIGHT, scores=SCORES, partial=False)
    assert [result.index for result in response.results] != expected.order
    return response


@pytest.fixture
def overloaded(settings: Settings) -> Settings:
    """A fleet that would answer too late."""
    return overloaded_fleet(settings)
