"""What becomes of asks where the fleet is stuck or scores nothing in time, and what is paid for that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.gateway import answering
from rerank_producer.gateway.answering import Answering
from rerank_producer.gateway.apis.ask import Ask
from rerank_producer.gateway.auth.rate import Bill, Meter
from rerank_producer.gateway.auth.terms import terms_of
from rerank_producer.gateway.models.naming import Named
from rerank_producer.gateway.watch.latency import Latencies
from rerank_shared.contract.schemas import ModelInfo, RerankResponse, Result, Timings, Usage
from rerank_shared.errors import DeadlineExceeded, QueueUnavailable, UnknownModel
from rerank_shared.keys import Keys
from rerank_shared.settings import Settings, load_settings

ASK = Ask("q", ["d"])


@dataclass
class Client:
    """The fleet's client, as far as answering needs it."""

    rerank: Callable[..., Awaitable[RerankResponse]]
    settings: Settings = field(default_factory=load_settings)


@dataclass
class Till:
    """Keeps the bill."""

    bill: Bill = field(default_factory=Bill)

    @asynccontextmanager
    async def paying(self, key: object, asks: Sequence[Ask]) -> AsyncIterator[Bill]:
        yield self.bill


class Models:
    """A fleet of one model."""

    async def named(self, name: str | None) -> Named:
        return Named("m", in_place_of=name)


def answering_with(rerank: Callable[..., Awaitable[RerankResponse]], till: Till) -> Answering:
    client = cast(AsyncRerankClient, Client(rerank))
    return Answering(client, cast(Meter, till), Latencies(Keys("test")), None, Models())


def response(*scores: float | None) -> RerankResponse:
    results = [
        Result(index=index, relevance_score=score, scored=score is not None) for index, score in enumerate(scores)
    ]
    model = ModelInfo(name="m")
    return RerankResponse(
        id="job", results=results, complete=True, model=model, timings=Timings(), usage=Usage(tokens=7)
    )


async def test_a_queue_that_says_nothing_at_all_does_not_hold_a_request_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def stuck(*_: Any, **__: Any) -> RerankResponse:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(answering, "_LATE_S", 0.0)
    terms = terms_of(None, {"x-rerank-deadline-ms": "10"}, time.monotonic())
    with pytest.raises(QueueUnavailable):
        await answering_with(stuck, Till()).answer_all([ASK], terms)


async def test_what_was_run_is_used_of_all_asks_together() -> None:
    async def answered(*_: Any, **__: Any) -> RerankResponse:
        return response(0.5)

    till = Till()
    answers = await answering_with(answered, till).answer_all([ASK] * 3, terms_of(None, {}, time.monotonic()))
    assert len(answers) == 3
    assert till.bill.used_tokens == 21


async def test_what_nothing_came_of_is_not_called_unused() -> None:
    async def nothing(*_: Any, **__: Any) -> RerankResponse:
        return response(None, None)

    till = Till()
    with pytest.raises(DeadlineExceeded, match="none of the"):
        await answering_with(nothing, till).answer_all([ASK], terms_of(None, {}, time.monotonic()))
    assert till.bill.used_tokens is None


async def test_of_several_asks_the_error_of_one_is_told_as_it_is() -> None:
    async def half(query: str, *_: Any, **__: Any) -> RerankResponse:
        if query == "bad":
            raise UnknownModel("model: 'x' is not served")
        return response(0.5)

    with pytest.raises(UnknownModel, match="'x'"):
        await answering_with(half, Till()).answer_all([ASK, Ask("bad", ["d"])], terms_of(None, {}, time.monotonic()))
