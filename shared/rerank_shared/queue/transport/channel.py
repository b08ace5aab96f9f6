"""The channel: kombu's Redis channel with the fleet's queue in it. All other queues stay kombu's, with its time-outs.

kombu pops a message from a list and then records its consumer; a process killed in between loses the job. Here the list
that consumers block on holds wake-ups only. A consumer that pops one, or has waited for a second, runs a script that
chooses the next job (most urgent first, tenants by tokens, interactive before bulk with a floor) and puts it under a
lease in the same step. So a killed consumer loses a wake-up at most, never a job, and the next take adds one for each
job that still waits. One hole of kombu's remains: a plain Celery sender's message lies in the list itself until it is
first popped.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from queue import Empty
from types import MappingProxyType
from typing import Any

from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads
from redis import Redis
from redis.exceptions import OutOfMemoryError

from rerank_shared.contract import wire
from rerank_shared.contract.messages import DeadLetter
from rerank_shared.keys import JobClass, Keys, pool_of_queue, queue_parts
from rerank_shared.queue.job_queue import JobQueue, Taken
from rerank_shared.queue.transport.poller import FleetPoller
from rerank_shared.queue.transport.qos import FleetQoS, JobQoS, SettledTags
from rerank_shared.queue.urgency_headers import read_urgency, write_urgency
from rerank_shared.redis import at_any_limit
from rerank_shared.redis.connections import CONNECTIONS, SILENT
from rerank_shared.scheduling.pool_turns import PoolTurns

log = logging.getLogger(__name__)


class FleetChannel(redis.Channel):  # type: ignore[misc]
    """A channel on the fleet's queue. Its options, in `broker_transport_options`, are the five attributes below.

    The queue is that of the namespace in `global_keyprefix`. A prefix that doesn't end in ":" names no namespace: then
    there is no queue of the fleet, and all queues are kombu's.
    """

    QoS = FleetQoS
    from_transport_options = (
        *redis.Channel.from_transport_options,
        "owner",
        "lease_s",
        "bulk_share",
        "max_deaths",
        "connection_options",
    )

    #: Id of the worker that takes jobs here; by default host and process id.
    owner: str = ""
    #: Longest time that a job may be held without renewal of its lease; other queues have kombu's `visibility_timeout`.
    lease_s: float = 6.0
    bulk_share: float = 0.05
    max_deaths: int = 3
    #: Arguments of connections beside kombu's own options; kombu reads only some of redis-py's.
    connection_options: Mapping[str, Any] = MappingProxyType({})
    #: Called once for each job that this channel's sweep sets aside; set by the consumer. Not an option, since options
    #: are sent to tools as JSON.
    on_dead_letter: Callable[[DeadLetter], None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.QoS = FleetQoS if self.ack_emulation else JobQoS
        self.owner = self.owner or f"{socket.gethostname()}-{os.getpid()}"
        namespace = self.global_keyprefix.removesuffix(":")
        self.keys = Keys(namespace)
        self.jobs = JobQueue(self.keys)
        #: The writer of outcomes puts its own object here.
        self.settled = SettledTags()
        #: The consumer puts its own object here.
        self.turns = PoolTurns()
        self._unanswered: set[str] = set()
        self._plain: Redis | None = None
        self._has_jobs = bool(namespace) and self.global_keyprefix == self.keys.prefix

    @property
    def plain_client(self) -> Redis:
        """A client that adds no prefix to keys, on the connections of this channel."""
        if self._plain is None or self._plain.connection_pool is not self.pool:
            self._plain = Redis(connection_pool=self.pool)
        return self._plain

    @property
    def job_queues(self) -> list[str]:
        """The queues of jobs that this channel consumes, those of a pool together."""
        return sorted(filter(self._is_jobs, self._active_queues), key=pool_of_queue)

    @property
    def interactive_queued(self) -> bool:
        """Whether an interactive job waits on a queue that this channel consumes."""
        pipe = self.plain_client.pipeline(transaction=False)
        for queue in self.job_queues:
            job_class, keys = self._parts(queue)
            if job_class == "interactive":
                pipe.hlen(keys.waiting(job_class))
        return any(pipe.execute())

    def take(self, before: float | None = None, woken: str = "") -> bool:
        """Take one job without a wake-up and deliver it; return whether there was one.

        With `before` (epoch seconds) only a job due earlier is taken. Pools are asked in their turns. `woken` is
        the queue whose wake-up was heard. Only the consuming thread calls this; the caller keeps the prefetch limit.
        """
        queues = self.job_queues
        pools = self.turns.order({pool_of_queue(queue) for queue in queues}, pool_of_queue(woken))
        queues.sort(key=lambda queue: pools.index(pool_of_queue(queue)))
        if not queues or (found := self._take(queues, before)) is None:
            return False
        payload = self._open(found, found.queue in self._unanswered)
        if self.turns.weighted:
            job_class, keys = self._parts(found.queue)
            self.turns.took(pools, keys.pool, job_class, read_urgency(payload["headers"], time.time()).tokens)
        self.connection._deliver(payload, found.queue)
        return True

    def sweep(self, limit: int) -> None:
        """End leases that have run out; log each new dead letter and report it to `on_dead_letter`."""
        records = self.jobs.sweep(self.plain_client, lease_s=self.lease_s, limit=limit, max_deaths=self.max_deaths)
        for letter in map(wire.decode_dead, records):
            log.error("dead letter set aside job=%s deaths=%d worker=%s", letter.job_id, letter.deaths, letter.owner)
            self._tell(letter)

    def settle_on(self, pipe: Any, message: Any) -> None:
        """Queue on a pipeline the acknowledgement of a message of this channel.

        The pipeline is the caller's, since the channel may have lost its own connection.
        """
        tag = message.delivery_tag
        if tag in self.qos.jobs:
            self.jobs.settle(pipe, tag, (message.headers or {}).get("id"))
        else:
            pipe.zrem(self.global_keyprefix + self.unacked_index_key, tag)
            pipe.hdel(self.global_keyprefix + self.unacked_key, tag)

    def _tell(self, letter: DeadLetter) -> None:
        if self.on_dead_letter is None:
            return
        try:
            self.on_dead_letter(letter)
        except Exception:
            # The job is set aside in any case, and the callers of other dead letters must still hear of theirs.
            log.exception("dead letter not reported to its caller id=%s", letter.job_id)

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:
        """Consume as kombu does; jobs of a consumer that never acknowledges are acknowledged as they are taken."""
        if no_ack:
            self._unanswered.add(queue)
        else:
            self._unanswered.discard(queue)
        return super().basic_consume(queue, no_ack, *args, **kwargs)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """Get as kombu does; with `no_ack` a job is acknowledged as it is taken."""
        message = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if message is not None and no_ack and self._is_jobs(queue):
            self.qos.settle(message.delivery_tag)
        return message

    def close(self) -> None:
        """Close as kombu does, and also the connections on which jobs were given back."""
        super().close()
        self._disconnect_pools()

    def _is_jobs(self, queue: str) -> bool:
        return self._has_jobs and queue_parts(queue) is not None

    def _parts(self, queue: str) -> tuple[JobClass, Keys]:
        """Return the class of a queue of jobs, and the keys of its pool."""
        found = queue_parts(queue)
        assert found is not None
        job_class, pool = found
        return job_class, self.keys.of(pool)

    def _take(self, queues: list[str], before: float | None) -> Taken | None:
        return self.jobs.take(self.plain_client, queues, owner=self.owner, before=before, bulk_share=self.bulk_share)

    def _open(self, taken: Taken, settled: bool) -> dict[str, Any]:
        payload: dict[str, Any] = loads(taken.message.decode())
        again = taken.deliveries > 0
        payload["properties"]["delivery_info"]["redelivered"] = payload["headers"]["redelivered"] = again
        tag = payload["properties"]["delivery_tag"]
        self.qos.jobs.add(tag)
        if settled:
            self.qos.settle(tag)
        return payload

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if not self._is_jobs(queue):
            super()._put(queue, message, **kwargs)
            return
        urgency = read_urgency(message.get("headers") or {}, time.time())
        write_urgency(message, urgency)
        args = (queue, message["properties"]["delivery_tag"], dumps(message), urgency)
        if (batch := kwargs.get("_publish_batch")) is not None:
            batch.add("eval", *self.jobs.put_command(*args))
        else:
            self.jobs.put(self.plain_client, *args)

    def _brpop_read(self, **options: Any) -> bool:
        try:
            try:
                answer = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            return self._hear(answer)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _hear(self, answer: Any) -> bool:
        """Act on the answer to a BRPOP; raise Empty, as kombu expects, where nothing is delivered."""
        queue = ""
        if answer is not None:
            key, item = bytes_to_str(answer[0]), answer[1]
            queue = key.rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            if not self._is_jobs(queue):
                return self._deliver_other(key, queue, item)
            if item.startswith(b"{"):
                self._file(queue, item)
            elif not self._may_take():
                wakeups = f"{self.keys.prefix}{queue}"
                at_any_limit.write(self.plain_client, self.keys, lambda words: words.rpush(wakeups, item))
        # Also without an answer: the wake-up may have been lost with the consumer that popped it.
        if not self._may_take() or not self.take(woken=queue):
            raise Empty
        return True

    def _deliver_other(self, key: str, queue: str, item: bytes) -> bool:
        if self.job_queues and not self._may_take():
            # One BRPOP asks for this queue and for wake-ups, which must not be held back. At its old end of the list
            # the message is next again.
            with self.conn_or_acquire() as client:
                client.rpush(key, item)
            raise Empty
        self.connection._deliver(loads(bytes_to_str(item)), queue)
        return True

    def _may_take(self) -> bool:
        return not self._closing and bool(self.qos.can_consume())

    def _file(self, queue: str, item: bytes) -> None:
        """Put a plain Celery sender's message in its place, as if it had been sent through this transport."""
        try:
            message = loads(item.decode())
            # Taking the job opens this field: a message without it must fail here, not there.
            dict(message["properties"]["delivery_info"])
            urgency = read_urgency(message.get("headers") or {}, time.time())
            write_urgency(message, urgency)
            tag = message["properties"]["delivery_tag"]
            self.jobs.file(self.plain_client, queue, tag, dumps(message), urgency)
        except (ValueError, KeyError, TypeError) as error:
            log.error("unreadable message dropped queue=%s bytes=%d error=%r", queue, len(item), error)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Bind as kombu does, on a full server too: a worker must be able to start there and drain it."""
        if not self._is_jobs(queue):
            super()._queue_bind(exchange, routing_key, pattern, queue)
            return
        if pool_of_queue(queue):
            # Pools come and go, and nobody sends to their queues through an exchange.
            return
        member = self.sep.join([routing_key or "", pattern or "", queue])
        tables = [prefix % (exchange,) for prefix in (self.keyprefix_queue, self.keyprefix_binding_permanent)]

        def fill(words: Any) -> None:
            for table in tables:
                words.sadd(f"{self.global_keyprefix}{table}", member)

        at_any_limit.write(self.plain_client, self.keys, fill)

    @cached_property
    def _refresh_binding(self) -> Any:
        # The first write needs no memory, so that the others are not refused at the server's memory limit.
        return self._create_client().register_script("redis.call('SREM', KEYS[1], '')" + redis.REFRESH_BINDING)

    def _refresh_bindings(self, queues: list[str]) -> None:
        # Only broadcasts have such bindings, and are delivered without them; the next refresh may find room.
        with suppress(OutOfMemoryError):
            super()._refresh_bindings(queues)

    def _get(self, queue: str) -> dict[str, Any]:
        if not self._is_jobs(queue):
            found: dict[str, Any] = super()._get(queue)
            return found
        if (taken := self._take([queue], None)) is None:
            raise Empty
        return self._open(taken, settled=False)

    def _restore(self, message: Any, leftmost: bool = False) -> None:
        if message.delivery_tag in self.qos.jobs:
            self.qos.give_back([message.delivery_tag])
        else:
            super()._restore(message, leftmost)

    def _size(self, queue: str) -> int:
        is_jobs = self._is_jobs(queue)
        if not is_jobs:
            # kombu asks in a transaction, which a full server refuses whatever is in it.
            with suppress(OutOfMemoryError):
                return int(super()._size(queue))
        pipe = self.plain_client.pipeline(transaction=False)
        for priority in self.priority_steps:
            pipe.llen(f"{self.global_keyprefix}{self._q_for_pri(queue, priority)}")
        if not is_jobs:
            return sum(pipe.execute())
        # The list of wake-ups also holds plain Celery senders' messages, and lacks those that a consumer has popped
        # without having taken the job yet.
        job_class, keys = self._parts(queue)
        pipe.hlen(keys.waiting(job_class))
        *wakeups, waiting = pipe.execute()
        return int(max(sum(wakeups), waiting))

    @property
    def connection_class(self) -> Any:
        """What kombu makes connections of."""
        return CONNECTIONS["redis+sentinel" if "sentinels" in self.connection_options else "redis"]

    @property
    def connection_class_ssl(self) -> Any:
        """What kombu makes connections over TLS of."""
        return CONNECTIONS["rediss+sentinel" if "sentinels" in self.connection_options else "rediss"]

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        return {**super()._connparams(asynchronous), **SILENT, **self.connection_options}

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return self._size(queue) > 0 if self._is_jobs(queue) else bool(super()._has_queue(queue, **kwargs))

    def _purge(self, queue: str) -> int:
        if not self._is_jobs(queue):
            return int(super()._purge(queue))
        # Plain Celery senders' messages with a priority lie in lists of their own until they are popped.
        return self.jobs.purge(self.plain_client, queue) + int(super()._purge(queue))

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        if self._is_jobs(queue):
            self._purge(queue)
        super()._delete(queue, *args, **kwargs)


class FleetTransport(redis.Transport):  # type: ignore[misc]
    """kombu's Redis transport with FleetChannel."""

    Channel = FleetChannel
    driver_name = "rerank"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = FleetPoller()
