"""The backlog in Redis: its sums say what its entries say, whoever adds and removes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rerank_shared.contract.messages import Job
from rerank_shared.keys import JobClass, Keys
from rerank_shared.queue.backlog import (
    DueJobs,
    ask_backlog,
    backlog_member,
    read_backlog,
    sums_of,
    total,
    uncount,
)
from rerank_shared.queue.job_queue import ENQUEUE, SealedJob, queue_of
from rerank_shared.scheduling.cost import Work
from support.queue.full_server import BINARIES, small_server
from support.waiting import wait_until

pytestmark = pytest.mark.integration
JOB = Job("job", "interactive", "model", "q", ("d",), None, 0.0, 0.0, tokens=100, pairs=1)
NOW = 1_000.0


def run(client: redis.Redis, fill: Callable[[Any], None]) -> list[Any]:
    fill(pipe := client.pipeline(transaction=False))
    return pipe.execute()


def count(client: redis.Redis, keys: Keys, job: Job) -> None:
    names, args = queue_of(keys).enqueue_call([SealedJob(job, job.job_id, "{}")])
    ENQUEUE(client, names, *args)


def read(client: redis.Redis, keys: Keys, now: float = NOW) -> list[DueJobs]:
    return read_backlog(run(client, lambda pipe: ask_backlog(pipe, keys, now)))


def stay(client: redis.Redis, keys: Keys, job_class: JobClass) -> bool:
    return bool(read(client, keys)) and client.ttl(keys.backlog_sums(job_class)) == -1


def sums(client: redis.Redis, keys: Keys) -> dict[bytes, bytes]:
    found: Any = client.hgetall(keys.backlog_sums("interactive"))
    return dict(found)


JOBS = st.builds(
    lambda number, tokens, longest, pairs, due_at, since: replace(
        JOB,
        job_id=f"a|{number}",
        tokens=tokens,
        tokens_longest=longest,
        pairs=pairs,
        due_at=due_at,
        enqueued_at=since,
        deadline_at=2e9,
    ),
    st.integers(0, 20),
    st.integers(0, 10**6),
    st.integers(0, 10**9),
    st.integers(0, 10_000),
    st.floats(0.0, 4e9) | st.floats(100.0, 104.0),
    st.floats(0.0, 4e9),
)


@given(st.lists(st.tuples(st.booleans(), JOBS), max_size=30))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_sums_are_those_of_the_entries(client: redis.Redis, keys: Keys, changes: list[tuple[bool, Job]]) -> None:
    client.delete(keys.backlog("interactive"), keys.backlog_sums("interactive"))
    for adds, job in changes:
        (count if adds else uncount)(client, keys, job)
    left: Any = client.zrange(keys.backlog("interactive"), 0, -1)
    expected = sums_of(left)
    found = sums(client, keys)
    assert {name: line.rsplit(b"|", 3)[0] for name, line in found.items()} == {
        name: line.rsplit(b"|", 3)[0] for name, line in expected.items()
    }
    due = read(client, keys)
    assert sum(each.jobs for each in due) == len(left)
    kept = {backlog_member(job).encode(): job for _, job in changes}
    works = [Work(kept[each].pairs, kept[each].tokens, kept[each].tokens_longest) for each in left]
    assert total(due) == sum(works, Work())


def test_a_line_says_when_its_jobs_are_due_and_since_when_the_oldest_waits(client: redis.Redis, keys: Keys) -> None:
    for number, (due_at, since) in enumerate([(12.1, 5.0), (12.9, 4.5), (13.0, 9.0)]):
        job = replace(JOB, job_id=str(number), due_at=due_at, enqueued_at=since, deadline_at=2e9)
        count(client, keys, job)
    assert sorted((each.first_due_at, each.last_due_at, each.oldest_at, each.jobs) for each in read(client, keys)) == [
        (12.1, 12.9, 4.5, 2),
        (13.0, 13.0, 9.0, 1),
    ]


def test_what_is_due_within_a_second_is_ahead_by_its_share() -> None:
    due = DueJobs("interactive", Work(10.0, 100.0), 12.0, 12.5, jobs=4)
    ahead = [due.ahead_of("interactive", due_at) for due_at in (11.9, 12.0, 12.25, 12.5, 13.0)]
    assert ahead == [Work(), Work(), Work(5.0, 50.0), due.work, due.work]
    assert (due.ahead_of("bulk", 1.0), replace(due, job_class="bulk").ahead_of("interactive", 99.0)) == (
        due.work,
        Work(),
    )


def test_who_asks_reads_a_line_a_second_however_many_jobs_wait(client: redis.Redis, keys: Keys) -> None:
    for number in range(300):
        job = replace(JOB, job_id=str(number), due_at=10.0 + number % 3, enqueued_at=1.0, deadline_at=2e9)
        count(client, keys, job)
    assert [each.jobs for each in read(client, keys)] == [100, 100, 100]


@pytest.mark.parametrize("overdue", [3, 300])
def test_entries_past_their_deadline_are_dropped_from_both(client: redis.Redis, keys: Keys, overdue: int) -> None:
    now = time.time()
    for number in range(overdue + 2):
        until = now + (500 if number < overdue else 1_500)
        job = replace(JOB, job_id=str(number), due_at=10.0, enqueued_at=1.0, deadline_at=until)
        count(client, keys, job)
    assert [each.jobs for each in read(client, keys, now + 1_000)] == [2]
    assert read(client, keys, now + 2_000) == []
    assert client.exists(keys.backlog("interactive"), keys.backlog_sums("interactive")) == 0


def test_changes_of_an_earlier_release_are_summed_up_when_they_are_read(client: redis.Redis, keys: Keys) -> None:
    """It adds and removes entries alone, and writes some of other forms."""
    ours = replace(JOB, due_at=12.5, enqueued_at=1.0, deadline_at=2e9)
    count(client, keys, ours)
    theirs = {"job|70": 2e9, "job|7|70|900|3|12.500": 2e9, "x|y|z|rubbish|": 2e9, "a|nan|1|1|9": 2e9}
    client.zadd(keys.backlog("interactive"), theirs)
    due = read(client, keys)
    assert sum(each.jobs for each in due) == 5
    assert total(due) == Work(4.0, 70.0 + 70.0 + 100.0 + 0.0, 900.0)
    client.zrem(keys.backlog("interactive"), backlog_member(ours))
    wait_until(lambda: total(read(client, keys)) == Work(3.0, 140.0, 900.0), "sums made anew")
    assert sum(each.jobs for each in read(client, keys)) == 4
    wait_until(lambda: stay(client, keys, "interactive"), "sums that agree stay")


def test_many_changes_of_an_earlier_release_are_summed_up_now_and_then(client: redis.Redis, keys: Keys) -> None:
    """Reading many entries holds up the server, however often it is asked."""
    client.zadd(keys.backlog("bulk"), {f"{number}|@1.000|1|1|1|12.500": 2e9 for number in range(5_000)})
    assert sum(each.jobs for each in read(client, keys)) == 5_000
    client.zadd(keys.backlog("bulk"), {"new|@1.000|1|1|1|12.500": 2e9})
    assert sum(each.jobs for each in read(client, keys)) in (5_000, 5_001)
    wait_until(lambda: sum(each.jobs for each in read(client, keys)) == 5_001, "sums made anew")
    wait_until(lambda: stay(client, keys, "bulk"), "sums that agree stay")


def test_a_line_that_cannot_be_read_is_made_anew(client: redis.Redis, keys: Keys) -> None:
    count(client, keys, replace(JOB, due_at=12.5, deadline_at=2e9))
    client.hset(keys.backlog_sums("interactive"), "12", "rubbish")
    assert read(client, keys) == [DueJobs("interactive", Work(1.0, 100.0), 12.5, 12.5)]


def test_lines_of_another_release_are_jobs_of_unknown_work() -> None:
    assert read_backlog([[b"12", b"1|2|3", b"13", b"1|2|3|4|5|6|7"], []]) == [
        DueJobs("interactive", Work(), 0.0, 0.0),
        DueJobs("interactive", Work(2.0, 3.0, 4.0), 6.0, 7.0, 5.0),
    ]


@pytest.mark.parametrize("binary", BINARIES)
def test_a_full_server_still_says_what_waits(binary: str, keys: Keys) -> None:
    with small_server(binary) as server, redis.Redis.from_url(server.url) as client:
        jobs = [replace(JOB, job_id=str(number), due_at=12.5, deadline_at=2e9) for number in range(3)]
        client.zadd(keys.backlog("interactive"), {backlog_member(job): job.deadline_at for job in jobs})
        client.config_set("maxmemory", 1)
        assert [each.jobs for each in read(client, keys)] == [3]
        uncount(client, keys, jobs[0])
        assert [each.jobs for each in read(client, keys)] == [2]
