"""Tokens a second of an API key, in a bucket on a real server whose clock decides.

Time passes by moving the bucket's own moment back, so that no test waits and none depends on how fast it runs: rates
are so low that what flows in while a test runs is far less than a token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
import redis.asyncio
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rerank_producer.gateway.apis.ask import Ask, Problem
from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_producer.gateway.auth.rate import Meter, estimated_tokens
from rerank_producer.gateway.http.refused import Refused
from rerank_shared.contract.estimate import SPECIAL_TOKENS
from rerank_shared.errors import DeadlineExceeded, DeadlineTooShort, InvalidRequest, Overloaded, QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, connect_async
from rerank_shared.settings import Settings, load_settings

pytestmark = pytest.mark.integration

RATE = 0.001
KEY = ApiKey("abcdefgh", "search", "shop", tokens_per_s=RATE, burst_tokens=100.0)


@dataclass(frozen=True, slots=True)
class Till:
    """A meter, and a look behind it."""

    meter: Meter
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
            await self.meter.spend(key, tokens)
        problem = caught.value.problem
        assert (problem.status, problem.code, problem.retryable) == (429, "rate_limited", True)
        return problem


@pytest.fixture
async def till(settings: Settings) -> AsyncIterator[Till]:
    keys = Keys(settings.namespace)
    async with connect_async(settings) as client:
        yield Till(Meter(client, keys, settings), client, keys.bucket(KEY.key_id))


async def test_a_bucket_is_full_at_first_and_gives_what_it_holds(till: Till) -> None:
    assert (await till.meter.spend(KEY, 60)).tokens == 40
    level = await till.meter.spend(KEY, 40)
    assert level.tokens == pytest.approx(0, abs=0.1)
    problem = await till.refusal(10)
    assert problem.retry_after_s == pytest.approx(10 / RATE, rel=0.02)
    assert "about 10 tokens" in problem.message
    assert "'search' has 0 left of 100" in problem.message
    assert f"Try again in {problem.retry_after_s:.0f} s" in problem.message


async def test_what_is_refused_costs_nothing_and_passes_after_the_time_that_was_told(till: Till) -> None:
    await till.meter.spend(KEY, 95)
    for _ in range(20):
        problem = await till.refusal(30)
    assert problem.retry_after_s is not None
    await till.pass_s(problem.retry_after_s - 5)
    assert (await till.refusal(30)).retry_after_s in (4, 5)
    await till.pass_s(5)
    assert (await till.meter.spend(KEY, 30)).tokens == pytest.approx(0, abs=0.1)


async def test_a_wait_is_never_told_shorter_than_a_second(till: Till) -> None:
    fast = replace(KEY, tokens_per_s=1e6)
    await till.meter.spend(KEY, 100)
    # As it stands in Redis it is empty; of the fast key's rate a bucket is full again in 100 microseconds.
    await till.client.hset(till.name, "at", repr(time.time() + 3_600))
    assert (await till.refusal(50, fast)).retry_after_s == 1


async def test_a_request_larger_than_the_bucket_waits_for_a_full_one_and_leaves_a_debt(till: Till) -> None:
    assert (await till.meter.spend(KEY, 250)).tokens == -150
    problem = await till.refusal(1)
    assert problem.retry_after_s == pytest.approx(151 / RATE, rel=0.01)
    assert "has 0 left" in problem.message
    await till.pass_s(249 / RATE)
    assert (await till.refusal(250)).retry_after_s == pytest.approx(1 / RATE, rel=0.1)
    await till.pass_s(1 / RATE)
    assert (await till.meter.spend(KEY, 250)).tokens == pytest.approx(-150, abs=0.1)


async def test_no_more_flows_in_than_it_holds(till: Till) -> None:
    await till.meter.spend(KEY, 50)
    await till.pass_s(1e9)
    assert (await till.meter.spend(KEY, 1)).tokens == 99
    await till.meter.give_back(KEY, 1_000)
    assert await till.client.exists(till.name) == 0, "a full bucket needs no key"
    assert (await till.meter.spend(KEY, 100)).tokens == 0


async def test_a_clock_that_is_set_back_stops_the_flow_only_once(till: Till) -> None:
    await till.meter.spend(KEY, 100)
    await till.pass_s(-1e6)
    await till.refusal(1)
    await till.pass_s(2 / RATE)
    assert (await till.meter.spend(KEY, 1)).tokens == pytest.approx(1, abs=0.1)


async def test_a_bucket_lives_until_it_would_be_full(till: Till) -> None:
    await till.meter.spend(KEY, 7)
    assert await till.client.pttl(till.name) == pytest.approx(7 / RATE * 1_000, abs=30_000)
    await till.meter.spend(replace(KEY, tokens_per_s=1e-6), 7)
    assert await till.client.pttl(till.name) == pytest.approx(8_640_000 * 1_000, abs=30_000)


async def test_limits_that_change_in_the_file_hold_at_once(till: Till) -> None:
    await till.meter.spend(KEY, 10)
    smaller = replace(KEY, burst_tokens=20.0)
    assert (await till.meter.spend(smaller, 5)).tokens == 15
    assert (await till.refusal(50, replace(KEY, tokens_per_s=1.0))).retry_after_s in (35, 34)


async def test_keys_and_namespaces_have_buckets_of_their_own(till: Till, settings: Settings) -> None:
    await till.meter.spend(KEY, 100)
    await till.refusal(1)
    assert (await till.meter.spend(replace(KEY, key_id="other000"), 1)).tokens == 99
    elsewhere = Meter(till.client, Keys(settings.namespace + "-2"), settings)
    assert (await elsewhere.spend(KEY, 1)).tokens == 99


async def test_all_gateways_together_spend_no_more_than_there_is(settings: Settings) -> None:
    keys = Keys(settings.namespace)

    async def gateway() -> list[bool]:
        async with connect_async(settings) as client:
            meter = Meter(client, keys, settings)
            told = await asyncio.gather(*(meter.spend(KEY, 1) for _ in range(150)), return_exceptions=True)
        assert {type(each) for each in told if isinstance(each, BaseException)} <= {Refused}
        return [not isinstance(each, BaseException) for each in told]

    assert sum(sum(told) for told in await asyncio.gather(gateway(), gateway())) == 100


async def test_a_server_that_forgot_the_script_gets_it_again(till: Till) -> None:
    await till.client.script_flush()
    assert (await till.meter.spend(KEY, 1)).tokens == 99


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
        till = Till(Meter(client, keys, settings), client, keys.bucket(KEY.key_id))
        for what, amount in steps:
            if what == "pass":
                if held < 100.0:
                    await till.pass_s(amount / RATE)
                    held = min(100.0, held + amount)
            elif what == "give_back":
                await till.meter.give_back(KEY, amount)
                held = min(100.0, held + amount)
            elif held >= min(amount, 100.0):
                held -= amount
                assert (await till.meter.spend(KEY, amount)).tokens == pytest.approx(held, abs=0.1)
            else:
                assert await _wait_s(till, amount) == pytest.approx((min(amount, 100.0) - held) / RATE, abs=60)


async def _wait_s(till: Till, tokens: int) -> float:
    # What has flowed in while the steps ran may just be what was missing.
    problem = await till.refusal(tokens)
    return problem.retry_after_s or 0.0


async def test_a_limit_is_told_in_the_headers_that_clients_read(till: Till) -> None:
    level = await till.meter.spend(KEY, 30)
    assert level.headers == {
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "70",
        "x-ratelimit-reset-tokens": "30000.000s",
    }
    problem = await till.refusal(100)
    assert problem.headers["x-ratelimit-remaining-tokens"] == "70"
    await till.meter.give_back(KEY, -200)
    assert (await till.refusal(1)).headers["x-ratelimit-remaining-tokens"] == "0"


ASK = Ask("x" * 4, ["y" * 40, {"text": "z" * 80}, {"token_ids": [1] * 7}])
#: A token of query, three of the model, and the documents' own.
ASK_TOKENS = 3 * (1 + SPECIAL_TOKENS) + 10 + 20 + 7


def test_an_ask_is_estimated_as_the_fleet_s_ledger_does() -> None:
    assert estimated_tokens(ASK) == ASK_TOKENS
    assert estimated_tokens(replace(ASK, max_length=12), 10) == 12 + 12 + 11
    assert estimated_tokens(ASK, 10) == 30
    assert estimated_tokens(Ask("q", [])) == 0
    assert estimated_tokens(Ask("", [{}, {"text": 5}, {"token_ids": "no"}])) == 3 * SPECIAL_TOKENS


@pytest.mark.parametrize(("used", "left"), [(5, 95), (0, None), (ASK_TOKENS, 100 - ASK_TOKENS), (180, -80)])
async def test_an_ask_pays_in_the_end_what_was_run(till: Till, used: int, left: float | None) -> None:
    async with till.meter.paying(KEY, [ASK]) as bill:
        assert await till.level() == 100 - ASK_TOKENS
        assert bill.headers["x-ratelimit-remaining-tokens"] == str(100 - ASK_TOKENS)
        bill.used(used)
    assert await till.level() == (left if left is None else pytest.approx(left, abs=0.1))


async def test_asks_of_one_request_pay_together(till: Till) -> None:
    asks = [Ask("q", ["d" * 100])] * 3
    each = estimated_tokens(asks[0])
    async with till.meter.paying(KEY, asks) as bill:
        assert await till.level() == 100 - 3 * each
        bill.used(each)
        bill.used(0)
    assert await till.level() == pytest.approx(100 - each, abs=0.1)


@pytest.mark.parametrize(
    "error", [InvalidRequest("no"), Overloaded("no"), DeadlineTooShort("no"), QueueUnavailable("no")]
)
async def test_what_was_never_computed_costs_nothing(till: Till, error: Exception) -> None:
    with pytest.raises(type(error)):
        async with till.meter.paying(KEY, [ASK]):
            raise error
    assert await till.level() is None


@pytest.mark.parametrize("error", [DeadlineExceeded("no"), asyncio.CancelledError(), ZeroDivisionError()])
async def test_what_may_have_been_computed_stays_paid(till: Till, error: BaseException) -> None:
    with pytest.raises(type(error)):
        async with till.meter.paying(KEY, [ASK]):
            raise error
    assert await till.level() == 100 - ASK_TOKENS


async def test_an_ask_that_can_not_be_paid_is_not_begun(till: Till) -> None:
    await till.meter.spend(KEY, 90)
    with pytest.raises(Refused):
        async with till.meter.paying(KEY, [ASK]):
            pytest.fail("begun")


@pytest.mark.parametrize("key", [None, ApiKey("abcdefgh", "search", "shop")])
async def test_without_a_limit_nothing_is_counted(till: Till, key: ApiKey | None) -> None:
    async with till.meter.paying(key, [ASK]) as bill:
        bill.used(1_000_000)
    assert bill.headers == {}
    assert await till.level() is None


async def test_without_redis_nobody_is_served_and_nobody_loses_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    away = load_settings(redis_url="redis://127.0.0.1:1/0")
    async with connect_async(away) as client:
        meter = Meter(client, Keys("away"), away)
        with pytest.raises(QueueUnavailable, match="charging an API key"):
            await meter.spend(KEY, 1)
        await meter.give_back(KEY, 1)
    assert "tokens not given back key=abcdefgh tokens=1" in caplog.text
