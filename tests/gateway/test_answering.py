"""The fate of calls where the fleet is stuck or scores nothing in time, and the tokens that they cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.apis.common.call import AskedFusion, RerankCall
from rerank_producer.gateway import answering
from rerank_producer.gateway.answering import Answering
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.auth.request_limits import limits_of
from rerank_producer.gateway.auth.token_bucket import Reservation, TokenBuckets
from rerank_producer.gateway.models.resolver import ResolvedModel
from rerank_producer.gateway.watch.latency import Latencies
from rerank_shared.contract.schemas import FusionInfo, ModelInfo, RerankResponse, Result, Timings, Usage
from rerank_shared.errors import DeadlineExceeded, QueueUnavailable, UnknownModel
from rerank_shared.keys import FusionMethod, Keys
from rerank_shared.routing.route import Limits
from rerank_shared.settings import Settings, load_settings

CALL = RerankCall("q", ["d"])


@dataclass
class Client:
    """The fleet's client, as far as answering needs it."""

    rerank: Callable[..., Awaitable[RerankResponse]]
    settings: Settings = field(default_factory=load_settings)


@dataclass
class OneReservation:
    """Buckets that make one reservation and keep it."""

    reservation: Reservation = field(default_factory=Reservation)

    @asynccontextmanager
    async def reserve(self, key: object, calls: Sequence[RerankCall], within_s: float) -> AsyncIterator[Reservation]:
        yield self.reservation


class Models:
    """A fleet of one model."""

    def limits(self, name: str | None) -> Limits:
        return Limits()

    async def resolve(self, name: str | None, key: ApiKey | None = None) -> ResolvedModel:
        return ResolvedModel("m", in_place_of=name)

    async def check_model(self, name: str, key: ApiKey | None) -> None:
        pass


def answering_with(rerank: Callable[..., Awaitable[RerankResponse]], buckets: OneReservation) -> Answering:
    client = cast(AsyncRerankClient, Client(rerank))
    return Answering(client, cast(TokenBuckets, buckets), Latencies(Keys("test")), None, Models())


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
    limits = limits_of(None, {"x-rerank-deadline-ms": "10"}, time.monotonic())
    with pytest.raises(QueueUnavailable):
        await answering_with(stuck, OneReservation()).answer_all([CALL], limits)


async def test_what_was_run_is_used_of_all_calls_together() -> None:
    async def answered(*_: Any, **__: Any) -> RerankResponse:
        return response(0.5)

    buckets = OneReservation()
    answers = await answering_with(answered, buckets).answer_all([CALL] * 3, limits_of(None, {}, time.monotonic()))
    assert len(answers) == 3
    assert buckets.reservation.used_tokens == 21


async def test_what_nothing_came_of_is_not_called_unused() -> None:
    async def nothing(*_: Any, **options: Any) -> RerankResponse:
        assert options["partial"] == "scored"
        raise DeadlineExceeded("job a was not answered")

    buckets = OneReservation()
    with pytest.raises(DeadlineExceeded, match="not answered"):
        await answering_with(nothing, buckets).answer_all([CALL], limits_of(None, {}, time.monotonic()))
    assert buckets.reservation.used_tokens is None


async def test_of_several_calls_the_error_of_one_is_told_as_it_is() -> None:
    async def half(query: str, *_: Any, **__: Any) -> RerankResponse:
        if query == "bad":
            raise UnknownModel("model: 'x' is not served")
        return response(0.5)

    with pytest.raises(UnknownModel, match="'x'"):
        await answering_with(half, OneReservation()).answer_all(
            [CALL, RerankCall("bad", ["d"])], limits_of(None, {}, time.monotonic())
        )


async def test_what_a_call_says_of_fusion_reaches_the_client() -> None:
    given: dict[str, Any] = {}

    async def answered(*_: Any, **options: Any) -> RerankResponse:
        given.update(options)
        return response(0.5)

    asked = AskedFusion("weighted", 0.5, 2.0, "bm25", "ascending", [1.5])
    limits = limits_of(None, {}, time.monotonic())
    await answering_with(answered, OneReservation()).answer_all([replace(CALL, fusion=asked)], limits)
    assert (given["fusion"], given["fusion_weight"], given["fusion_ratio"]) == ("weighted", 0.5, 2.0)
    assert (given["first_stage"], given["first_stage_order"], given["scores"]) == ("bm25", "ascending", [1.5])


@pytest.mark.parametrize(
    ("applied", "told"),
    [
        ("weighted", "scores are the model's fused with the first stage's: weighted, weight 0.5"),
        (
            "zscore",
            "scores are the model's fused with the first stage's: zscore, weight 0.5; in place of weighted, which has "
            "learned from 12 of 30 requests so far",
        ),
    ],
)
async def test_a_fused_answer_warns_once(applied: FusionMethod, told: str) -> None:
    fusion = FusionInfo(method="weighted", applied=applied, weight=0.5, ratio=2.0, learned_requests=12)

    async def answered(*_: Any, **__: Any) -> RerankResponse:
        return response(0.5).model_copy(update={"fusion": fusion})

    limits = limits_of(None, {}, time.monotonic())
    (reply,) = await answering_with(answered, OneReservation()).answer_all([CALL], limits)
    assert reply.warnings == (told,)


@pytest.mark.parametrize("fusion", [None, FusionInfo(method="rrf", applied="rrf", weight=1.0)])
async def test_it_is_told_how_documents_without_a_score_stand(fusion: FusionInfo | None) -> None:
    async def answered(*_: Any, **__: Any) -> RerankResponse:
        return response(0.5, None).model_copy(update={"fusion": fusion, "complete": False})

    call = RerankCall("q", ["d", "e"])
    limits = limits_of(None, {}, time.monotonic())
    (reply,) = await answering_with(answered, OneReservation()).answer_all([call], limits)
    order = "as they were sent" if fusion is None else "by their first-stage scores"
    assert reply.warnings[-1].endswith(f"which stand last {order}: 1 of 2")
