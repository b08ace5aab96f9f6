"""Requests that are submitted here and collected there."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from producer.conftest import Echo
from producer.echo_worker import logit, score
from producer.test_sync_client import texts
from rerank_producer import AsyncRerankClient, Document, RerankClient, RerankHandle
from rerank_shared.errors import DeadlineExceeded, JobLost, JobRevoked, ScoringFailed
from rerank_shared.settings import to_environ
from support.queue.lifetimes import life_s
from support.threads import NewThreads
from support.waiting import wait_until

pytestmark = pytest.mark.integration


def test_answer_is_that_of_rerank_without_metadata(client: RerankClient, echo: Echo) -> None:
    one, two, three = texts(3)
    echo.write_cache({("q", two): score("q", two)})
    documents: list[str | Document] = [
        Document(text=one, id="one", metadata={"n": 1}),
        two,
        Document(text=three, id="three"),
    ]
    handle = client.submit("q", documents, top_n=2, job_class="bulk")
    with RerankClient(echo.settings) as other:
        response = other.collect(handle)
    order = sorted(range(3), key=lambda i: (-logit("q", (one, two, three)[i]), i))[:2]
    assert [result.index for result in response.results] == order
    assert [result.id for result in response.results] == [("one", None, "three")[i] for i in order]
    assert [result.cached for result in response.results] == [i == 1 for i in order]
    assert all(result.metadata is None for result in response.results)
    assert (response.complete, response.id, response.workers) == (True, handle.job_id, ["echo"])
    assert [job.job_class for job in echo.seen(handle.job_id)] == ["bulk"]


def test_another_process_needs_only_the_id(client: RerankClient, echo: Echo) -> None:
    documents = texts(4)
    handle = client.submit("q", documents)
    script = (
        "from rerank_producer import RerankClient\n"
        f"with RerankClient() as client: print(client.collect({str(handle)!r}).results[0].logit)"
    )
    environ = os.environ | to_environ(echo.settings)
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], env=environ, capture_output=True, text=True)
    assert run.stderr == ""
    assert float(run.stdout) == max(logit("q", text) for text in documents)


def test_who_waits_early_is_told_when_it_is_done(client: RerankClient, echo: Echo) -> None:
    gate = uuid.uuid4().hex
    handle = client.submit(f"gate:{gate}", texts(2))
    with RerankClient(echo.settings) as other, ThreadPoolExecutor(3) as pool:
        pending = [pool.submit(one.collect, handle) for one in (client, client, other)]
        channel = echo.keys.result(handle.job_id)
        wait_until(lambda: echo.client.pubsub_numsub(channel)[0][1] == 2, "both clients listen")
        echo.open_gate(gate)
        assert all(one.result().complete for one in pending)
        wait_until(lambda: echo.client.pubsub_numsub(channel)[0][1] == 0, "nobody listens any more")
    assert client.collect(handle).complete


def test_waiting_shorter_than_the_deadline_can_be_repeated(client: RerankClient, echo: Echo) -> None:
    gate = uuid.uuid4().hex
    handle = client.submit(f"gate:{gate}", texts(2))
    with pytest.raises(DeadlineExceeded, match=rf"job {handle} was not answered within 0\.1 s"):
        client.collect(handle, timeout_ms=100)
    early = client.collect(handle, timeout_ms=0, partial=True)
    assert (early.complete, [result.index for result in early.results]) == (False, [0, 1])
    echo.open_gate(gate)
    assert client.collect(handle).complete


def test_deadline_bounds_the_wait_and_the_cache_is_still_told(client: RerankClient, echo: Echo) -> None:
    one, two = texts(2)
    echo.write_cache({("silent", two): score("silent", two)})
    handle = client.submit("silent", [one, two], deadline_ms=150)
    with pytest.raises(DeadlineExceeded):
        client.collect(handle, timeout_ms=60_000)
    response = client.collect(handle, partial=True)
    assert [(result.index, result.scored) for result in response.results] == [(1, True), (0, False)]


def test_nothing_to_run_needs_no_worker(client: RerankClient, echo: Echo) -> None:
    documents = texts(2)
    echo.write_cache({("q", text): score("q", text) for text in documents})
    for handle, count in ((client.submit("q", documents), 2), (client.submit("q", []), 0)):
        response = client.collect(handle)
        assert (response.complete, len(response.results)) == (True, count)
        assert echo.seen(handle.job_id) == []
        assert 0 < life_s(echo.client, echo.keys, echo.keys.request(handle.job_id)) <= 30 + echo.settings.result_ttl_s


def test_incomplete_answers_are_errors_unless_asked_for(client: RerankClient) -> None:
    handle = client.submit("half", texts(4))
    with pytest.raises(DeadlineExceeded, match="2 of its 4 documents"):
        client.collect(handle)
    assert [result.scored for result in client.collect(handle, partial=True).results] == [True, True, False, False]


def test_worker_errors_reach_the_collector(client: RerankClient) -> None:
    handle = client.submit("fail", texts(1))
    for _ in range(2):
        with pytest.raises(ScoringFailed, match="could not score"):
            client.collect(handle, partial=True)


def test_what_nobody_submitted_is_lost(client: RerankClient) -> None:
    with pytest.raises(JobLost, match="no submitted request 'nothing' is known"):
        client.collect("nothing")


def test_cached_scores_of_another_model_are_not_mixed_in(client: RerankClient, echo: Echo) -> None:
    one, two = texts(2)
    echo.write_cache({("other", two): score("other", two)})
    with pytest.raises(JobLost, match="model changed"):
        client.collect(client.submit("other", [one, two]), partial=True)


def test_cancelled_jobs_are_told_at_once(client: RerankClient, echo: Echo) -> None:
    handle = client.submit("silent", texts(1))
    wait_until(lambda: echo.seen(handle.job_id), "the worker has it behind it")
    result = echo.keys.result(handle.job_id)

    def cancel() -> bool:
        client.cancel(handle)
        return bool(echo.client.exists(result))

    wait_until(cancel, "the worker has taken note")
    with pytest.raises(JobRevoked):
        client.collect(handle)


def test_submitting_starts_no_listener(echo: Echo, new_threads: NewThreads) -> None:
    with RerankClient(echo.settings) as client:
        client.submit("q", texts(1))
        assert new_threads() == []


async def test_asyncio_callers_can_do_the_same(
    async_client: AsyncRerankClient, client: RerankClient, echo: Echo
) -> None:
    gate = uuid.uuid4().hex
    handle = await async_client.submit(f"gate:{gate}", texts(2))
    assert not (await async_client.collect(str(handle), timeout_ms=50, partial=True)).complete
    echo.open_gate(gate)
    assert (await async_client.collect(handle)).complete
    assert client.collect(RerankHandle(handle.job_id)).complete
