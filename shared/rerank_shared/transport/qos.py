"""What a channel holds. A job is on record from the moment it is taken, so only its end is written here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kombu.transport import redis, virtual

from rerank_shared import at_any_limit
from rerank_shared.transport.leases import settle


class FleetQoS(redis.QoS):  # type: ignore[misc]
    """Keeps the books of one channel. Messages of queues that are not the fleet's stay kombu's affair."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message as delivered; only one that was not taken by script is written to the broker's books."""
        if delivery_tag in self.channel.taken:
            self.channel.taken.discard(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Remove a message from the books of channel and broker."""
        self.settle(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Remove a message from the books; with `requeue` it waits again, where it was."""
        if requeue:
            self.restore_by_tag(delivery_tag)
        else:
            self.settle(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """Let a message wait again."""
        self._restore((tag,), client, leftmost)

    def restore_unacked(self, client: Any = None) -> None:
        """Let everything that this channel holds wait again, in one step."""
        self._flush()
        if self._delivered:
            self._restore(tuple(self._delivered), client)
        self._delivered.clear()

    def restore_visible(self, start: int = 0, num: int | None = None, interval: int = 1) -> None:
        """End leases that have run out, of any worker; called about once a second."""
        self._vrestore_count += 1
        if (self._vrestore_count - 1) % (interval or 1) == 0:
            for tag in self.channel.sweep(num or 100):
                super().restore_by_tag(tag)

    def _restore(self, tags: Iterable[str], client: Any, leftmost: bool = False) -> None:
        for tag in self.channel.scripts.give_back(self.channel.plain_client, tags):
            super().restore_by_tag(tag, client, leftmost)

    def settle(self, tag: str) -> None:
        """Remove a message from the broker's books, and its deaths, unless that was done with its job's outcome."""
        if tag in self.channel.settled:
            self.channel.settled.discard(tag)
            return
        message = self._delivered.get(tag)
        again = message is not None and (message.delivery_info or {}).get("redelivered")
        keys, job_id = self.channel.keys, _job_id(message, tag) if again else None
        # Not a transaction, which a full server refuses whatever is in it.
        at_any_limit.write(self.channel.plain_client, keys, lambda pipe: settle(pipe, keys, tag, job_id))


def _job_id(message: Any, tag: str) -> str:
    found = (message.headers or {}).get("id")
    return found if isinstance(found, str) else tag
