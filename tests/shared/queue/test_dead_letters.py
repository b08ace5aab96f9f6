"""Jobs that were set aside: listed, shown with their text where it still is, sent again, dropped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import msgpack
import pytest

from rerank_shared.contract import wire
from rerank_shared.contract.messages import StoredRequest
from rerank_shared.errors import JobLost, MalformedMessage
from rerank_shared.queue import dead_letters as dead
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.settings import Settings
from support.queue.dying import set_aside
from support.queue.lifetimes import life_s
from support.queue.queueing import Queueing, queueing

pytestmark = pytest.mark.integration


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queueing]:
    with queueing(settings) as opened:
        yield opened


def test_the_latest_is_listed_first(queue: Queueing) -> None:
    jobs = [set_aside(queue) for _ in range(3)]
    found = dead.list_dead(queue.client, queue.keys)
    assert [letter.job_id for letter in found] == [job.job_id for job in reversed(jobs)]
    assert dead.reply_to(found[0]) == "somebody"


def test_a_job_is_shown_with_its_documents(queue: Queueing) -> None:
    job = set_aside(queue)
    opened = dead.show(queue.client, queue.keys, job.job_id)
    assert opened.job == job
    assert opened.documents == ("one", "two words")


def test_documents_are_found_by_claim_check_until_their_text_is_gone(queue: Queueing) -> None:
    job = set_aside(queue, None)
    queue.client.set(queue.keys.text(job.job_id), wire.encode_texts(["far", "away"]))
    assert dead.show(queue.client, queue.keys, job.job_id).documents == ("far", "away")
    queue.client.delete(queue.keys.text(job.job_id))
    assert dead.show(queue.client, queue.keys, job.job_id).documents is None
    with pytest.raises(JobLost, match="dead drop"):
        dead.retry(queue.client, queue.keys, queue.settings, job.job_id, time.time())


@pytest.mark.parametrize("job_class", ["interactive", "bulk"])
def test_a_retry_waits_again_as_a_new_attempt(queue: Queueing, job_class: str) -> None:
    old = set_aside(queue, job_class=job_class)
    queue.client.set(queue.keys.result(old.job_id), b"an old result")
    now = time.time()
    job = dead.retry(queue.client, queue.keys, queue.settings, old.job_id, now)
    patience_ms = {"interactive": queue.settings.default_deadline_ms, "bulk": queue.settings.bulk_deadline_ms}
    assert job.attempt == 2
    assert job.deadline_at == now + patience_ms[job_class] / 1000
    assert now < job.due_at <= now + queue.settings.aging_s
    receiver = queue.receiver()
    receiver.take()
    (message,) = receiver.messages
    assert wire.decode_job(message.decode()[0][0]) == job
    assert message.headers["due_at"] == job.due_at
    assert (message.headers["tokens"], message.headers["tenant"]) == (7, "acme")
    assert message.properties["reply_to"] == "somebody"
    assert not queue.client.exists(queue.keys.result(old.job_id), queue.keys.deaths(old.job_id))
    backlog = queue.keys.backlog(job.job_class)
    assert queue.client.zrange(backlog, 0, -1) == [backlog_member(job).encode()]
    message.ack()
    assert queue.lasting() == {backlog, queue.keys.backlog_sums(job.job_class)}


def test_who_submitted_a_job_waits_for_its_retry(queue: Queueing) -> None:
    """By its new entry in the backlog, until its new deadline."""
    old, now = set_aside(queue), time.time()
    key = queue.keys.request(old.job_id)
    plan = StoredRequest(old.job_id, "interactive", old.model, (None,), {}, (0,), None, 1.0, 2.0, None, "", "old entry")
    queue.client.set(key, wire.encode_stored_request(plan), ex=5)
    job = dead.retry(queue.client, queue.keys, queue.settings, old.job_id, now)
    record = queue.client.get(key)
    assert isinstance(record, bytes)
    assert wire.decode_stored_request(record) == replace(plan, entry=backlog_member(job), deadline_at=job.deadline_at)
    assert life_s(queue.client, queue.keys, key) > queue.settings.result_ttl_s


def test_what_is_dropped_leaves_nothing(queue: Queueing) -> None:
    kept, gone = set_aside(queue), set_aside(queue)
    queue.client.set(queue.keys.text(gone.job_id), b"text")
    assert dead.drop(queue.client, queue.keys, [gone.job_id, "unknown"]) == 1
    assert [letter.job_id for letter in dead.list_dead(queue.client, queue.keys)] == [kept.job_id]
    assert not queue.client.exists(queue.keys.text(gone.job_id))


def test_a_letter_of_another_release_hides_no_other_and_can_be_dropped(queue: Queueing) -> None:
    readable, other = set_aside(queue), set_aside(queue)
    queue.client.hset(queue.keys.dead, other.job_id, b"rubbish")
    assert [letter.job_id for letter in dead.list_dead(queue.client, queue.keys)] == [readable.job_id]
    ids = dead.dead_ids(queue.client, queue.keys)
    assert ids == [other.job_id, readable.job_id]
    assert dead.drop(queue.client, queue.keys, ids) == 2
    assert dead.dead_ids(queue.client, queue.keys) == []


def test_a_message_that_is_no_job_of_ours_is_listed_and_not_sent_again(queue: Queueing) -> None:
    queue.send("foreign")
    victim = queue.receiver(owner="v", max_deaths=1, lease_s=-1.0)
    victim.take()
    victim.channel.qos.restore_visible()
    assert [letter.job_id for letter in dead.list_dead(queue.client, queue.keys)] == ["foreign"]
    with pytest.raises(MalformedMessage, match="holds no job"):
        dead.retry(queue.client, queue.keys, queue.settings, "foreign", time.time())
    assert dead.drop(queue.client, queue.keys, ["foreign"]) == 1


def test_who_was_never_set_aside_is_told_so(queue: Queueing) -> None:
    with pytest.raises(JobLost, match="dead list"):
        dead.show(queue.client, queue.keys, "nobody")


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\xc1",
        msgpack.packb([2, "dead", []]),
        msgpack.packb([1, "dead", ["x"]]),
        msgpack.packb([1, "job", ["x", "jobs.bulk", "{}", 3, "w", "1.5"]]),
        msgpack.packb([1, "dead", ["x", "jobs.bulk", None, 3, "w", "1.5"]]),
        msgpack.packb([1, "dead", ["x", "jobs.bulk", "{}", 3, "w", "soon"]]),
    ],
)
def test_a_record_that_is_none_is_refused(record: bytes) -> None:
    with pytest.raises(MalformedMessage):
        wire.decode_dead(record)
