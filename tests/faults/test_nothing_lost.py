"""Consumers killed by SIGKILL at any moment lose no job: each is consumed at least once, or on record as poison."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from kombu import Connection

from rerank_shared.queue.dead_letters import list_dead
from rerank_shared.redis.connections import broker_url
from rerank_shared.settings import Settings, load_settings, to_environ
from support.queue.queueing import Queueing, queueing
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]

KILLS, JOBS, CONSUMERS = 20, 500, 3

# A plain kombu consumer that notes what it has done, then acknowledges it. It can be told to die at a certain point.
CONSUMER = """
import os, signal, sys
from kombu import Connection, Consumer
from kombu.transport import redis
from rerank_shared.redis.connections import broker_url
from rerank_shared.keys import JOB_CLASSES
from rerank_shared.settings import load_settings
from rerank_shared.queue.transport.channel import FleetChannel
from support.queue.queueing import Queueing
transport, place = sys.argv[1:]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if place == "heard":
    FleetChannel._hear = die
elif place == "taken":
    FleetChannel._open = die
elif place == "popped":
    redis.QoS.append = die
settings = load_settings()
queue = Queueing(settings)
app = queue.app
if transport == "stock":
    connection = Connection(broker_url(settings), transport_options=app.conf.broker_transport_options)
else:
    connection = app.connection_for_read()
def note(message):
    queue.client.sadd("done:" + settings.namespace, message.headers["id"])
    message.ack()
queues = [app.amqp.queues[queue.keys.queue(job_class)] for job_class in JOB_CLASSES]
with Consumer(connection.channel(), queues=queues, on_message=note, accept=["msgpack"]) as consumer:
    consumer.qos(prefetch_count=4)
    while True:
        connection.drain_events()
"""


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queueing]:
    with queueing(load_settings(**settings.model_dump(exclude_none=True) | {"redelivery_s": 0.5})) as opened:
        yield opened


@pytest.fixture
def consumers() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def start(settings: Settings, transport: str = "fleet", place: str = "") -> subprocess.Popen[bytes]:
    environ = to_environ(settings) | {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    return subprocess.Popen([sys.executable, "-c", CONSUMER, transport, place], env=environ)


def done(queue: Queueing) -> set[str]:
    noted: set[Any] = queue.client.smembers(f"done:{queue.settings.namespace}")
    return {name.decode() for name in noted} | {letter.job_id for letter in list_dead(queue.client, queue.keys)}


def test_kills_at_random_moments_lose_no_job(queue: Queueing, consumers: list[subprocess.Popen[bytes]]) -> None:
    names = {f"job-{number}" for number in range(JOBS)}
    consumers += [start(queue.settings) for _ in range(CONSUMERS)]

    def send_all() -> None:
        for name in sorted(names):
            queue.send(name, tenant=name[-1])

    feed = Thread(target=send_all)
    feed.start()
    chance = random.Random(7)
    for kill in range(1, KILLS + 1):
        # Spread over the whole feed, each while jobs wait or are held.
        wait_until(lambda kill=kill: len(done(queue)) >= kill * JOBS // (KILLS + 2), "progress", bound_s=60)  # type: ignore[misc]
        victim = consumers.pop(chance.randrange(CONSUMERS))
        victim.kill()
        victim.wait()
        consumers.append(start(queue.settings))
    feed.join()
    wait_until(lambda: done(queue) == names, "every job", bound_s=60)
    wait_until(lambda: queue.client.hlen(queue.keys.unacked) == 0, "every acknowledgement")


@pytest.mark.parametrize("place", ["heard", "taken"])
def test_no_job_is_lost_between_hearing_of_it_and_having_it(
    queue: Queueing, consumers: list[subprocess.Popen[bytes]], place: str
) -> None:
    queue.send("job")
    consumers.append(start(queue.settings, place=place))
    assert consumers[0].wait(timeout=60) == -signal.SIGKILL
    consumers.append(start(queue.settings))
    wait_until(lambda: done(queue) == {"job"}, "the job")


def test_kombu_s_own_transport_has_the_hole(queue: Queueing, consumers: list[subprocess.Popen[bytes]]) -> None:
    """The reason for ours; should this fail, kombu has closed it."""
    options = queue.app.conf.broker_transport_options
    with Connection(broker_url(queue.settings), transport_options=options) as connection:
        queue.app.send_task(
            "test", task_id="job", queue=queue.keys.queue("interactive"), connection=connection, producer=None
        )
    assert queue.client.llen(queue.keys.queue_list("interactive")) == 1
    consumers.append(start(queue.settings, "stock", "popped"))
    assert consumers[0].wait(timeout=60) == -signal.SIGKILL
    assert queue.lasting() == set()
