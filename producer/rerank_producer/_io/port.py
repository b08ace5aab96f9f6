"""What a request's flow needs of the outside world. The flow is written once, as coroutines over a `Port`.

A `BlockingPort` blocks the calling thread and never suspends, so `drive` runs the flow to its end without an event
loop; an `AsyncPort` suspends. All methods raise QueueUnavailable when the server is away.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from rerank_producer._io.enqueue import Enqueue
from rerank_producer._io.pending import Waiter
from rerank_shared.contract.messages import Score
from rerank_shared.errors import InternalError

T = TypeVar("T")

#: A healthy server answers a command in a millisecond; a caller would rather know than wait longer than this.
TIMEOUT_S = 1.0


class Port(Protocol):
    """Redis, the queue and the reply channel, as one client in one process (or event loop) sees them."""

    @property
    def reply_to(self) -> str:
        """The channel on which this client hears of its jobs."""

    async def lookup(
        self, digests: Sequence[bytes], fill: Callable[[Any], None]
    ) -> tuple[list[Score | None], list[Any]]:
        """Return the cached score of each digest, counted as hits and misses, and the answers to the commands that
        `fill` queues; one round trip."""

    async def pipeline(self, fill: Callable[[Any], None]) -> list[Any]:
        """Return the answers to the commands that `fill` queues; one round trip."""

    async def enqueue(self, enqueue: Enqueue) -> None:
        """Put jobs on the queue, all or none; one round trip."""

    async def listen(self, job_ids: Sequence[str], channels: Mapping[str, str] | None = None) -> list[Waiter]:
        """Return waiters that hear of jobs from now on, also on a channel of its own where `channels` names one; they
        share one signal. They must be forgotten in the end."""

    async def wait(self, waiter: Waiter, wait_s: float) -> None:
        """Return when something has happened to `waiter`, or after that time."""

    def forget(self, waiters: Sequence[Waiter]) -> None:
        """Stop hearing of their jobs."""

    async def revoke(self, job_id: str) -> None:
        """Tell all workers to drop a job."""

    def withdraw_soon(self, job_ids: Sequence[str], fill: Callable[[Any], None]) -> None:
        """Do the same in the background for jobs that may not have been enqueued, and run the commands that `fill`
        queues, for a caller that is being cancelled."""


def drive(flow: Coroutine[Any, Any, T]) -> T:
    """Run a flow over a port that never suspends, and return its result."""
    try:
        flow.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    flow.close()
    raise InternalError("a blocking port suspended its flow")
