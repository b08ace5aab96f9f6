"""Pairs in flight: who has a claim, for how long, and what becomes of those who wait for it."""

from __future__ import annotations

import asyncio

import pytest

from rerank_producer._dispatch.single_flight import PairClaims, claims_of
from rerank_producer.testing import InMemoryFleet
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job, PairClaim
from rerank_shared.keys import Keys
from support.in_memory import until_sent

KEYS = Keys("test")
JOB = Job("a", "interactive", "m", "q", ("d", "e"), 512, enqueued_at=100.0, deadline_at=110.0)


def found(**until: float) -> dict[int, bytes]:
    return {int(index[1:]): wire.encode_pair_claim(PairClaim(f"job-{index[1:]}", at)) for index, at in until.items()}


def test_a_claim_ends_when_its_job_should_be_answered() -> None:
    one, two = claims_of(KEYS, JOB, [b"1" * 16, b"2" * 16], late_after_s=2.5)
    assert (one.key, two.key) == (KEYS.flight(b"1" * 16), KEYS.flight(b"2" * 16))
    assert one.claim
    assert (one.life_ms, wire.decode_pair_claim(one.value)) == (2_500, PairClaim("a", 102.5))


def test_a_claim_ends_with_its_job_s_deadline() -> None:
    (claim,) = claims_of(KEYS, JOB, [b"1" * 16], late_after_s=60.0)
    assert (claim.life_ms, wire.decode_pair_claim(claim.value).until) == (10_000, 110.0)


@pytest.mark.parametrize("late_after_s", [0.0, 0.004, -1.0])
def test_what_ends_at_once_is_not_claimed(late_after_s: float) -> None:
    assert claims_of(KEYS, JOB, [b"1" * 16], late_after_s) == []


def test_only_claims_that_end_ahead_and_in_time_are_waited_for() -> None:
    claims = PairClaims.of(found(_0=99.0, _1=103.0, _2=110.0, _3=100.001), now=100.0, deadline_at=110.0)
    assert claims.jobs == {"job-1": 103.0}


def test_a_claim_that_cannot_be_read_is_none() -> None:
    """The pair is scored once more; the request does not fail for it."""
    claims = PairClaims.of(found(_1=103.0) | {0: b"rubbish"}, now=100.0, deadline_at=110.0)
    assert claims.jobs == {"job-1": 103.0}


async def test_a_pair_that_two_want_at_once_is_run_once() -> None:
    fleet = InMemoryFleet(pair_s=0.1, single_flight=True)
    async with fleet.async_client() as one, fleet.async_client() as two:
        first = asyncio.create_task(one.rerank("q", ["a", "b"]))
        await until_sent(fleet)
        second = await two.rerank("q", ["b", "a", "c"])
        assert (await first).complete
    assert [job.documents for job in fleet.jobs] == [("a", "b"), ("c",)]
    assert {result.index for result in second.results if result.cached} == {0, 1}


async def test_pairs_of_a_job_that_is_lost_are_sent_by_who_waited() -> None:
    fleet = InMemoryFleet(pair_s=0.1, single_flight=True)
    async with fleet.async_client() as one, fleet.async_client() as two:
        first = asyncio.create_task(one.rerank("q", ["a"]))
        await until_sent(fleet)
        fleet._workers.forget()
        first.cancel()
        second = await two.rerank("q", ["a"])
    assert second.complete
    assert [job.documents for job in fleet.jobs] == [("a",), ("a",)]


async def test_a_tenant_s_own_pairs_are_left_to_nobody_else() -> None:
    fleet = InMemoryFleet(pair_s=0.1, single_flight=True)
    async with fleet.async_client() as one, fleet.async_client() as two:
        await asyncio.gather(
            one.rerank("q", ["a"], tenant="acme", cache_scope="tenant"),
            two.rerank("q", ["a"], tenant="rival", cache_scope="tenant"),
        )
    assert [job.tenant for job in fleet.jobs] == ["acme", "rival"]
