"""What adapters have in common: whose connections they use, when they fall back, what is said without a framework."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import subprocess
import sys

import pytest

from integrations.conftest import NOWHERE, QUERY, TEXTS
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_producer.integrations.options import FleetOptions, told
from rerank_shared.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    QueueUnavailable,
    RerankError,
)
from rerank_shared.settings import Settings, load_settings

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("module", "framework", "extra"),
    [
        ("langchain", "langchain_core", "langchain"),
        ("llama_index", "llama_index", "llama-index"),
        ("haystack", "haystack", "haystack"),
    ],
)
def test_a_framework_that_is_not_there_is_told_with_its_extra(module: str, framework: str, extra: str) -> None:
    script = (
        f"import sys; sys.modules[{framework!r}] = None\n"
        "from rerank_producer import ConfigurationError\n"
        "import rerank_producer.integrations\n"
        f"try: import rerank_producer.integrations.{module}\n"
        "except ConfigurationError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert f"pip install 'rerank-fleet[{extra}]'" in run.stdout


def test_a_server_that_is_away_is_told_or_fallen_back_from(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(QueueUnavailable):
        FleetOptions(redis_url=NOWHERE).ask(QUERY, TEXTS, 2)
    with caplog.at_level(logging.WARNING, "rerank_producer.integrations"):
        assert FleetOptions(redis_url=NOWHERE, fallback=True).ask(QUERY, TEXTS, 2) is None
    assert "not reranked, first-stage order kept code=queue_unavailable" in caplog.text


async def test_the_same_from_asyncio() -> None:
    async with AsyncRerankClient(redis_url=NOWHERE) as client:
        with pytest.raises(QueueUnavailable):
            await FleetOptions(async_client=client).aask(QUERY, TEXTS, 2)
        assert await FleetOptions(async_client=client, fallback=True).aask(QUERY, TEXTS, 2) is None


def test_an_overloaded_fleet_is_told_or_fallen_back_from(overloaded: Settings) -> None:
    with RerankClient(overloaded) as client:
        with pytest.raises(Overloaded) as error:
            FleetOptions(client=client, deadline_ms=5_000).ask(QUERY, TEXTS, 2)
        assert error.value.retry_after_s > 0
        assert FleetOptions(client=client, deadline_ms=5_000, fallback=True).ask(QUERY, TEXTS, 2) is None


def test_a_deadline_that_passed_is_told_fallen_back_from_or_answered_in_part(settings: Settings) -> None:
    with RerankClient(settings) as client:
        with pytest.raises(DeadlineExceeded):
            FleetOptions(client=client, deadline_ms=0, partial=False).ask(QUERY, TEXTS, 2)
        assert FleetOptions(client=client, deadline_ms=0, partial=False, fallback=True).ask(QUERY, TEXTS, 2) is None
        response = FleetOptions(client=client, deadline_ms=0, fallback=True).ask(QUERY, TEXTS, 2)
    assert response is not None
    assert [(result.index, result.scored) for result in response.results] == [(0, False), (1, False)]


@pytest.mark.parametrize("query", ["", " "])
def test_what_can_not_help_by_trying_again_is_always_raised(settings: Settings, query: str) -> None:
    with RerankClient(settings) as client, pytest.raises(InvalidRequest, match=r"^query"):
        FleetOptions(client=client, fallback=True).ask(query, TEXTS, 2)


def test_a_client_that_was_given_is_used_and_left_open(settings: Settings) -> None:
    with RerankClient(settings) as client:
        asyncio_client = AsyncRerankClient(settings)
        options = FleetOptions(client=client, async_client=asyncio_client)
        assert options._clients.blocking is client
        assert options._clients.asyncio is asyncio_client
        client.rerank("q", ["a"], deadline_ms=0)
        port = client._port.get()
        options.close()
        asyncio.run(options.aclose())
        assert client._port.get() is port


@pytest.mark.parametrize("given", [RerankClient, AsyncRerankClient])
def test_one_client_says_where_the_other_goes(settings: Settings, given: type) -> None:
    client = given(settings)
    options = FleetOptions(client=client) if given is RerankClient else FleetOptions(async_client=client)
    assert options._clients.blocking.settings == options._clients.asyncio.settings == settings
    with pytest.raises(ConfigurationError, match="either a client, or redis_url"):
        FleetOptions(client=RerankClient(settings), redis_url=NOWHERE)


def test_no_dump_or_repr_shows_the_server_s_password() -> None:
    options = FleetOptions(redis_url="redis://:secret@localhost/0", namespace="mine")
    assert "secret" not in f"{options!r} {options} {options.model_dump()} {options.model_dump_json()}"
    assert options.model_dump()["namespace"] == "mine"


def test_copies_share_connections_and_unpickled_ones_go_to_the_same_server() -> None:
    settings = load_settings(redis_url="redis://:secret@localhost/0", namespace="mine")
    options = FleetOptions(client=RerankClient(settings), deadline_ms=70)
    assert copy.deepcopy(options)._clients is options._clients
    again = pickle.loads(pickle.dumps(options))  # noqa: S301
    assert again._clients.settings == settings
    assert again.model_dump() == options.model_dump()


def test_traces_of_an_answer_are_plain_data(settings: Settings) -> None:
    with RerankClient(settings) as client:
        shown = told(client.rerank("q", ["a"], deadline_ms=0))
    assert set(shown["timings"]) == {
        "total_ms", "cache_ms", "enqueue_ms", "queue_ms", "tokenize_ms", "batch_ms", "run_ms",
    }  # fmt: skip
    assert (shown["complete"], shown["fallback"]) == (False, False)
    assert told(None) == {"fallback": True}


def test_every_fallback_error_is_one_that_may_pass() -> None:
    options = FleetOptions(fallback=True)
    for error in (QueueUnavailable("away"), DeadlineExceeded("late"), Overloaded("full")):
        options._fall_back(error)
    with pytest.raises(RerankError, match="broken"):
        options._fall_back(ConfigurationError("broken"))
