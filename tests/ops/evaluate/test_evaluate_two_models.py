"""Scores of a fleet that is upgraded meanwhile: two models answer, and their scores are not measured as one's."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from producer.conftest import Echo, serve_echo
from rerank_ops.evaluate.scoring import scored
from rerank_ops.fusion.labelled import LabelledQuery, LabelledSet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import AsyncRerankClient
from rerank_shared.contract.schemas import Document
from rerank_shared.errors import RunDiffers
from rerank_shared.settings import load_settings


@pytest.fixture
def echo(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    """A worker that answers as another model where the query says `other`."""
    settings = load_settings(redis_url=server.url, namespace=f"two-models-{uuid.uuid4().hex[:8]}")
    yield from serve_echo(settings, tmp_path_factory.mktemp("two-models") / "worker.log")


def asked(*queries: str) -> LabelledSet:
    candidates = (Document(id="d1", text="one", score=2.0), Document(id="d2", text="two", score=1.0))
    return LabelledSet("tiny", tuple(LabelledQuery(query, query, candidates) for query in queries), {})


async def test_a_second_model_is_refused_with_both_named(echo: Echo) -> None:
    async with AsyncRerankClient(echo.settings) as client:
        same = await scored(client, "echo", asked("a", "b"), ["a"], options={}, tell=lambda: None)
        assert (same.model.digest, same.largest_difference()) == ("e" * 64, 0.0)
        with pytest.raises(RunDiffers, match=f"echo {'e' * 12}.* echo {'o' * 12}|echo {'o' * 12}.* echo {'e' * 12}"):
            await scored(client, "echo", asked("a", "other"), [], options={}, tell=lambda: None)
