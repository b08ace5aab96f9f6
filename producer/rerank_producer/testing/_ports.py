"""Ports of the in-memory fleet for the real clients. Neither blocks: a wait moves the fleet's clock."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rerank_producer import metrics
from rerank_producer._io.enqueue import Enqueue
from rerank_producer._io.pending import Pending, Waiter
from rerank_producer.testing._jobs import SentJob, StoredFeedback, decoded
from rerank_producer.testing._server import Server
from rerank_producer.testing._workers import Workers
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Job, Score
from rerank_shared.queue.backlog import backlog_key, backlog_member
from rerank_shared.queue.job_queue import StoredValue
from rerank_shared.queue.lifetimes import keep


class InMemoryPort:
    """The port of a sync client: it never suspends. `sent` is called with each job."""

    def __init__(self, server: Server, workers: Workers, sent: Callable[[SentJob], None]) -> None:
        self._server, self._workers, self._sent = server, workers, sent
        self._pending = Pending()
        self.reply_to = server.keys.reply(uuid.uuid4().hex)
        with server.lock:
            server.listeners.append(self._pending)

    async def lookup(
        self, digests: Sequence[bytes], fill: Callable[[Any], None]
    ) -> tuple[list[Score | None], list[Any]]:
        await self._let_others_run()
        with self._server.lock:
            answers = self._server.ask(fill, "looking scores up")
            return self._server.lookup(list(digests)), answers

    async def pipeline(self, fill: Callable[[Any], None]) -> list[Any]:
        await self._let_others_run()
        with self._server.lock:
            return self._server.ask(fill, "handling a request")

    async def enqueue(self, enqueue: Enqueue) -> None:
        await self._let_others_run()
        with self._server.lock:
            self._server.ask(lambda pipe: self._write(pipe, enqueue), f"enqueuing job {enqueue.jobs[0].job_id}")
            for job in enqueue.jobs:
                # Encoded and decoded, so that a job which can't be sent fails here too.
                self._put(wire.decode_job(wire.encode_job(job)))
            self._workers.take()
            self._server.timeline.run_until(self._server.timeline.monotonic())

    async def listen(self, job_ids: Sequence[str], channels: Mapping[str, str] | None = None) -> list[Waiter]:
        await self._let_others_run()
        with self._server.lock:
            if channels:
                self._server.refuse_if_away("handling a request")
            signal = threading.Event()
            waiters = [Waiter(job_id, signal, (channels or {}).get(job_id)) for job_id in job_ids]
            for waiter in waiters:
                self._pending.add(waiter)
            return waiters

    async def wait(self, waiter: Waiter, wait_s: float) -> None:
        await self._let_others_run()
        with self._server.lock:
            timeline = self._server.timeline
            timeline.run_until(timeline.monotonic() + wait_s, waiter.signal.is_set)
            waiter.signal.clear()

    async def pause(self, pause_s: float) -> None:
        await self._let_others_run()
        with self._server.lock:
            timeline = self._server.timeline
            timeline.run_until(timeline.monotonic() + pause_s)

    def forget(self, waiters: Sequence[Waiter]) -> None:
        for waiter in waiters:
            self._pending.remove(waiter)

    async def revoke(self, job_id: str) -> None:
        await self._let_others_run()
        with self._server.lock:
            self._server.refuse_if_away(f"cancelling job {job_id}")
            self._workers.drop({job_id})

    def withdraw_soon(self, job_ids: Sequence[str], fill: Callable[[Any], None]) -> None:
        with self._server.lock:
            if self._server.away is None:
                self._workers.drop(set(job_ids))
                self._server.run(fill)

    def close(self) -> None:
        """Stop listening."""
        with self._server.lock:
            if self._pending in self._server.listeners:
                self._server.listeners.remove(self._pending)

    async def _let_others_run(self) -> None:
        pass

    def _put(self, job: Job) -> None:
        documents = decoded(job, self._server.text(job))
        self._workers.put(job)
        self._sent(SentJob.of(job, documents or ()))

    def _write(self, pipe: Any, enqueue: Enqueue) -> None:
        keys = self._server.keys
        for job in enqueue.jobs:
            pipe.zadd(backlog_key(keys, job), {backlog_member(job): job.deadline_at})
        for each in enqueue.values:
            self._keep(pipe, each)
        if enqueue.forgotten:
            pipe.unlink(*enqueue.forgotten)

    def _keep(self, pipe: Any, kept: StoredValue) -> None:
        life_s = kept.life_ms / 1000
        if not kept.claim:
            name = kept.key if isinstance(kept.key, str) else kept.key.decode()
            keep(pipe, self._server.keys, name, kept.value, self._server.timeline.epoch() + life_s)
        elif self._server.store.read(kept.key) is None:
            pipe.set(kept.key, kept.value, ex=life_s)


class InMemoryOutbox:
    """The outbox of a client: it writes at once, and loses what finds the server away."""

    def __init__(self, server: Server, stored: Callable[[StoredFeedback], None]) -> None:
        self._server, self._stored = server, stored

    def put(self, record: bytes) -> bool:
        with self._server.lock:
            if self._server.away is None:
                self._stored(StoredFeedback.of(wire.decode_feedback(record)))
            metrics.FEEDBACK.labels("stored" if self._server.away is None else "lost").inc()
        return True

    def close(self) -> None:
        pass


class AsyncInMemoryPort(InMemoryPort):
    """The port of an asyncio client: other tasks run wherever a real port would wait for the server."""

    async def _let_others_run(self) -> None:
        await asyncio.sleep(0)


class AsyncInMemoryPorts:
    """The ports of an asyncio client: one port serves all event loops, since it belongs to none."""

    def __init__(self, port: AsyncInMemoryPort) -> None:
        self._port = port

    def port(self) -> AsyncInMemoryPort:
        """Return the port."""
        return self._port

    async def aclose(self) -> None:
        """Close it."""
        self._port.close()
