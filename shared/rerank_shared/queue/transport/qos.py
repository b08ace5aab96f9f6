"""The QoS of a channel: the messages that it holds. A job is on record once it is taken, so only its end is written.

Messages of queues that are not the fleet's are handled and recorded by kombu.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import OutOfMemoryError

from rerank_shared.redis import at_any_limit


class SettledTags:
    """Delivery tags of jobs that were acknowledged with their outcomes, until Celery acknowledges them too.

    Any thread may add one.
    """

    def __init__(self) -> None:
        self._tags: set[str] = set()

    def add(self, tag: str) -> None:
        """Record that a job was acknowledged with its outcome."""
        self._tags.add(tag)

    def take(self, tag: str) -> bool:
        """Return whether a job was acknowledged with its outcome, and forget it: it is acknowledged only once more."""
        try:
            self._tags.remove(tag)
        except KeyError:
            return False
        return True


class JobQoS(virtual.QoS):  # type: ignore[misc]
    """Records the jobs that one channel holds, and no other messages: for `ack_emulation=False`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Delivery tags of the jobs that it holds. Any thread may acknowledge.
        self.jobs: set[str] = set()

    def append(self, message: Any, delivery_tag: str) -> None:
        """Record a message as delivered."""
        if delivery_tag in self.jobs:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message: remove it from the records of channel and broker."""
        if delivery_tag in self.jobs:
            self.settle(delivery_tag)
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Remove a message from the records; with `requeue` it waits again, in its old place."""
        if delivery_tag not in self.jobs:
            super().reject(delivery_tag, requeue=requeue)
            return
        if requeue:
            self.give_back([delivery_tag])
        else:
            self.settle(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def restore_unacked(self, *client: Any) -> Any:
        """Let everything that this channel holds wait again; the jobs in one step."""
        self._flush()
        if jobs := self.jobs & self._delivered.keys():
            self.give_back(jobs)
            for tag in jobs:
                self._delivered.pop(tag, None)
        return super().restore_unacked(*client)

    def settle(self, tag: str) -> None:
        """Acknowledge a job and delete its deaths, unless that was done with its outcome."""
        if not self.channel.settled.take(tag):
            message = self._delivered.get(tag)
            again = message is not None and (message.delivery_info or {}).get("redelivered")
            channel, job_id = self.channel, _job_id(message, tag) if again else None
            # Not a transaction: a full server refuses one whatever is in it.
            at_any_limit.write(channel.plain_client, channel.keys, lambda pipe: channel.jobs.settle(pipe, tag, job_id))
        self.jobs.discard(tag)

    def give_back(self, tags: Iterable[str]) -> None:
        """Let jobs wait again, in one step."""
        tags = tuple(tags)
        self.channel.jobs.give_back(self.channel.plain_client, tags)
        self.jobs.difference_update(tags)


class FleetQoS(JobQoS, redis.QoS):  # type: ignore[misc]
    """Records jobs, and as kombu does the unacknowledged messages of other queues."""

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 10) -> None:
        """End leases of any worker that have run out, where jobs are consumed; do as kombu does for other queues.

        Called about once a second; kombu acts on each `interval`-th call.
        """
        jobs = len(self.channel.job_queues)
        if jobs:
            self.channel.sweep(num or 100)
        if not jobs or len(self.channel.active_queues) > jobs:
            # kombu writes a lock first, which a full server refuses; a later call may find room.
            with suppress(OutOfMemoryError):
                super().restore_visible(start=start, num=num, interval=interval)


def _job_id(message: Any, tag: str) -> str:
    found = (message.headers or {}).get("id")
    return found if isinstance(found, str) else tag
