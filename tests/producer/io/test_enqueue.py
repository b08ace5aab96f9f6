"""A job is there with all that belongs to it, or not at all: what a server that refuses keeps of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from producer.echo_worker import announce
from producer.test_sync_client import texts
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import RerankClient
from rerank_producer._io.blocking import BlockingPort
from rerank_producer._io.enqueue import Enqueue
from rerank_producer._io.port import drive
from rerank_shared.errors import QueueUnavailable
from rerank_shared.keys import Keys
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.queue.job_queue import ENQUEUE, JobQueue, StoredValue
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings
from support.jobs import make_job
from support.queue.lifetimes import life_s

pytestmark = [pytest.mark.integration, pytest.mark.faults]


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """One of this test's own, that it may fill and shut."""
    with EmbeddedServer.start() as running:
        yield running


@pytest.fixture
def admin(settings: Settings) -> Iterator[redis.Redis]:
    with connect(settings) as client:
        yield client


def left(admin: redis.Redis, settings: Settings) -> set[str]:
    """Return the keys of the namespace that say that work waits, or hold some."""
    keys = Keys(settings.namespace)
    words = ("text:", "request:", "ledger:", "ledger_sums:", "waiting:", "order:", "served:", "jobs.", "flight:")
    names: set[Any] = set(admin.keys(f"{keys.prefix}*"))
    return {name.decode() for name in names if name.decode().removeprefix(keys.prefix).startswith(words)}


def fill(admin: redis.Redis) -> None:
    """Let the server refuse whatever takes memory."""
    admin.config_set("maxmemory-policy", "noeviction")
    admin.config_set("maxmemory", 1)


def forbid(admin: redis.Redis, command: str) -> None:
    """Forbid a command, or a category of them, and nothing else."""
    commands = ["+@all", f"-{command}"] if command else ["+@all"]
    admin.acl_setuser("default", enabled=True, nopass=True, keys="*", channels="*", commands=commands)


def forbid_scripts(admin: redis.Redis) -> None:
    forbid(admin, "@scripting")


@pytest.mark.parametrize("refuse", [fill, forbid_scripts], ids=["full", "forbidden"])
@pytest.mark.parametrize("ask", ["rerank", "submit"])
def test_a_server_that_refuses_a_job_keeps_nothing_of_it(
    settings: Settings, admin: redis.Redis, ask: str, refuse: Callable[[redis.Redis], None]
) -> None:
    announce(admin, settings)
    changed = settings.model_copy(update={"inline_bytes": 0, "single_flight": True})
    with RerankClient(changed) as client:
        # Connects, and finds the server as it was.
        client.rerank("q", texts(2), deadline_ms=50)
        for name in left(admin, settings):
            admin.delete(name)
        refuse(admin)
        for _ in range(3):
            with pytest.raises(QueueUnavailable):
                getattr(client, ask)("q", texts(3), job_class="bulk")
    assert left(admin, settings) == set()


@pytest.mark.parametrize("command", ["set", "zadd", "hset", "persist", "lpush", "zrangebyscore"])
def test_a_job_is_withdrawn_where_a_command_of_its_script_is_forbidden(
    settings: Settings, admin: redis.Redis, command: str
) -> None:
    announce(admin, settings)
    with RerankClient(settings.model_copy(update={"inline_bytes": 0, "single_flight": True})) as client:
        client.rerank("q", texts(2), deadline_ms=50)
        for name in (*left(admin, settings), Keys(settings.namespace).lifetimes):
            admin.delete(name)
        forbid(admin, command)
        with pytest.raises(QueueUnavailable) as caught:
            client.submit("q", texts(3))
        forbid(admin, "")
    assert caught.value.reason == "permission"
    # The tenant's place in the line is nobody's work.
    assert {name for name in left(admin, settings) if ":served:" not in name} == set()
    assert admin.zcard(Keys(settings.namespace).lifetimes) == 0


@pytest.mark.parametrize("forbidden", ["", "set", "zadd", "hset", "persist", "lpush", "zrangebyscore"])
def test_a_refused_send_again_leaves_the_job_that_waits(settings: Settings, admin: redis.Redis, forbidden: str) -> None:
    """As that of a late job, which has its text and its entry in the backlog. Nothing forbidden: the server is full."""
    keys = Keys(settings.namespace)
    job = make_job(settings, "q", ["d"], deadline_at=2e9)
    kept = [StoredValue(keys.text(job.job_id), b"text", 60_000)]
    sends = [Enqueue([each], "r", kept) for each in (job, replace(job, attempt=2))]
    port = BlockingPort(settings)
    drive(port.enqueue(sends[0]))
    before = {name: admin.dump(name) for name in left(admin, settings)}
    if forbidden:
        forbid(admin, forbidden)
    else:
        fill(admin)
    with pytest.raises(QueueUnavailable):
        drive(port.enqueue(sends[1]))
    forbid(admin, "")
    assert len(before) == 7
    assert {name: admin.dump(name) for name in left(admin, settings)} == before
    port.close()


def test_a_server_that_is_full_still_tells_what_is_cached(settings: Settings, admin: redis.Redis) -> None:
    """The counts of earlier look-ups, which it refuses, are no reason to take what is cached for a miss."""
    announce(admin, settings)
    with RerankClient(settings) as client:
        client.rerank("q", ["a"], deadline_ms=50)
        fill(admin)
        assert client.rerank("q", [], partial=False).complete
        with pytest.raises(QueueUnavailable, match="enqueuing"):
            client.rerank("q", ["a"])


def test_all_parts_of_a_request_are_there_or_none(settings: Settings, admin: redis.Redis) -> None:
    keys = Keys(settings.namespace)
    jobs = [make_job(settings, "q", [text], deadline_at=2e9) for text in texts(3)]
    kept = [StoredValue(keys.text("a"), b"text", 60_000), StoredValue(keys.flight(b"b"), b"claim", 60_000, claim=True)]
    port = BlockingPort(settings)
    admin.set(keys.flight(b"b"), b"somebody's")
    admin.set(keys.result("a"), b"old")
    admin.zadd(keys.backlog("interactive"), {"over": 1.0})
    drive(port.enqueue(Enqueue(jobs, None, kept, [keys.result("a")])))
    assert admin.hlen(keys.waiting("interactive")) == admin.llen(keys.queue_list("interactive")) == 3
    unanswered: Any = admin.zrange(keys.backlog("interactive"), 0, -1, withscores=True)
    assert {member.decode(): until for member, until in unanswered} == {backlog_member(job): 2e9 for job in jobs}
    assert (admin.get(keys.text("a")), admin.get(keys.flight(b"b"))) == (b"text", b"somebody's")
    assert 50 < life_s(admin, keys, keys.text("a")) < 61
    assert admin.zscore(keys.lifetimes, keys.flight(b"b")) is None
    assert not admin.exists(keys.result("a"))
    port.close()


def test_a_call_that_is_made_again_since_its_answer_was_lost_makes_no_second_job(
    settings: Settings, admin: redis.Redis
) -> None:
    """As a connection does that breaks between the two; meanwhile a worker has taken the job."""
    keys = Keys(settings.namespace)
    scripts = JobQueue(keys)

    names, args = Enqueue([make_job(settings, "q", ["d"])], None).call(keys)
    for _ in range(2):
        ENQUEUE(admin, names, *args)
    assert admin.hlen(keys.waiting("interactive")) == 1
    assert scripts.take(admin, [keys.queue("interactive")], owner="w", before=None, bulk_share=0.05) is not None
    ENQUEUE(admin, names, *args)
    assert admin.hlen(keys.waiting("interactive")) == 0


def test_a_server_that_was_emptied_of_scripts_is_told_them_again(settings: Settings, admin: redis.Redis) -> None:
    port, keys = BlockingPort(settings), Keys(settings.namespace)
    for number in range(1, 3):
        drive(port.enqueue(Enqueue([make_job(settings, "q", ["d"])], None)))
        admin.script_flush()
        assert admin.hlen(keys.waiting("interactive")) == number
    port.close()
