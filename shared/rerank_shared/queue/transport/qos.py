"""What a channel holds. A job is on record from the moment it is taken, so only its end is written here.

Messages of queues that are not the fleet's go kombu's way, in kombu's books.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import OutOfMemoryError

from rerank_shared.queue.leases import settle
from rerank_shared.redis import at_any_limit


class SettledTags:
    """Delivery tags of jobs that left the broker's books with their outcomes, until Celery acknowledges them too.

    Any thread may add one.
    """

    def __init__(self) -> None:
        self._tags: set[str] = set()

    def add(self, tag: str) -> None:
        """Note that a job was acknowledged with its outcome."""
        self._tags.add(tag)

    def take(self, tag: str) -> bool:
        """Return whether a job was acknowledged with its outcome, and forget it: it is acknowledged only once more."""
        try:
            self._tags.remove(tag)
        except KeyError:
            return False
        return True


class JobQoS(virtual.QoS):  # type: ignore[misc]
    """Keeps the books of the jobs that one channel holds, and none of other messages: `ack_emulation=False`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Delivery tags of the jobs in hand. Any thread may acknowledge.
        self.jobs: set[str] = set()

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message as delivered."""
        if delivery_tag in self.jobs:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Remove a message from the books of channel and broker."""
        if delivery_tag in self.jobs:
            self.settle(delivery_tag)
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Remove a message from the books; with `requeue` it waits again, where it was."""
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
        """Remove a job from the broker's books, and its deaths, unless that was done with its outcome."""
        if not self.channel.settled.take(tag):
            message = self._delivered.get(tag)
            again = message is not None and (message.delivery_info or {}).get("redelivered")
            keys, job_id = self.channel.keys, _job_id(message, tag) if again else None
            # Not a transaction, which a full server refuses whatever is in it.
            at_any_limit.write(self.channel.plain_client, keys, lambda pipe: settle(pipe, keys, tag, job_id))
        self.jobs.discard(tag)

    def give_back(self, tags: Iterable[str]) -> None:
        """Let jobs wait again, in one step."""
        tags = tuple(tags)
        self.channel.scripts.give_back(self.channel.plain_client, tags)
        self.jobs.difference_update(tags)


class FleetQoS(JobQoS, redis.QoS):  # type: ignore[misc]
    """Keeps kombu's books as well, of the messages of other queues that are not acknowledged yet."""

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 10) -> None:
        """End leases that have run out, of any worker, where jobs are consumed; as kombu's where other queues are.

        Called about once a second; kombu looks at each `interval`-th call.
        """
        jobs = len(self.channel.consumed_classes)
        if jobs:
            self.channel.sweep(num or 100)
        if not jobs or len(self.channel.active_queues) > jobs:
            # kombu writes a lock first, which a full server refuses; there will be room again.
            with suppress(OutOfMemoryError):
                super().restore_visible(start=start, num=num, interval=interval)


def _job_id(message: Any, tag: str) -> str:
    found = (message.headers or {}).get("id")
    return found if isinstance(found, str) else tag
