"""The order in which jobs are taken: most urgent first, tenants by tokens, interactive before bulk with a floor."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.keys import JOB_CLASSES, JobClass, Keys
from rerank_shared.queue.job_queue import JobQueue
from rerank_shared.queue.urgency_headers import Urgency
from rerank_shared.redis.connections import connect
from rerank_shared.scheduling.fairness import FairShare
from rerank_shared.settings import Settings, load_settings
from support.queue.queueing import Queueing, queueing

pytestmark = pytest.mark.integration


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queueing]:
    with queueing(settings) as opened:
        yield opened


def test_most_urgent_first_whatever_came_first(queue: Queueing) -> None:
    for name, due_at in (("later", 30.0), ("soon", 10.0), ("latest", 40.0), ("soonest", 5.0)):
        queue.send(name, due_at=due_at)
    assert queue.receiver().receive(4) == ["soonest", "soon", "later", "latest"]


def test_interactive_before_bulk_however_urgent_that_is(queue: Queueing) -> None:
    queue.send("bulk", "bulk", due_at=1.0)
    queue.send("interactive", due_at=1e9)
    assert queue.receiver().receive(2) == ["interactive", "bulk"]


def test_tenants_get_equal_tokens_whoever_has_more_waiting(queue: Queueing) -> None:
    for number in range(12):
        queue.send(f"many-{number:02}", due_at=float(number), tokens=100, tenant="many")
    for number in range(3):
        queue.send(f"few-{number:02}", due_at=1_000.0 + number, tokens=200, tenant="few")
    first = queue.receiver().take(9)
    assert sum(name.startswith("few") for name in first) == 3
    assert [name for name in first if name.startswith("many")] == [f"many-{number:02}" for number in range(6)]


def test_bulk_gets_its_share_of_tokens_while_interactive_waits(queue: Queueing) -> None:
    for number in range(40):
        queue.send(f"interactive-{number}", tokens=10)
    for number in range(40):
        queue.send(f"bulk-{number}", "bulk", tokens=10)
    first = queue.receiver(bulk_share=0.25).take(40)
    assert sum(name.startswith("bulk") for name in first) in (9, 10)


def test_bulk_is_served_as_soon_as_it_is_owed_its_next_job(queue: Queueing) -> None:
    for number in range(3):
        queue.send(f"interactive-{number}", due_at=number, tokens=10)
        queue.send(f"bulk-{number}", "bulk", due_at=number, tokens=10)
    order = queue.receiver(bulk_share=0.5).take(6)
    assert order == ["interactive-0", "bulk-0", "interactive-1", "bulk-1", "interactive-2", "bulk-2"]


def test_only_what_is_due_earlier_is_taken_where_that_is_asked_for(queue: Queueing) -> None:
    queue.send("soon", due_at=100.0)
    queue.send("later", due_at=200.0)
    receiver = queue.receiver()
    assert receiver.take(9, before=100.0) == []
    assert receiver.take(9, before=100.5) == ["soon"]
    assert receiver.take(9) == ["later"]


def test_a_consumer_of_one_class_takes_no_other(queue: Queueing) -> None:
    queue.send("interactive")
    queue.send("bulk", "bulk")
    assert queue.receiver(classes=("bulk",)).take(9) == ["bulk"]
    assert queue.receiver().take(9) == ["interactive"]


def test_headers_that_are_none_count_as_those_of_a_small_job_sent_now(queue: Queueing) -> None:
    queue.send_with({"due_at": float("nan"), "tokens": "many", "tenant": 7}, "garbled")
    queue.send("before", due_at=1.0)
    assert queue.receiver().receive(2) == ["before", "garbled"]
    assert queue.client.zscore(queue.keys.served("interactive"), "") == 2.0


@dataclass(frozen=True)
class Send:
    job_class: JobClass
    tenant: str
    due_at: int
    tokens: int


sends = st.builds(
    Send, st.sampled_from(JOB_CLASSES), st.sampled_from(["", "a", "b", "c|1"]), st.integers(0, 9), st.integers(1, 50)
)
#: Sends, and takes of any job (None) or only of one that is due before so many seconds.
steps = st.lists(st.one_of(sends, sends, st.just(None), st.floats(0, 10)), max_size=40)


class Twin:
    """The same queue in plain Python."""

    def __init__(self, bulk_share: float) -> None:
        self.fair = FairShare(bulk_share)
        self.waiting: dict[tuple[JobClass, str], list[tuple[int, str, int]]] = {}

    def put(self, tag: str, sent: Send) -> None:
        self.fair.arrive(sent.job_class, sent.tenant)
        self.waiting.setdefault((sent.job_class, sent.tenant), []).append((sent.due_at, tag, sent.tokens))

    def take(self, before: float | None = None) -> str | None:
        tenants: dict[JobClass, list[str]] = {c: [t for k, t in self.waiting if k == c] for c in JOB_CLASSES}
        if not any(tenants.values()):
            return None
        chosen = self.fair.choose(
            tenants,
            lambda job_class, tenant: min(self.waiting[job_class, tenant])[2],
            lambda job_class, tenant: before is None or min(self.waiting[job_class, tenant])[0] < before,
        )
        if chosen is None:
            return None
        jobs = self.waiting[chosen]
        jobs.remove(job := min(jobs))
        if not jobs:
            del self.waiting[chosen]
        return job[1]


@given(steps, st.sampled_from([0.0, 0.05, 0.3, 0.5]), st.sampled_from(["", "0123456789ab"]))
def test_the_script_chooses_as_the_rules_in_python_do(
    server: EmbeddedServer, made: list[Send | float | None], bulk_share: float, pool: str
) -> None:
    keys = Keys(f"twin-{uuid.uuid4().hex}", pool)
    scripts, twin = JobQueue(keys), Twin(bulk_share)
    queues = [keys.queue(job_class) for job_class in JOB_CLASSES]
    with connect(load_settings(redis_url=server.url)) as client:
        for number, step in enumerate([*made, *[None] * len(made)]):
            if not isinstance(step, Send):
                taken = scripts.take(client, queues, owner="w", before=step, bulk_share=bulk_share)
                assert (None if taken is None else taken.message.decode()) == twin.take(step)
            else:
                tag = f"{number:03}"
                urgency = Urgency(step.due_at, step.tokens, step.tenant)
                scripts.put(client, keys.queue(step.job_class), tag, tag, urgency)
                twin.put(tag, step)
            for job_class in JOB_CLASSES:
                assert client.llen(keys.queue_list(job_class)) == client.hlen(keys.waiting(job_class))
