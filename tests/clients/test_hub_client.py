"""`huggingface_hub.InferenceClient`: it has no call that reranks, but one that compares a sentence with others."""

from __future__ import annotations

from typing import Any

import pytest

from support.http.clients import CLIENTS, DOCUMENTS, QUERY, Served

hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: `make test-clients`")
errors = pytest.importorskip("huggingface_hub.errors", reason="needs huggingface_hub: `make test-clients`")
pytestmark = CLIENTS


def client(served: Served, key: str | None = None) -> Any:
    return hub.InferenceClient(model=f"{served.url}/similarity", token=key or served.keys.plain)


def in_sent_order(ranked: list[tuple[int, float]]) -> list[float]:
    return [score for _, score in sorted(ranked)]


def test_has_no_call_that_reranks() -> None:
    """Should one appear, docs/clients.md has to tell of it."""
    assert [name for name in dir(hub.InferenceClient) if "rank" in name] == []


def test_scores_sentences_as_the_fleet_does(served: Served) -> None:
    assert client(served).sentence_similarity(QUERY, DOCUMENTS) == in_sent_order(served.ranked())


async def test_async(served: Served) -> None:
    async with hub.AsyncInferenceClient(model=f"{served.url}/similarity", token=served.keys.plain) as asynchronous:
        assert await asynchronous.sentence_similarity(QUERY, DOCUMENTS) == in_sent_order(served.ranked())


def test_errors_carry_status_and_message(served: Served, drained_key: str) -> None:
    keys = served.keys
    for key, status, message in (
        (keys.wrong, 401, "API key"),
        (keys.small, 422, "sent"),
        (drained_key, 429, "Try again"),
    ):
        with pytest.raises(errors.HfHubHTTPError) as refused:
            client(served, key).sentence_similarity(QUERY, DOCUMENTS)
        assert refused.value.response.status_code == status
        assert message in refused.value.response.json()["error"]
