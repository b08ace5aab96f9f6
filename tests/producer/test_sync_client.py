"""The sync client on a real server and a real Celery worker that answers with made-up scores."""

from __future__ import annotations

import uuid

import pytest

from producer.conftest import Echo
from producer.echo_worker import logit, score
from rerank_producer import Document, RerankClient

pytestmark = pytest.mark.integration


def texts(count: int) -> list[str]:
    mark = uuid.uuid4().hex[:8]
    return [f"document {number} of {mark}" for number in range(count)]


def test_cold_request_is_scored_by_the_worker(client: RerankClient) -> None:
    documents = texts(30)
    response = client.rerank("any words", documents)
    expected = sorted(range(30), key=lambda i: (-logit("any words", documents[i]), i))
    assert [r.index for r in response.results] == expected
    assert response.complete
