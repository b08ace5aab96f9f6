"""What adapters have in common: whose connections they use, when they fall back, what is said without a framework."""

from __future__ import annotations

import asyncio
import copy
import logging
import math
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from integrations.conftest import NOWHERE, QUERY, TEXTS
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_producer.integrations.fields import known_scores
from rerank_producer.integrations.options import FleetOptions, told
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    QueueUnavailable,
    RerankError,
    UnknownSetting,
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


@pytest.mark.parametrize(("module", "engine", "wanted"), [("spark", "pyspark", "pyspark[sql]"), ("daft",) * 3])
def test_an_engine_that_is_not_there_is_told_without_an_extra(module: str, engine: str, wanted: str) -> None:
    script = (
        f"import sys; sys.modules[{engine!r}] = None\n"
        "from rerank_producer import ConfigurationError\n"
        "import rerank_producer.integrations.frames, rerank_producer.integrations.ray_data\n"
        f"try: import rerank_producer.integrations.{module}\n"
        "except ConfigurationError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert f": pip install '{wanted}' into the environment of this app" in run.stdout


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
        "total_ms", "cache_ms", "enqueue_ms", "queue_ms", "tokenize_ms", "batch_ms", "run_ms", "fuse_ms",
    }  # fmt: skip
    assert (shown["complete"], shown["fallback"]) == (False, False)
    assert told(None) == {"fallback": True}


class Recording(RerankClient):
    """A client that keeps what it was asked."""

    def rerank(self, query: Any, documents: Any = None, **options: Any) -> RerankResponse:
        self.asked = {"query": query, "documents": documents, **options}
        return super().rerank(query, documents, **options)


@pytest.mark.parametrize("fusion", [None, "none"])
def test_without_fusion_a_request_says_nothing_of_a_first_stage(fusion: Any, settings: Settings) -> None:
    with Recording(settings.model_copy(update={"fusion": "weighted"})) as client:
        options = FleetOptions(client=client, deadline_ms=0, fusion=fusion, first_stage="bm25")
        response = options.ask(QUERY, TEXTS, 2, scores=[4.0, 3.0, 2.0, 1.0])
        assert client.asked == {
            "query": QUERY, "documents": TEXTS, "top_n": 2, "deadline_ms": 0, "job_class": "interactive", "tenant": "",
            "model": None, "max_length": None, "partial": True,
        }  # fmt: skip
    assert response is not None
    assert response.fusion is None


def test_with_fusion_a_request_has_its_options_and_the_scores(settings: Settings) -> None:
    fusion: dict[str, Any] = {
        "fusion": "weighted", "fusion_weight": math.inf, "fusion_ratio": 0.5, "first_stage": "dense",
        "first_stage_order": "ascending",
    }  # fmt: skip
    with Recording(settings) as client:
        options = FleetOptions(client=client, deadline_ms=0, **fusion)
        response = options.ask(QUERY, TEXTS, None, scores=[0.5, math.nan, None, 0.25])
        assert {name: client.asked[name] for name in fusion} == fusion
        assert client.asked["scores"] == [0.5, None, None, 0.25]
    assert response is not None
    # Not scored in time, so that the first stage alone gives the order; what has no score is its worst.
    assert [result.index for result in response.results] == [3, 0, 1, 2]
    assert told(response)["fusion"] == {
        "method": "weighted", "applied": "weighted", "weight": math.inf, "ratio": 0.5, "learned_requests": None,
        "first_stage": "dense",
    }  # fmt: skip
    again = pickle.loads(pickle.dumps(options))  # noqa: S301
    assert again.model_dump() == options.model_dump()
    assert FleetOptions.model_validate_json(options.model_dump_json()).fusion_weight == math.inf


@pytest.mark.parametrize("score", [math.inf, -math.inf, "0.5", True])
def test_a_score_that_is_no_finite_number_is_refused_with_its_place(score: Any, settings: Settings) -> None:
    with RerankClient(settings) as client, pytest.raises(InvalidRequest, match=r"^scores\.1: a finite number"):
        FleetOptions(client=client, fusion="rrf", fallback=True).ask(QUERY, TEXTS, 2, scores=[0.5, score, None, 0.25])


@pytest.mark.parametrize("score", [math.nan, np.float32("nan"), None])
def test_a_score_that_is_none_is_missing(score: Any) -> None:
    assert known_scores([1.0, score, 2]) == [1.0, None, 2]


def test_a_misspelt_option_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(
        UnknownSetting, match=r"^fusion_wieght is no option of FleetOptions; did you mean fusion_weight\?"
    ):
        FleetOptions(fusion_wieght=2.0)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fusion": "best"}, r"^fusion: .*'weighted'"),
        ({"fusion": "rrf", "fusion_weight": -1}, "^fusion_weight: .*greater than or equal to 0"),
        ({"fusion": "weighted", "fusion_ratio": 0}, "^fusion_ratio: .*greater than 0"),
        ({"fusion": "rrf", "first_stage": "bm 25"}, "^first_stage: "),
        ({"fusion_weight": 2.0}, "^fusion_weight and fusion_ratio count with fusion only"),
        ({"max_length": "secret", "redis_url": 7}, "^redis_url: .*; max_length: "),
    ],
)
def test_a_wrong_option_is_told_without_its_value(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as error:
        FleetOptions(**options)
    assert "secret" not in str(error.value)
    assert not isinstance(error.value, UnknownSetting)


def test_every_fallback_error_is_one_that_may_pass() -> None:
    options = FleetOptions(fallback=True)
    for error in (QueueUnavailable("away"), DeadlineExceeded("late"), Overloaded("full")):
        options._fall_back(error)
    with pytest.raises(RerankError, match="broken"):
        options._fall_back(ConfigurationError("broken"))
