"""Batches of one gateway process: its stores, and the task that looks for batches which nobody carries out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.bulk.committed.lock import locked
from rerank_producer.gateway.auth.keyring import Keyring
from rerank_producer.gateway.auth.token_bucket import TokenBuckets
from rerank_producer.gateway.batches.batch_store import BatchStore
from rerank_producer.gateway.batches.carrying import Carrier, Models
from rerank_producer.gateway.batches.disk import make_directory
from rerank_producer.gateway.batches.file_store import FileStore
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.errors import ConfigurationError, OutputInUse, RerankError
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")
#: How often work is looked for, and what is too old.
_LOOK_S = 2.0
_SWEEP_S = 600.0
#: A batch that could not go on is left alone for so long.
_PAUSE_S = 5.0
#: Threads beside those of the batches that run: for records, and for batches that only have to end.
_MORE_THREADS = 8


class Batches:
    """Made before the event loop runs, started in it."""

    def __init__(
        self,
        directory: str,
        fleet: Settings,
        settings: GatewaySettings,
        client: AsyncRerankClient,
        models: Models,
        buckets: TokenBuckets,
        keyring: Keyring | None,
    ) -> None:
        """Raises ConfigurationError for a directory that can't be used."""
        self.root = Path(directory).absolute()
        try:
            for name in ("files", "batches", "open", "slots"):
                make_directory(self.root / name)
        except OSError as error:
            raise ConfigurationError(
                f"RERANK_GATEWAY_BATCH_DIR: {self.root} can't be used: {error.strerror or error}"
            ) from None
        self.settings = settings
        self.files = FileStore(self.root, settings.batch_stored_bytes, settings.batch_files)
        self.batches = BatchStore(self.root, settings.batch_open)
        self._thread = ThreadPoolExecutor(settings.batch_running * 2 + _MORE_THREADS, "batches")
        self._carrier = Carrier(
            self.files, self.batches, fleet, settings, client, models, buckets, keyring, self._thread
        )
        self._shut_down, self._news = asyncio.Event(), asyncio.Event()
        self._carried: dict[str, asyncio.Task[None]] = {}
        self._paused_until: dict[str, float] = {}
        self._swept_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for batches."""
        self._looking = asyncio.get_running_loop().create_task(self._look_for_work())

    def look(self) -> None:
        """Look at once: something is new."""
        self._news.set()

    def stop(self) -> None:
        """Let go of all batches, so that another process goes on with them."""
        self._shut_down.set()
        self._news.set()

    async def aclose(self) -> None:
        """Return when nothing is carried out any more."""
        self.stop()
        if self._looking is not None:
            await asyncio.wait({self._looking})
        if self._carried:
            await asyncio.wait(set(self._carried.values()))
        self._thread.shutdown()

    async def blocking(self, work: Callable[..., T], *args: object) -> T:
        """Return what `work` returns, done in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    async def _look_for_work(self) -> None:
        while not self._shut_down.is_set():
            self._news.clear()
            try:
                await self._take_up()
                if time.monotonic() - self._swept_at > _SWEEP_S:
                    self._swept_at = time.monotonic()
                    await self.blocking(self._sweep)
            except OSError as error:
                log.warning("batches can't be looked for dir=%s error=%s", self.root, error)
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _take_up(self) -> None:
        now = time.monotonic()
        for owner, batch_id in await self.blocking(self.batches.unended):
            if batch_id in self._carried or self._paused_until.get(batch_id, now) > now or self._shut_down.is_set():
                continue
            with ExitStack() as stack:
                if not await self.blocking(self._locks, stack, owner, batch_id):
                    continue
                task = asyncio.get_running_loop().create_task(self._carry_out(owner, batch_id, stack.pop_all()))
                self._carried[batch_id] = task

    def _locks(self, stack: ExitStack, owner: str, batch_id: str) -> bool:
        """Take a batch's lock, and a place among those that run unless it has only to end."""
        try:
            stack.enter_context(locked(self.batches.lock(owner, batch_id)))
        except OutputInUse:
            return False
        except FileNotFoundError:
            # It was killed while it was being made, or removed by hand.
            self.batches.forget(owner, batch_id)
            return False
        record = self.batches.find(owner, batch_id)
        if record is None or record.ending or record.ended or self.batches.clock() >= record.expires_at:
            return True
        if self.batches.cancel_asked_at(owner, batch_id) is not None:
            return True
        for slot in range(self.settings.batch_running):
            try:
                stack.enter_context(locked(self.root / "slots" / str(slot)))
            except OutputInUse:
                continue
            return True
        stack.close()
        return False

    async def _carry_out(self, owner: str, batch_id: str, locks: ExitStack) -> None:
        try:
            await self._carrier.carry_out(owner, batch_id, self._shut_down)
            self._paused_until.pop(batch_id, None)
        except Exception as error:
            known = isinstance(error, RerankError | OSError)
            log.log(
                logging.WARNING if known else logging.ERROR,
                "a batch can't go on now id=%s error=%s",
                batch_id,
                error,
                exc_info=None if known else error,
            )
            self._paused_until[batch_id] = time.monotonic() + _PAUSE_S
        finally:
            locks.close()
            del self._carried[batch_id]
            self._news.set()

    def _sweep(self) -> None:
        self.files.sweep()
        self.batches.sweep(self.settings.batch_keep_s)
