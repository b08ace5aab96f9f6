"""The fleet in memory by itself: its clients are the real ones, its failures are those of the README, its time is its
own."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rerank_producer import (
    AsyncRerankClient,
    ConfigurationError,
    DeadlineExceeded,
    DeadlineTooShort,
    JobLost,
    JobPoisoned,
    JobRevoked,
    NoWorkers,
    Overloaded,
    QueueUnavailable,
    RerankClient,
    RerankError,
    ScoringFailed,
    Settings,
    UnknownModel,
)
from rerank_producer.testing import InMemoryFleet, word_overlap
from support.in_memory import until_sent
from support.threads import NewThreads


def test_clients_are_the_real_ones() -> None:
    fleet = InMemoryFleet()
    assert type(fleet.client()) is RerankClient
    assert type(fleet.async_client()) is AsyncRerankClient


def test_no_thread_is_started(new_threads: NewThreads) -> None:
    with InMemoryFleet().client() as client:
        client.rerank("q", ["a"])
        client.collect(client.submit("q", ["b"]))
        assert new_threads() == []


def test_without_a_callable_shared_words_decide() -> None:
    with InMemoryFleet().client() as client:
        response = client.rerank("a red fox", ["a dog", "the red fox", "A FOX is red"])
    assert [result.index for result in response.results] == [2, 1, 0]


@pytest.mark.parametrize(("document", "logit"), [("", -4.0), ("b", 0.0), ("B x a", 4.0)])
def test_shared_words_are_a_share_of_the_query_s(document: str, logit: float) -> None:
    assert word_overlap("a b", document) == logit
    assert word_overlap("", document) == -4.0


def test_scores_are_the_same_bits_the_second_time() -> None:
    with InMemoryFleet(lambda query, document: 1 / 3).client() as client:
        first, second = (client.rerank("q", ["a"]).results[0] for _ in range(2))
    assert (first.cached, second.cached) == (False, True)
    assert first.logit == second.logit


def test_a_cleared_cache_is_asked_in_vain() -> None:
    fleet = InMemoryFleet()
    with fleet.client() as client:
        client.rerank("q", ["a"])
        fleet.clear_cache()
        assert not client.rerank("q", ["a"]).results[0].cached


def test_scores_end_with_their_time() -> None:
    fleet = InMemoryFleet(cache_ttl_s=60)
    with fleet.client() as client:
        client.rerank("q", ["a"])
        fleet.advance(59.0)
        assert client.rerank("q", ["a"]).results[0].cached
        fleet.advance(2.0)
        assert not client.rerank("q", ["a"]).results[0].cached


def test_what_was_sent_is_told() -> None:
    fleet = InMemoryFleet()
    with fleet.client() as client:
        client.rerank("q", ["a", "b"])
        client.rerank(
            "q",
            ["b", {"token_ids": [7, 8]}],
            tenant="acme",
            job_class="bulk",
            deadline_ms=250,
            partial=False,
            tokenizer_digest=fleet.tokenizer_digest,
            max_length=128,
            cache_scope="tenant",
        )
    first, second = fleet.jobs
    assert (first.query, first.documents, first.deadline_ms, first.partial) == ("q", ("a", "b"), 30_000.0, True)
    assert second.documents == ("b", (7, 8))
    assert (second.tenant, second.job_class, second.deadline_ms) == ("acme", "bulk", 250.0)
    assert (second.partial, second.max_length, second.cache_scope, second.attempt) == (False, 128, "tenant", 1)


def test_texts_beside_the_queue_are_told_as_well() -> None:
    fleet = InMemoryFleet(inline_bytes=0)
    with fleet.client() as client:
        client.rerank("q", ["a", "b"])
    assert fleet.jobs[0].documents == ("a", "b")


def test_several_models_are_served_each_by_its_own_callable() -> None:
    fleet = InMemoryFleet(lambda query, document: 1.0, model="small")
    fleet.serve("large", lambda query, document: 2.0)
    with fleet.client() as client:
        assert client.rerank("q", ["a"]).results[0].logit == 1.0
        assert client.rerank("q", ["a"], model="large").results[0].logit == 2.0
        with pytest.raises(UnknownModel, match="large, small"):
            client.rerank("q", ["a"], model="medium")


def test_settings_decide_and_the_environment_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_MODEL", "of-the-environment")
    monkeypatch.setenv("RERANK_MISTYPED", "1")
    fleet = InMemoryFleet(activation="identity", max_documents=2)
    assert fleet.settings.model == Settings.model_fields["model"].default
    with fleet.client() as client:
        result = client.rerank("q", ["a"]).results[0]
        assert result.relevance_score == result.logit
        with pytest.raises(RerankError, match="more than the 2"):
            client.rerank("q", ["a", "b", "c"])


@pytest.mark.parametrize("wrong", [{"max_documents": 0}, {"no_setting": 1}])
def test_wrong_settings_are_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        InMemoryFleet(**wrong)
    with pytest.raises(ConfigurationError, match="either settings or"):
        InMemoryFleet(settings=InMemoryFleet().settings, **wrong)


class TestTime:
    def test_passes_in_waiting_alone(self) -> None:
        fleet = InMemoryFleet(pair_s=0.5)
        start = fleet.now
        with fleet.client() as client:
            assert client.rerank("q", ["a", "b"]).timings.total_ms == 1_000.0
            assert fleet.now == start + 1.0
            client.rerank("q", ["a", "b"])
            assert fleet.now == start + 1.0

    def test_is_the_same_in_each_run(self) -> None:
        assert InMemoryFleet().now == InMemoryFleet().now

    def test_that_a_test_lets_pass_brings_answers(self) -> None:
        fleet = InMemoryFleet(pair_s=1.0)
        with fleet.client() as client:
            handle = client.submit("q", ["a", "b"])
            fleet.advance(1.9)
            assert client.status(handle).state == "waiting"
            fleet.advance(0.2)
            assert client.status(handle).state == "done"

    def test_has_moments_at_which_things_happen(self) -> None:
        fleet = InMemoryFleet(workers=0)
        fleet.after(4.0, lambda: setattr(fleet, "workers", 1))
        with fleet.client() as client:
            assert client.rerank("q", ["a"]).timings.total_ms == 4_000.0


class TestFailures:
    """What the README says of failures, in its order."""

    def test_the_deadline_passes(self) -> None:
        fleet = InMemoryFleet(pair_s=0.1)
        with fleet.client() as client:
            response = client.rerank("q", [*"abcdefgh"], deadline_ms=550)
            assert [result.scored for result in response.results] == [True] * 5 + [False] * 3
            assert not response.complete
            with pytest.raises(DeadlineExceeded):
                client.rerank("other", [*"abcdefgh"], deadline_ms=550, partial=False)

    def test_it_can_not_be_answered_in_time(self) -> None:
        fleet = InMemoryFleet(pair_s=1.0)
        with fleet.client() as client:
            for number in range(9):
                client.submit(f"before {number}", ["a"], deadline_ms=20_000)
            # Clients remember for a moment what waited.
            fleet.advance(0.5)
            with pytest.raises(Overloaded) as refused:
                client.rerank("q", ["a"], deadline_ms=5_000, job_class="bulk")
            assert refused.value.predicted_wait_ms == 9_000.0
            assert refused.value.retry_after_s == pytest.approx(5.0)
            with pytest.raises(DeadlineTooShort):
                client.rerank("q", [*"abcdefgh"], deadline_ms=2_000, partial=False)

    def test_a_worker_is_killed(self) -> None:
        fleet = InMemoryFleet(workers=2, pair_s=1.0, shard=False)
        with fleet.client() as client:
            client.submit("before", ["a"])
            fleet.after(1.5, lambda: setattr(fleet, "workers", 1))
            response = client.rerank("q", ["a", "b"])
        assert (response.complete, response.workers) == (True, ["in-memory-0"])

    def test_a_worker_freezes(self) -> None:
        fleet = InMemoryFleet(workers=2, pair_s=0.1)
        fleet.be_late(math.inf)
        fleet.after(0.1, lambda: fleet.be_late(0.0))
        with fleet.client() as client:
            response = client.rerank("q", ["a"])
        assert (response.complete, response.workers) == (True, ["in-memory-1"])
        assert response.timings.total_ms < 1_000.0

    @pytest.mark.parametrize(
        "error", [JobPoisoned("it killed three"), ScoringFailed("no"), JobLost("gone"), Overloaded("busy", 70.0, 2.0)]
    )
    def test_a_job_ends_with_an_error(self, error: RerankError) -> None:
        fleet = InMemoryFleet()
        fleet.fail_with(error)
        with fleet.client() as client:
            handle = client.submit("q", ["a"])
            with pytest.raises(type(error), match=error.message) as raised:
                client.collect(handle)
            assert raised.value.args == error.args
            assert client.rerank("q", ["a"]).complete

    def test_some_jobs_end_with_it(self) -> None:
        fleet = InMemoryFleet()
        fleet.fail_with(ScoringFailed("no"), times=2)
        with fleet.client() as client:
            for _ in range(2):
                with pytest.raises(ScoringFailed):
                    client.rerank("q", ["a"])
            assert client.rerank("q", ["a"]).complete

    @pytest.mark.parametrize("value", [math.nan, math.inf, -1e39])
    def test_the_model_gives_no_number(self, value: float) -> None:
        with InMemoryFleet(lambda query, document: value).client() as client, pytest.raises(ScoringFailed):
            client.rerank("q", ["a"])

    def test_the_model_fails_on_one_pair(self) -> None:
        def score(query: str, document: str) -> float:
            if document == "bad":
                raise ValueError("on purpose")
            return 0.0

        with InMemoryFleet(score).client() as client:
            with pytest.raises(ScoringFailed, match=r"document 1 .*on purpose"):
                client.rerank("q", ["good", "bad"])
            assert client.rerank("q", ["good"]).complete

    def test_the_callable_raises_an_error_of_the_fleet(self) -> None:
        def score(query: str, document: str) -> float:
            raise JobPoisoned("it killed three workers")

        with InMemoryFleet(score).client() as client, pytest.raises(JobPoisoned, match="it killed three"):
            client.rerank("q", ["a"])

    @pytest.mark.parametrize("reason", ["unreachable", "loading"])
    def test_redis_is_away(self, reason: str) -> None:
        fleet = InMemoryFleet()
        with fleet.client() as client:
            handle = client.submit("q", ["a"])
            fleet.go_away(reason)  # type: ignore[arg-type]
            for call in (
                lambda: client.rerank("q", ["b"]),
                lambda: client.submit("q", ["b"]),
                lambda: client.collect(handle),
                lambda: client.status(handle),
                lambda: client.cancel(handle),
                lambda: client.model_info("another"),
            ):
                with pytest.raises(QueueUnavailable) as refused:
                    call()
                assert refused.value.reason == reason
            fleet.come_back()
            assert client.collect(handle).complete

    def test_redis_goes_in_mid_request(self) -> None:
        fleet = InMemoryFleet(pair_s=1.0)
        with fleet.client() as client:
            fleet.after(0.5, fleet.go_away)
            fleet.after(3.0, fleet.come_back)
            assert client.rerank("q", ["a"], deadline_ms=10_000).complete
            fleet.after(0.5, fleet.go_away)
            assert not client.rerank("q", ["b"], deadline_ms=3_000).complete
            fleet.come_back()
            fleet.after(0.5, fleet.go_away)
            with pytest.raises(QueueUnavailable):
                client.rerank("q", ["c"], deadline_ms=3_000, partial=False)

    def test_redis_forgets(self) -> None:
        fleet = InMemoryFleet(pair_s=1.0)
        with fleet.client() as client:
            handle = client.submit("q", ["a"])
            fleet.forget_jobs()
            with pytest.raises(JobLost):
                client.collect(handle)
            fleet.after(0.2, fleet.forget_jobs)
            assert client.rerank("q", ["b"]).complete

    def test_nobody_is_alive(self) -> None:
        fleet = InMemoryFleet(workers=0)
        with fleet.client() as client:
            assert client.model_info().digest is None
            assert not client.rerank("q", ["a"], deadline_ms=500).complete
            with pytest.raises(NoWorkers, match="no worker that serves"):
                client.rerank("q", ["a"], partial=False)

    def test_a_job_is_cancelled(self) -> None:
        fleet = InMemoryFleet(pair_s=1.0)
        with fleet.client() as client:
            held, queued = client.submit("q", ["a"]), client.submit("q", ["b"])
            for handle in (queued, held):
                client.cancel(handle)
                with pytest.raises(JobRevoked):
                    client.collect(handle)
            assert client.rerank("q", ["c"]).timings.total_ms == 1_000.0


class TestOnAnEventLoop:
    async def test_all_can_be_done(self) -> None:
        fleet = InMemoryFleet()
        async with fleet.async_client() as client:
            assert (await client.rerank("q", ["a", "b"])).complete
            handle = await client.submit("q", ["c"])
            assert (await client.status(handle)).state == "done"
            assert (await client.collect(handle)).complete
            assert (await client.model_info()).precision == "in-memory"
            await client.cancel(handle)

    async def test_requests_run_beside_one_another(self) -> None:
        fleet = InMemoryFleet(workers=5, pair_s=1.0)
        async with fleet.async_client() as client:
            start = fleet.now
            answers = await asyncio.gather(*(client.rerank(f"q{number}", ["a"]) for number in range(5)))
        assert all(answer.complete for answer in answers)
        assert fleet.now == start + 1.0

    async def test_a_cancelled_request_is_taken_back(self) -> None:
        fleet = InMemoryFleet(pair_s=1.0)
        async with fleet.async_client() as client:
            task = asyncio.create_task(client.rerank("q", ["a"]))
            await until_sent(fleet)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            start = fleet.now
            assert (await client.rerank("q", ["b"])).complete
        assert fleet.now == start + 1.0

    def test_one_client_serves_one_loop_after_another(self) -> None:
        client = InMemoryFleet().async_client()
        for document in "ab":
            assert asyncio.run(client.rerank("q", [document])).complete


def test_threads_share_a_fleet() -> None:
    fleet = InMemoryFleet(lambda query, document: float(query), workers=3, pair_s=0.1)
    with fleet.client() as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: client.rerank(str(number), ["a"]), range(60)))
    assert [answer.results[0].logit for answer in answers] == [float(number) for number in range(60)]


def test_a_closed_client_opens_again() -> None:
    fleet = InMemoryFleet(pair_s=1.0)
    client = fleet.client()
    for document in "ab":
        assert client.rerank("q", [document]).timings.total_ms == 1_000.0
        client.close()
    assert fleet._server.listeners == []


async def test_feedback_can_be_read_and_is_lost_with_the_server() -> None:
    fleet = InMemoryFleet(feedback_swap_share=1.0)
    with fleet.client() as client:
        response = client.rerank("berlin", [{"id": f"d{number}", "text": "berlin"} for number in range(10)])
        assert response.experiment is not None
        assert client.feedback(response.id, shown=response.results, clicked=[response.results[1]], query="berlin")
        assert not client.feedback(response.id, shown=[])
    async with fleet.async_client() as asynchronous:
        assert await asynchronous.feedback("r2", shown=["a"])
        fleet.go_away()
        assert await asynchronous.feedback("r3", shown=["a"])
    first, second = fleet.feedback
    assert first.shown == tuple(result.id for result in response.results)
    assert first.clicked == (response.results[1].id,)
    assert (first.swapped_rank, first.query) == (response.experiment.ranks[0], None)
    assert second.request_id == "r2"
