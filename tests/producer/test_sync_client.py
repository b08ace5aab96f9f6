"""The sync client on a real server and a real Celery worker that answers with made-up scores."""

from __future__ import annotations

import os
import signal
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from producer.conftest import Echo
from producer.echo_worker import announce, identity_of, logit, score
from rerank_producer import Document, RerankClient
from rerank_producer._io.blocking import BlockingPort
from rerank_shared.contract.token_ids import TokenIds
from rerank_shared.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    JobRevoked,
    MalformedMessage,
    NoWorkers,
    RerankError,
    ScoringFailed,
    UnknownModel,
)
from rerank_shared.keys import Keys
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from support.queue.lifetimes import life_s
from support.threads import NewThreads
from support.waiting import wait_until

pytestmark = pytest.mark.integration


def texts(count: int, words: int = 1) -> list[str]:
    """Return texts that no other call returns."""
    mark = uuid.uuid4().hex[:8]
    return [f"document {number} of {mark}" + " word" * words for number in range(count)]


def test_cold_request_is_scored_by_the_worker(client: RerankClient) -> None:
    documents = texts(30)
    response = client.rerank("any words", documents, top_n=7)
    expected = sorted(range(30), key=lambda i: (-logit("any words", documents[i]), i))
    assert [result.index for result in response.results] == expected[:7]
    assert [result.logit for result in response.results] == [logit("any words", documents[i]) for i in expected[:7]]
    assert (response.complete, response.workers, response.batch_pairs) == (True, ["echo"], [30])
    assert (response.usage.pairs_run, response.usage.pairs_cached) == (30, 0)
    assert response.model.precision == "echo"
    stages = response.timings
    assert (stages.queue_ms, stages.tokenize_ms, stages.batch_ms, stages.run_ms) == (1.0, 2.0, 3.0, 4.0)
    assert stages.total_ms > stages.enqueue_ms > 0


def test_documents_come_back_with_their_names(client: RerankClient) -> None:
    one, two, three = texts(3)
    response = client.rerank("q", [one, {"text": two, "id": "two"}, Document(text=three, metadata={"page": 3})])
    told = {result.index: (result.id, result.metadata) for result in response.results}
    assert told == {0: (None, None), 1: ("two", None), 2: (None, {"page": 3})}


def test_cached_request_touches_neither_queue_nor_worker(settings: Settings, new_threads: NewThreads) -> None:
    """No worker serves this namespace, and no thread is started to listen for one."""
    echo = Echo(settings, connect(settings))
    announce(echo.client, settings)
    documents = texts(5)
    echo.write_cache({("q", text): score("q", text) for text in documents})
    with RerankClient(settings) as client:
        response = client.rerank("q", documents)
        assert new_threads() == []
    assert response.complete
    assert all(result.cached for result in response.results)
    assert (response.usage.pairs_run, response.usage.pairs_cached, response.workers) == (0, 5, [])
    assert not echo.client.exists(echo.keys.queue_list("interactive"), echo.keys.backlog("interactive"))
    echo.client.close()


def test_only_what_is_not_cached_is_sent(client: RerankClient, echo: Echo) -> None:
    documents = texts(6)
    echo.write_cache({("q", documents[i]): score("q", documents[i]) for i in (1, 4)})
    response = client.rerank("q", documents)
    (job,) = echo.seen(response.id)
    assert job.documents == tuple(documents[i] for i in (0, 2, 3, 5))
    assert {result.index for result in response.results if result.cached} == {1, 4}
    assert response.complete
    assert {result.index: result.logit for result in response.results} == {
        index: logit("q", text) for index, text in enumerate(documents)
    }


def test_a_cache_that_is_switched_off_is_not_asked(echo: Echo) -> None:
    documents = texts(2)
    echo.write_cache({("q", text): score("q", text) for text in documents})
    with RerankClient(echo.settings.model_copy(update={"cache": False})) as client:
        assert client.rerank("q", documents).usage.pairs_run == 2


def test_token_ids_reach_the_worker_with_the_name_of_their_tokenizer(client: RerankClient, echo: Echo) -> None:
    (text,), made_by = texts(1), identity_of(echo.settings).tokenizer_digest
    response = client.rerank("q", [text, {"token_ids": [7, 30_000], "id": "ids"}], tokenizer_digest=made_by)
    (job,) = echo.seen(response.id)
    assert (job.documents, job.tokenizer_digest) == ((text, TokenIds.of([7, 30_000])), made_by)
    assert {result.index: result.id for result in response.results} == {0: None, 1: "ids"}
    with pytest.raises(InvalidRequest, match="tokenizer_digest"):
        client.rerank("q", [{"token_ids": [7]}], tokenizer_digest="b" * 64)


def test_cut_pairs_have_cache_keys_of_their_own(client: RerankClient, echo: Echo) -> None:
    (text,) = texts(1)
    echo.write_cache({("q", text): score("q", text)}, max_length=64)
    assert not client.rerank("q", [text]).results[0].cached
    assert client.rerank("q", [text], max_length=64).results[0].cached


def test_scores_of_two_models_are_never_mixed(client: RerankClient, echo: Echo) -> None:
    """The worker has another identity than the one that the cached score was found under."""
    documents = texts(3)
    echo.write_cache({("other", documents[0]): score("other", documents[0])})
    response = client.rerank("other", documents)
    assert response.complete
    assert not any(result.cached for result in response.results)
    assert (response.usage.pairs_run, response.model.digest) == (3, "o" * 64)


def test_long_text_travels_beside_the_queue_and_is_cleared_away(client: RerankClient, echo: Echo) -> None:
    documents = texts(4, words=2_000)
    gate = uuid.uuid4().hex
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(client.rerank, f"gate:{gate}", documents)
        (job_id,) = wait_until(lambda: echo.jobs_at(gate), "the worker has the job")
        (job,) = echo.seen(job_id)
        assert job.documents is None
        kept_s = life_s(echo.client, echo.keys, echo.keys.text(job_id))
        settings = echo.settings
        longest_s = settings.default_deadline_ms / 1000 + settings.redelivery_s + settings.result_ttl_s
        assert settings.result_ttl_s < kept_s <= longest_s
        assert echo.client.zscore(echo.keys.backlog("interactive"), backlog_member(job)) == job.deadline_at
        echo.open_gate(gate)
        response = pending.result()
    assert response.complete
    assert not echo.client.exists(echo.keys.text(job_id))
    assert echo.client.zscore(echo.keys.backlog("interactive"), backlog_member(job)) is None


def test_request_without_documents_is_answered_without_a_server() -> None:
    with RerankClient(redis_url="unix:///nowhere/redis.sock") as client:
        response = client.rerank("q", [])
    assert (response.results, response.complete) == ([], True)
    assert response.id


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("fail", ScoringFailed, "the model could not score it"),
        ("crash", InternalError, "ZeroDivisionError"),
        ("nan", MalformedMessage, "finite number expected"),
        ("short", MalformedMessage, "1 scores for the 2 documents"),
    ],
)
@pytest.mark.parametrize("partial", [True, False])
def test_errors_of_the_worker_are_raised(
    client: RerankClient, word: str, error: type[RerankError], message: str, partial: bool
) -> None:
    with pytest.raises(error, match=message):
        client.rerank(word, texts(2), partial=partial)


def test_what_the_worker_did_not_get_to_stands_last_in_order(client: RerankClient) -> None:
    documents = texts(5)
    response = client.rerank("half", documents)
    assert not response.complete
    assert [result.index for result in response.results][2:] == [2, 3, 4]
    assert [result.scored for result in response.results] == [True, True, False, False, False]
    with pytest.raises(DeadlineExceeded, match="3 of its 5 documents"):
        client.rerank("half", documents, partial=False, top_n=1)


def test_silence_until_the_deadline_gives_what_was_cached(client: RerankClient, echo: Echo) -> None:
    documents = texts(3)
    echo.write_cache({("silent", documents[2]): score("silent", documents[2])})
    response = client.rerank("silent", documents, deadline_ms=200)
    assert [(result.index, result.scored) for result in response.results] == [(2, True), (0, False), (1, False)]
    assert not response.complete
    with pytest.raises(DeadlineExceeded, match=r"not answered within 0\.2 s: one worker process is alive"):
        client.rerank("silent", documents, deadline_ms=200, partial=False)


def test_nobody_serves_is_said_at_the_deadline(settings: Settings) -> None:
    with RerankClient(settings) as client:
        assert not client.rerank("q", ["a"], deadline_ms=100).complete
        with pytest.raises(NoWorkers, match=f"no worker that serves {settings.model} is alive"):
            client.rerank("q", ["a"], deadline_ms=100, partial=False)


@pytest.mark.parametrize("deadline_ms", [0, -5_000.0])
def test_deadline_in_the_past_enqueues_nothing(settings: Settings, deadline_ms: float) -> None:
    echo = Echo(settings, connect(settings))
    announce(echo.client, settings)
    documents = texts(3)
    echo.write_cache({("q", documents[1]): score("q", documents[1])})
    with RerankClient(settings) as client:
        response = client.rerank("q", documents, deadline_ms=deadline_ms)
        assert [(result.index, result.scored) for result in response.results] == [(1, True), (0, False), (2, False)]
        assert not response.complete
        with pytest.raises(DeadlineExceeded, match="before anything could be enqueued"):
            client.rerank("q", documents, deadline_ms=deadline_ms, partial=False)
        with pytest.raises(DeadlineExceeded, match="before anything could be enqueued"):
            client.submit("q", documents, deadline_ms=deadline_ms)
    assert not echo.client.exists(echo.keys.queue_list("interactive"), echo.keys.backlog("interactive"))
    echo.client.close()


def test_a_job_that_is_left_alone_is_sent_again_as_the_same_job(echo: Echo) -> None:
    """Takes as long as a client waits before it looks, half a second."""
    settings = echo.settings.model_copy(update={"inline_bytes": 0})
    with RerankClient(settings) as client:
        response = client.rerank("silent-once", texts(2), partial=False)
    assert response.complete
    assert [job.attempt for job in echo.seen(response.id)] == [1, 2]


def test_a_model_that_nobody_serves_is_refused(client: RerankClient, echo: Echo) -> None:
    told = f"'org/other#onnx/model.onnx' is not served by this fleet, which knows {echo.settings.model}"
    with pytest.raises(UnknownModel, match=told):
        client.rerank("q", ["a"], model="hf:org/other#onnx/model.onnx")
    assert client.rerank("q", texts(1), model=echo.settings.model).complete


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        (" ", {}, "query"),
        ("q", {"max_length": 513}, "max_length: 513 is beyond the 512"),
        ("q", {"top_n": 0}, "top_n"),
        ("q", {"job_class": "later"}, "class"),
    ],
)
def test_wrong_requests_are_refused(client: RerankClient, query: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        client.rerank(query, texts(1), **options)  # type: ignore[arg-type]


def test_threads_share_a_client_and_get_their_own_answers(client: RerankClient, new_threads: NewThreads) -> None:
    def ask(number: int) -> bool:
        documents = texts(3)
        response = client.rerank(f"question {number}", documents)
        wanted = {index: logit(f"question {number}", text) for index, text in enumerate(documents)}
        return response.complete and {result.index: result.logit for result in response.results} == wanted

    with ThreadPoolExecutor(24) as pool:
        assert all(pool.map(ask, range(240)))
    assert new_threads() == ["rerank-replies"]


def test_a_cancelled_job_is_told_to_who_waits(client: RerankClient, echo: Echo) -> None:
    with ThreadPoolExecutor(1) as pool:
        gate = uuid.uuid4().hex
        pending = pool.submit(client.rerank, f"silent gate:{gate}", texts(1))
        (job_id,) = wait_until(lambda: echo.jobs_at(gate), "the worker has the job")
        echo.open_gate(gate)
        keys = Keys(echo.settings.namespace)

        # The worker leaves a job alone that it is still running, and marks any other as revoked.
        def cancel() -> bool:
            client.cancel(job_id)
            return bool(echo.client.exists(keys.result(job_id)))

        wait_until(cancel, "the worker has taken note")
        with pytest.raises(JobRevoked):
            pending.result()


def test_noise_on_the_reply_channel_is_ignored(client: RerankClient, echo: Echo) -> None:
    client.rerank("q", texts(1))
    channels = echo.client.pubsub_channels(f"{echo.keys.reply('')}*")
    gate = uuid.uuid4().hex
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(client.rerank, f"gate:{gate}", texts(1))
        wait_until(lambda: echo.jobs_at(gate), "the worker has the job")
        for channel in channels:
            for noise in (b"\xc1", b"noise", b""):
                assert echo.client.publish(channel, noise) == 1
        echo.open_gate(gate)
        assert pending.result().complete


def test_a_broken_line_costs_no_answer_and_makes_no_copy_of_the_job(client: RerankClient, echo: Echo) -> None:
    client.rerank("q", texts(1))
    gate = uuid.uuid4().hex
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(client.rerank, f"gate:{gate}", texts(1))
        (job_id,) = wait_until(lambda: echo.jobs_at(gate), "the worker has the job")
        # The youngest subscriber is this client's listener; the others are the worker's.
        line = max(echo.client.client_list(_type="pubsub"), key=lambda entry: int(entry["id"]))
        assert echo.client.client_kill_filter(_id=line["id"]) == 1
        echo.open_gate(gate)
        assert pending.result().complete
    assert [job.attempt for job in echo.seen(job_id)] == [1]


def test_an_interrupted_call_leaves_no_waiter(client: RerankClient, echo: Echo) -> None:
    gate = uuid.uuid4().hex

    def interrupt() -> None:
        wait_until(lambda: echo.jobs_at(gate), "the worker has the job")
        os.kill(os.getpid(), signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        interrupted = pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            client.rerank(f"gate:{gate}", texts(1))
        interrupted.result()
    port = client._port.get()
    assert isinstance(port, BlockingPort)
    assert len(port._pending) == 0
    echo.open_gate(gate)
    assert client.rerank("q", texts(1)).complete


def test_a_closed_client_opens_again(echo: Echo, new_threads: NewThreads) -> None:
    client = RerankClient(echo.settings)
    client.close()
    for _ in range(2):
        assert client.rerank("q", texts(2)).complete
        client.close()
    assert new_threads() == []


def test_a_client_that_is_dropped_leaves_no_thread(echo: Echo, new_threads: NewThreads) -> None:
    assert RerankClient(echo.settings).rerank("q", texts(2)).complete
    assert new_threads() == ["rerank-replies"]
    wait_until(lambda: not new_threads(), "its listener has ended")


def test_closing_hands_over_what_was_counted(settings: Settings) -> None:
    echo = Echo(settings, connect(settings))
    announce(echo.client, settings)
    echo.write_cache({("q", "a"): score("q", "a")})
    with RerankClient(settings) as client:
        client.rerank("q", ["a", "b"], deadline_ms=0)
    assert echo.client.hgetall(echo.keys.cache_counters) == {b"hits": b"1", b"misses": b"1"}
    echo.client.close()


def test_settings_are_given_once() -> None:
    assert RerankClient(namespace="mine").settings.namespace == "mine"
    with pytest.raises(ConfigurationError, match="either settings or namespace, redis_url"):
        RerankClient(load_settings(), redis_url="redis://elsewhere", namespace="mine")
