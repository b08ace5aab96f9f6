"""The queues of pools: each is taken by its own workers, and what strays is moved to where it is served."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rerank_shared.keys import queue_parts
from rerank_shared.queue.job_queue import JobQueue
from rerank_shared.queue.strays import file_taken, leave_to
from rerank_shared.scheduling.pool_turns import PoolTurns
from rerank_shared.settings import Settings
from support.queue.queueing import Queueing, Receiver, queueing, send_plain

pytestmark = pytest.mark.integration
A, B = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


@pytest.fixture
def queue(settings: Settings) -> Iterator[Queueing]:
    with queueing(settings) as opened:
        yield opened


def queue_of(receiver: Receiver, number: int = -1) -> str:
    found: str = receiver.messages[number].delivery_info["routing_key"]
    return found


class TestTaking:
    def test_each_pool_gets_its_own_jobs(self, queue: Queueing) -> None:
        queue.send_to(A, "of a")
        queue.send_to(B, "of b")
        assert queue.receiver(pools=("", A)).receive(1) == ["of a"]
        assert queue.receiver(pools=("", B)).receive(1) == ["of b"]

    def test_the_common_queue_is_everybody_s(self, queue: Queueing) -> None:
        queue.send("one")
        send_plain(queue, "two")
        assert sorted(queue.receiver(pools=("", A)).receive(1) + queue.receiver(pools=("", B)).receive(1)) == [
            "one",
            "two",
        ]

    def test_an_interactive_job_of_any_pool_comes_before_bulk(self, queue: Queueing) -> None:
        queue.send_to(A, "bulk", "bulk", due_at=1.0)
        queue.send_to(B, "interactive", due_at=1e9)
        receiver = queue.receiver(pools=("", A, B))
        assert receiver.take(2, woken=queue.keys.of(A).queue("bulk")) == ["interactive", "bulk"]

    def test_the_pool_that_woke_a_consumer_gives_it_a_job(self, queue: Queueing) -> None:
        for pool in (A, B):
            queue.send_to(pool, pool)
        assert queue.receiver(pools=("", A, B)).take(1, woken=queue.keys.of(B).queue("interactive")) == [B]

    def test_pools_take_turns(self, queue: Queueing) -> None:
        for number in range(10):
            for pool in (A, B, ""):
                queue.send_to(pool, f"{pool}-{number}", due_at=float(number))
        first = queue.receiver(pools=("", A, B)).receive(15)[:15]
        assert all(4 <= sum(name.startswith(f"{pool}-") for name in first) <= 6 for pool in (A, B, ""))

    def test_pools_with_weights_give_tokens_by_them(self, queue: Queueing) -> None:
        for number in range(12):
            queue.send_to(A, f"{A}-{number}", tokens=100)
            queue.send_to(B, f"{B}-{number}", tokens=100)
        receiver = queue.receiver(pools=("", A, B))
        receiver.channel.turns = PoolTurns(lambda: {A: 3.0, B: 1.0})
        first = receiver.take(12, woken=queue.keys.of(B).queue("interactive"))
        assert (len(first), sum(name.startswith(A) for name in first)) == (12, 9)

    def test_each_pool_is_fair_to_its_own_tenants(self, queue: Queueing) -> None:
        """What a tenant was served in one pool is no debt in another."""
        queue.send_to(A, "much", tokens=1_000)
        queue.send("also here", tokens=1)
        assert queue.receiver(pools=(A,)).take(1) == ["much"]
        assert queue.client.zrange(queue.keys.of(A).served("interactive"), 0, -1, withscores=True) == [(b"", 1_000.0)]
        assert queue.client.zrange(queue.keys.served("interactive"), 0, -1, withscores=True) == [(b"", 0.0)]

    def test_only_what_is_due_earlier_is_taken_from_any_pool(self, queue: Queueing) -> None:
        queue.send_to(A, "late", due_at=50.0)
        queue.send_to(B, "soon", due_at=5.0)
        receiver = queue.receiver(pools=("", A, B))
        assert (receiver.take(9, before=10.0), receiver.take(9)) == (["soon"], ["late"])

    def test_a_job_says_from_which_queue_it_came(self, queue: Queueing) -> None:
        queue.send_to(A, "job", "bulk")
        receiver = queue.receiver(pools=("", A))
        receiver.receive(1)
        assert queue_parts(queue_of(receiver)) == ("bulk", A)

    def test_nothing_is_left_of_a_pool_that_did_its_work(self, queue: Queueing) -> None:
        queue.send_to(A, "job")
        receiver = queue.receiver(pools=("", A))
        receiver.receive(1)
        receiver.messages[0].ack()
        receiver.take(1)
        assert queue.lasting() == set()
        assert list(queue.client.scan_iter(f"{queue.keys.prefix}_kombu.binding*@*")) == []


class TestLeases:
    def test_a_job_of_a_dead_worker_waits_in_its_pool_again(self, queue: Queueing) -> None:
        queue.send_to(A, "job", "bulk", due_at=7.0, tokens=3)
        queue.receiver(pools=(A,), owner="dead").take(1)
        JobQueue(queue.keys).expire(queue.client, "dead")
        # Any worker of the namespace sweeps.
        other = queue.receiver(pools=("", B))
        other.channel.qos.restore_visible()
        assert other.take(1) == []
        again = queue.receiver(pools=(A,))
        assert again.take(1) == ["job"]
        assert again.messages[0].delivery_info["redelivered"]

    def test_a_job_that_is_given_back_waits_in_its_pool_again(self, queue: Queueing) -> None:
        queue.send_to(A, "job")
        receiver = queue.receiver(pools=(A,))
        receiver.take(1)
        receiver.messages[0].reject(requeue=True)
        assert (queue.receiver(pools=("", B)).take(1), queue.receiver(pools=(A,)).take(1)) == ([], ["job"])

    def test_a_message_that_no_script_can_read_waits_in_the_common_queue_again(self, queue: Queueing) -> None:
        """As it does after the sweep of an earlier release, which knows no pools."""
        queue.send_to(A, "job")
        receiver = queue.receiver(pools=(A,), owner="dead")
        receiver.take(1)
        tag = receiver.messages[0].delivery_tag
        queue.client.hset(queue.keys.unacked, tag, b"interactive|1|{not json")
        JobQueue(queue.keys).expire(queue.client, "dead")
        receiver.channel.qos.restore_visible()
        assert queue.client.hkeys(queue.keys.waiting("interactive")) == [tag.encode()]


class TestStrays:
    def test_a_taken_job_is_filed_where_it_is_served(self, queue: Queueing) -> None:
        queue.send("stray", "bulk", due_at=5.0, tokens=2, tenant="t")
        receiver = queue.receiver(pools=("", A))
        receiver.take(1)
        target = queue.keys.of(B).queue("bulk")
        tag = receiver.messages[0].delivery_tag
        assert file_taken(queue.client, queue.keys, queue_of(receiver), target, tag)
        assert queue.client.hlen(queue.keys.unacked) == 0
        other = queue.receiver(pools=("", B))
        assert other.receive(1) == ["stray"]
        assert queue_of(other) == target
        # Nobody worked on it before.
        assert not other.messages[0].delivery_info["redelivered"]

    def test_a_job_whose_lease_ran_out_is_not_filed_twice(self, queue: Queueing) -> None:
        queue.send("stray")
        receiver = queue.receiver(pools=("", A), owner="slow")
        receiver.take(1)
        JobQueue(queue.keys).expire(queue.client, "slow")
        receiver.channel.qos.restore_visible()
        target = queue.keys.of(B).queue("interactive")
        assert not file_taken(queue.client, queue.keys, queue_of(receiver), target, receiver.messages[0].delivery_tag)
        assert queue.client.hlen(queue.keys.of(B).waiting("interactive")) == 0

    def test_what_a_pool_leaves_behind_keeps_its_order(self, queue: Queueing) -> None:
        for name, due_at in (("later", 30.0), ("soon", 10.0), ("latest", 40.0)):
            queue.send_to(A, name, due_at=due_at)
        queue.send_to(A, "bulk", "bulk")
        assert leave_to(queue.client, queue.keys, A, B) == 4
        heir = queue.receiver(pools=("", B))
        assert heir.take(9) == ["soon", "later", "latest", "bulk"]
        assert queue.receiver(pools=(A,)).take(1) == []

    def test_what_the_last_worker_leaves_is_everybody_s(self, queue: Queueing) -> None:
        queue.send_to(A, "job")
        assert leave_to(queue.client, queue.keys, A, "") == 1
        assert queue.receiver(pools=("", B)).receive(1) == ["job"]

    def test_a_full_server_moves_them_too(self, queue: Queueing) -> None:
        queue.send_to(A, "job")
        queue.client.config_set("maxmemory", 1)
        try:
            assert leave_to(queue.client, queue.keys, A, B) == 1
        finally:
            queue.client.config_set("maxmemory", 0)
        assert queue.receiver(pools=(B,)).take(1) == ["job"]


class TestTools:
    def test_the_queue_of_a_pool_has_a_size_and_can_be_purged(self, queue: Queueing) -> None:
        for number in range(3):
            queue.send_to(A, f"job-{number}")
        queue.send("another's")
        name = queue.keys.of(A).queue("interactive")
        channel = queue.receiver(pools=("",)).channel
        assert channel._size(name) == 3
        assert channel.queue_purge(name) == 3
        assert (channel._size(name), channel._size(queue.keys.queue("interactive"))) == (0, 1)
