"""Tokens a second of an API key, in a bucket on a real server whose clock decides.

Time passes by moving the bucket's own moment back, so that no test waits and none depends on how fast it runs: rates
are so low that what flows in while a test runs is far less than a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rerank_producer.apis.common.call import Problem, RerankCall
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.auth.token_bucket import TokenBuckets, estimated_tokens
from rerank_shared.contract.estimate import SPECIAL_TOKENS
from rerank_shared.errors import (
    DeadlineExceeded,
    DeadlineTooShort,
    InvalidRequest,
    NoWorkers,
    Overloaded,
    QueueUnavailable,
)
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, connect_async
from rerank_shared.settings import Settings, load_settings

pytestmark = pytest.mark.integration

RATE = 0.001
KEY = ApiKey("abcdefgh", "search", "shop", tokens_per_s=RATE, burst_tokens=100.0)


@dataclass(frozen=True, slots=True)
class Opened:
    """Buckets, and the record of one in Redis."""

    buckets: TokenBuckets
    client: redis.asyncio.Redis
    name: str

    async def level(self) -> float | None:
        """What is written of the bucket; None for a full one."""
        text = await self.client.hget(self.name, "level")
        return None if text is None else float(text)

    async def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        at = float(await self.client.hget(self.name, "at") or 0)
        await self.client.hset(self.name, "at", repr(at - seconds))

    async def refusal(self, tokens: int, key: ApiKey = KEY) -> Problem:
        with pytest.raises(Refused) as caught:
            await self.buckets.take(key, tokens)
        problem = caught.value.problem
        assert (problem.status, problem.code, problem.retryable) == (429, "rate_limited", True)
        return problem


@pytest.fixture
async def opened(settings: Settings) -> AsyncIterator[Opened]:
    keys = Keys(settings.namespace)
    async with connect_async(settings) as client:
        yield Opened(TokenBuckets(client, keys, settings), client, keys.bucket(KEY.key_id))


async def test_a_bucket_is_full_at_first_and_gives_what_it_holds(opened: Opened) -> None:
    assert (await opened.buckets.take(KEY, 60)).tokens == 40
    level = await opened.buckets.take(KEY, 40)
    assert level.tokens == pytest.approx(0, abs=0.1)
    problem = await opened.refusal(10)
    assert problem.retry_after_s == pytest.approx(10 / RATE, rel=0.02)
    assert "about 10 tokens" in problem.message
    assert "'search' has 0 left of 100" in problem.message
    assert f"Try again in {problem.retry_after_s:.0f} s" in problem.message


async def test_what_is_refused_costs_nothing_and_passes_after_the_time_that_was_told(opened: Opened) -> None:
    await opened.buckets.take(KEY, 95)
    for _ in range(20):
        problem = await opened.refusal(30)
    assert problem.retry_after_s is not None
    await opened.pass_s(problem.retry_after_s - 5)
    assert (await opened.refusal(30)).retry_after_s in (4, 5)
    await opened.pass_s(5)
    assert (await opened.buckets.take(KEY, 30)).tokens == pytest.approx(0, abs=0.1)


async def test_a_wait_is_never_told_shorter_than_a_second(opened: Opened) -> None:
    fast = replace(KEY, tokens_per_s=1e6)
    await opened.buckets.take(KEY, 100)
    # As it stands in Redis it is empty; of the fast key's rate a bucket is full again in 100 microseconds.
    await opened.client.hset(opened.name, "at", repr(time.time() + 3_600))
    assert (await opened.refusal(50, fast)).retry_after_s == 1


async def test_a_request_larger_than_the_bucket_waits_for_a_full_one_and_leaves_a_debt(opened: Opened) -> None:
    assert (await opened.buckets.take(KEY, 250)).tokens == -150
    problem = await opened.refusal(1)
    assert problem.retry_after_s == pytest.approx(151 / RATE, rel=0.01)
    assert "has 0 left" in problem.message
    await opened.pass_s(249 / RATE)
    assert (await opened.refusal(250)).retry_after_s == pytest.approx(1 / RATE, rel=0.1)
    await opened.pass_s(1 / RATE)
    assert (await opened.buckets.take(KEY, 250)).tokens == pytest.approx(-150, abs=0.1)


async def test_no_more_flows_in_than_it_holds(opened: Opened) -> None:
    await opened.buckets.take(KEY, 50)
    await opened.pass_s(1e9)
    assert (await opened.buckets.take(KEY, 1)).tokens == 99
    await opened.buckets.give_back(KEY, 1_000)
    assert await opened.client.exists(opened.name) == 0, "a full bucket needs no key"
    assert (await opened.buckets.take(KEY, 100)).tokens == 0


async def test_a_clock_that_is_set_back_stops_the_flow_only_once(opened: Opened) -> None:
    await opened.buckets.take(KEY, 100)
    await opened.pass_s(-1e6)
    await opened.refusal(1)
    await opened.pass_s(2 / RATE)
    assert (await opened.buckets.take(KEY, 1)).tokens == pytest.approx(1, abs=0.1)


async def test_a_bucket_lives_until_it_would_be_full(opened: Opened) -> None:
    await opened.buckets.take(KEY, 7)
    assert await opened.client.pttl(opened.name) == pytest.approx(7 / RATE * 1_000, abs=30_000)
    await opened.buckets.take(replace(KEY, tokens_per_s=1e-6), 7)
    assert await opened.client.pttl(opened.name) == pytest.approx(8_640_000 * 1_000, abs=30_000)


async def test_limits_that_change_in_the_file_hold_at_once(opened: Opened) -> None:
    await opened.buckets.take(KEY, 10)
    smaller = replace(KEY, burst_tokens=20.0)
    assert (await opened.buckets.take(smaller, 5)).tokens == 15
    assert (await opened.refusal(50, replace(KEY, tokens_per_s=1.0))).retry_after_s in (35, 34)


async def test_keys_and_namespaces_have_buckets_of_their_own(opened: Opened, settings: Settings) -> None:
    await opened.buckets.take(KEY, 100)
    await opened.refusal(1)
    assert (await opened.buckets.take(replace(KEY, key_id="other000"), 1)).tokens == 99
    elsewhere = TokenBuckets(opened.client, Keys(settings.namespace + "-2"), settings)
    assert (await elsewhere.take(KEY, 1)).tokens == 99


async def test_all_gateways_together_spend_no_more_than_there_is(settings: Settings) -> None:
    keys = Keys(settings.namespace)

    async def gateway() -> list[bool]:
        async with connect_async(settings) as client:
            buckets = TokenBuckets(client, keys, settings)
            told = await asyncio.gather(*(buckets.take(KEY, 1) for _ in range(150)), return_exceptions=True)
        assert {type(each) for each in told if isinstance(each, BaseException)} <= {Refused}
        return [not isinstance(each, BaseException) for each in told]

    assert sum(sum(told) for told in await asyncio.gather(gateway(), gateway())) == 100


async def test_a_server_that_forgot_the_script_gets_it_again(opened: Opened) -> None:
    await opened.client.script_flush()
    assert (await opened.buckets.take(KEY, 1)).tokens == 99


@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("spend"), st.integers(0, 300)),
            st.tuples(st.just("give_back"), st.integers(-100, 300)),
            st.tuples(st.just("pass"), st.integers(0, 300)),
        ),
        max_size=12,
    )
)
async def test_the_script_is_the_bucket_that_it_claims_to_be(settings: Settings, steps: list[tuple[str, int]]) -> None:
    """Time passes in units of one token, and each wait is told to the second."""
    held = 100.0
    keys = Keys(settings.namespace)
    with connect(settings) as plain:
        plain.delete(keys.bucket(KEY.key_id))
    async with connect_async(settings) as client:
        opened = Opened(TokenBuckets(client, keys, settings), client, keys.bucket(KEY.key_id))
        for what, amount in steps:
            if what == "pass":
                if held < 100.0:
                    await opened.pass_s(amount / RATE)
                    held = min(100.0, held + amount)
            elif what == "give_back":
                await opened.buckets.give_back(KEY, amount)
                held = min(100.0, held + amount)
            elif held >= min(amount, 100.0):
                held -= amount
                assert (await opened.buckets.take(KEY, amount)).tokens == pytest.approx(held, abs=0.1)
            else:
                assert await _wait_s(opened, amount) == pytest.approx((min(amount, 100.0) - held) / RATE, abs=60)


async def _wait_s(opened: Opened, tokens: int) -> float:
    # What has flowed in while the steps ran may just be what was missing.
    problem = await opened.refusal(tokens)
    return problem.retry_after_s or 0.0


async def test_a_limit_is_told_in_the_headers_that_clients_read(opened: Opened) -> None:
    level = await opened.buckets.take(KEY, 30)
    assert level.headers == {
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "70",
        "x-ratelimit-reset-tokens": "30000.000s",
    }
    problem = await opened.refusal(100)
    assert problem.headers["x-ratelimit-remaining-tokens"] == "70"
    await opened.buckets.give_back(KEY, -200)
    assert (await opened.refusal(1)).headers["x-ratelimit-remaining-tokens"] == "0"


CALL = RerankCall("x" * 4, ["y" * 40, {"text": "z" * 80}, {"token_ids": [1] * 7}])
#: A token of query, three of the model, and the documents' own.
CALL_TOKENS = 3 * (1 + SPECIAL_TOKENS) + 10 + 20 + 7


def test_a_call_is_estimated_as_the_fleet_s_backlog_is() -> None:
    assert estimated_tokens(CALL) == CALL_TOKENS
    assert estimated_tokens(replace(CALL, max_length=12), 10) == 12 + 12 + 11
    assert estimated_tokens(CALL, 10) == 30
    assert estimated_tokens(RerankCall("q", [])) == 0
    assert estimated_tokens(RerankCall("", [{}, {"text": 5}, {"token_ids": "no"}])) == 3 * SPECIAL_TOKENS


@pytest.mark.parametrize(("used", "left"), [(5, 95), (0, None), (CALL_TOKENS, 100 - CALL_TOKENS), (180, -80)])
async def test_a_call_costs_in_the_end_what_was_run(opened: Opened, used: int, left: float | None) -> None:
    async with opened.buckets.reserve(KEY, [CALL]) as reservation:
        assert await opened.level() == 100 - CALL_TOKENS
        assert reservation.headers["x-ratelimit-remaining-tokens"] == str(100 - CALL_TOKENS)
        reservation.add_used(used)
    assert await opened.level() == (left if left is None else pytest.approx(left, abs=0.1))


async def test_calls_of_one_request_reserve_together(opened: Opened) -> None:
    calls = [RerankCall("q", ["d" * 100])] * 3
    each = estimated_tokens(calls[0])
    async with opened.buckets.reserve(KEY, calls) as reservation:
        assert await opened.level() == 100 - 3 * each
        reservation.add_used(each)
        reservation.add_used(0)
    assert await opened.level() == pytest.approx(100 - each, abs=0.1)


@pytest.mark.parametrize(
    "error", [InvalidRequest("no"), Overloaded("no"), DeadlineTooShort("no"), NoWorkers("no"), QueueUnavailable("no")]
)
async def test_what_was_never_computed_costs_nothing(opened: Opened, error: Exception) -> None:
    with pytest.raises(type(error)):
        async with opened.buckets.reserve(KEY, [CALL]):
            raise error
    assert await opened.level() is None


@pytest.mark.parametrize("error", [DeadlineExceeded("no"), asyncio.CancelledError(), ZeroDivisionError()])
async def test_what_may_have_been_computed_stays_paid(opened: Opened, error: BaseException) -> None:
    with pytest.raises(type(error)):
        async with opened.buckets.reserve(KEY, [CALL]):
            raise error
    assert await opened.level() == 100 - CALL_TOKENS


async def test_a_call_without_tokens_is_not_begun(opened: Opened) -> None:
    await opened.buckets.take(KEY, 90)
    with pytest.raises(Refused):
        async with opened.buckets.reserve(KEY, [CALL]):
            pytest.fail("begun")


@pytest.mark.parametrize("key", [None, ApiKey("abcdefgh", "search", "shop")])
async def test_without_a_limit_nothing_is_counted(opened: Opened, key: ApiKey | None) -> None:
    async with opened.buckets.reserve(key, [CALL]) as reservation:
        reservation.add_used(1_000_000)
    assert reservation.headers == {}
    assert await opened.level() is None


async def test_without_redis_nobody_is_served_and_nobody_loses_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    away = load_settings(redis_url="redis://127.0.0.1:1/0")
    async with connect_async(away) as client:
        buckets = TokenBuckets(client, Keys("away"), away)
        with pytest.raises(QueueUnavailable, match="charging an API key"):
            await buckets.take(KEY, 1)
        await buckets.give_back(KEY, 1)
    assert "tokens not given back key=abcdefgh tokens=1" in caplog.text


@pytest.mark.parametrize(("within_s", "charged"), [(60.0, True), (0.0, False)])
async def test_a_request_waits_for_the_server_that_takes_over(
    opened: Opened, settings: Settings, within_s: float, charged: bool
) -> None:
    """As long as it has time. The first server is one where nobody listens."""
    away = connect_async(load_settings(redis_url="redis://127.0.0.1:1/0"))
    buckets = TokenBuckets(
        Following([away, away, opened.client]),
        Keys(settings.namespace),
        settings.model_copy(update={"failover_s": 60.0}),
    )
    outcome = contextlib.nullcontext() if charged else pytest.raises(QueueUnavailable)
    with outcome:
        async with buckets.reserve(KEY, [CALL], within_s) as reservation:
            assert reservation.level is not None
    assert (await opened.level() is not None) == charged
    await away.aclose()


class Following:
    """A client whose every command goes to the next server, and at last to one that stays."""

    def __init__(self, servers: list[redis.asyncio.Redis]) -> None:
        self._servers = servers

    def __getattr__(self, name: str) -> Any:
        server = self._servers.pop(0) if len(self._servers) > 1 else self._servers[0]
        return getattr(server, name)
