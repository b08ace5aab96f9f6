"""The port: the request pipeline's view of Redis. The pipeline is written once, as coroutines over a `Port`.

A `BlockingPort` blocks the calling thread and never suspends, so `drive` runs a coroutine to its end without an event
loop. An `AsyncPort` suspends. All methods raise QueueUnavailable while the server is away.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from rerank_producer._io.enqueue import Enqueue
from rerank_producer._io.pending import Waiter
from rerank_shared.contract.messages import Score
from rerank_shared.errors import InternalError

T = TypeVar("T")

#: Longest wait for one command. A healthy server answers in a millisecond.
TIMEOUT_S = 1.0


class Port(Protocol):
    """Redis, the queue and the reply channel, as one client in one process (or event loop) sees them."""

    @property
    def reply_to(self) -> str:
        """The channel on which this client receives its answers."""

    async def lookup(
        self, digests: Sequence[bytes], fill: Callable[[Any], None]
    ) -> tuple[list[Score | None], list[Any]]:
        """Return the cached score of each digest, and the answers to the commands that `fill` queues; one round trip.

        The scores are counted as hits and misses.
        """

    async def pipeline(self, fill: Callable[[Any], None]) -> list[Any]:
        """Return the answers to the commands that `fill` queues; one round trip."""

    async def enqueue(self, enqueue: Enqueue) -> None:
        """Put jobs on the queue, all or none; one round trip."""

    async def listen(self, job_ids: Sequence[str], channels: Mapping[str, str] | None = None) -> list[Waiter]:
        """Return one waiter a job, which receives its answer from now on; `channels` names further channels by job id.

        The waiters share one signal. The caller must `forget` them in the end.
        """

    async def wait(self, waiter: Waiter, wait_s: float) -> None:
        """Return when the signal of `waiter` is set, or after `wait_s` seconds."""

    async def pause(self, pause_s: float) -> None:
        """Return after `pause_s` seconds, or sooner where the client is closed."""

    def forget(self, waiters: Sequence[Waiter]) -> None:
        """Stop receiving answers for these waiters."""

    async def revoke(self, job_id: str) -> None:
        """Tell all workers to drop a job."""

    def withdraw_soon(self, job_ids: Sequence[str], fill: Callable[[Any], None]) -> None:
        """Revoke jobs in the background, and run the commands that `fill` queues: for a caller that is being cancelled.

        The jobs may not have been enqueued.
        """


class ClosablePort(Port, Protocol):
    """The port of a sync client."""

    def close(self) -> None:
        """Close all connections."""


class Ports(Protocol):
    """The ports of an asyncio client in one process."""

    def port(self) -> Port:
        """Return the running event loop's port."""

    async def aclose(self) -> None:
        """Close the running loop's port, and the resources that all loops share."""


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine over a port that never suspends, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise InternalError("a blocking port suspended")
