"""Carries one batch out, from its first check to its last file, in the process that holds its lock.

It is checked, then scored by a bulk run in a thread with an event loop of its own, so that the gateway goes on serving.
What ends it from outside (cancelled, expired, its input or key gone) is looked for all the while.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.apis.common.problems import Refused
from rerank_producer.bulk.bulk_run import carry_out
from rerank_producer.bulk.spec import BulkSpec
from rerank_producer.gateway.auth.keyring import ApiKey, Keyring
from rerank_producer.gateway.auth.token_bucket import TokenBuckets
from rerank_producer.gateway.batches.batch_store import BatchStore
from rerank_producer.gateway.batches.checking import Expected, check
from rerank_producer.gateway.batches.ending import EndingWriter
from rerank_producer.gateway.batches.file_store import FileStore
from rerank_producer.gateway.batches.ids import NOBODYS
from rerank_producer.gateway.batches.records import BatchRecord, Ending, Mistake
from rerank_producer.gateway.batches.rows import BatchRows
from rerank_producer.gateway.batches.stopping import Stop, Stopped
from rerank_producer.gateway.models.resolver import ResolvedModel
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.errors import InputRefused, InvalidRequest, QueueUnavailable, RerankError, RunDiffers, UnknownModel
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")
#: How often what ends a batch from outside is looked for.
_LOOK_S = 0.5
#: How often a fleet that is away is asked again, and a key's bucket that is empty, at most.
_AGAIN_S = 1.0
_LONGEST_PACE_S = 5.0


class Models(Protocol):
    """Names of models; see ModelDirectory."""

    async def names(self) -> object: ...
    async def resolve(self, name: str | None, key: ApiKey | None = None) -> ResolvedModel: ...


class MustFail(Exception):
    """The batch fails, for these reasons."""

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__(mistakes[0].message)
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Carrier:
    """Carries out batches of one gateway process; `thread` runs what blocks."""

    files: FileStore
    batches: BatchStore
    fleet: Settings
    settings: GatewaySettings
    client: AsyncRerankClient
    models: Models
    buckets: TokenBuckets
    keyring: Keyring | None
    thread: Executor

    async def carry_out(self, owner: str, batch_id: str, shut_down: asyncio.Event) -> None:
        """Carry a batch out whose lock is held, as far as it goes. Raises what can pass: outages, OSError.

        Returns early where this process is shut down; the next one goes on.
        """
        record = await self._blocking(self.batches.find, owner, batch_id)
        if record is None:
            await self._blocking(self.batches.forget, owner, batch_id)
            return
        if record.ended:
            await self._blocking(self.batches.close, record)
            return
        if record.ending is None:
            record = await self._to_its_ending(record, shut_down)
        if record is not None:
            await self._blocking(self._ends.finish, record)
            log.info("batch ended id=%s status=%s", record.id, record.ending)

    @property
    def _ends(self) -> EndingWriter:
        return EndingWriter(self.files, self.batches)

    async def _to_its_ending(self, record: BatchRecord, shut_down: asyncio.Event) -> BatchRecord | None:
        """Check and score a batch until it is about to end; None where this process is shut down first."""
        stop, reason = Stop(), await self._reason(record)
        if reason is None:
            work = asyncio.ensure_future(self._work(record, stop))
            try:
                while not work.done() and reason is None and not shut_down.is_set():
                    await asyncio.wait({work}, timeout=_LOOK_S)
                    reason = None if work.done() else await self._reason(record)
            finally:
                stop.say()
                await asyncio.wait({work})
            try:
                return await self._begin(work.result(), "completed")
            except MustFail as failure:
                reason = reason or ("failed", failure.mistakes)
            except Stopped:
                if reason is None:
                    return None
            except (RerankError, OSError):
                # An outage, which would pass. What ends a batch does not wait for that.
                if reason is None:
                    raise
        latest = await self._blocking(self.batches.find, record.owner, record.id)
        return await self._begin(latest or record, *reason)

    async def _begin(self, record: BatchRecord, ending: Ending, mistakes: tuple[Mistake, ...] = ()) -> BatchRecord:
        return await self._blocking(self._ends.begin, record, ending, mistakes)

    async def _reason(self, record: BatchRecord) -> tuple[Ending, tuple[Mistake, ...]] | None:
        """Return what ends a batch from outside, if anything does."""
        if await self._blocking(self.batches.cancel_asked_at, record.owner, record.id) is not None:
            return "cancelled", ()
        if self.batches.clock() >= record.expires_at:
            return "expired", ()
        if await self._blocking(self.files.find, record.owner, record.input_file_id) is None:
            message = f"the input file {record.input_file_id} was removed before the batch had ended"
            return "failed", (Mistake(code="input_file_gone", message=message, param="input_file_id"),)
        if record.owner != NOBODYS and self.keyring is not None and self._key(record.owner) is None:
            message = "the API key that made the batch was revoked, or has expired"
            return "failed", (Mistake(code="key_revoked", message=message),)
        return None

    def _key(self, owner: str) -> ApiKey | None:
        return None if self.keyring is None else self.keyring.get(owner)

    async def _work(self, record: BatchRecord, stop: Stop) -> BatchRecord:
        if record.status == "validating":
            record = await self._checked(record, stop)
            await self._blocking(self.batches.save, record)
        await self._scored(record, stop)
        return record

    async def _checked(self, record: BatchRecord, stop: Stop) -> BatchRecord:
        """Return the batch in progress. Raises MustFail, Stopped."""
        expected = Expected(record.endpoint, self.settings.batch_lines, record.terms.line_bytes)
        path = self.files.content(record.owner, record.input_file_id)
        checked = await self._blocking(check, path, expected, stop)
        if checked.mistakes:
            raise MustFail(*checked.mistakes)
        meant = await self._models_of(checked.names, self._key(record.owner), stop)
        model = next(iter(meant.values())).model
        max_length = (await self.client.model_info(model)).max_length
        now = int(self.batches.clock())
        update = {"status": "in_progress", "in_progress_at": now, "total": checked.total}
        return record.model_copy(update=update | {"model": model, "max_length": max_length})

    async def _models_of(
        self, names: dict[str, int], key: ApiKey | None, stop: Stop
    ) -> dict[str | None, ResolvedModel]:
        """Return what the names in a batch mean; wait for a fleet that is away, or has announced no model yet.

        Raises MustFail, Stopped.
        """
        while True:
            try:
                if await self.models.names():
                    break
            except QueueUnavailable as error:
                log.info("a batch waits for the fleet error=%s", error.message)
            await stop.sleep(_AGAIN_S)
        meant: dict[str | None, ResolvedModel] = {}
        for name, line in names.items() or [(None, None)]:
            try:
                meant[name] = await self.models.resolve(name, key)
            except Refused as refused:
                problem = refused.problem
                mistake = Mistake(code=problem.code, message=problem.message, line=line, param="body.model")
                raise MustFail(mistake) from None
            except UnknownModel as error:
                mistake = Mistake(code="model_not_found", message=error.message, line=line, param="body.model")
                raise MustFail(mistake) from None
            if len({each.model for each in meant.values()}) > 1:
                message = "body.model: another model than on the lines before; one batch has one model"
                raise MustFail(Mistake(code="mismatched_model", message=message, line=line, param="body.model"))
        return meant

    async def _scored(self, record: BatchRecord, stop: Stop) -> None:
        """Score a batch to its end. Raises MustFail, Stopped, and what can pass."""
        rows = BatchRows(
            self.files.content(record.owner, record.input_file_id),
            record.terms,
            self.fleet,
            record.max_length,
            self._pace(record.owner, stop),
        )
        spec = BulkSpec(
            rows,
            self.batches.output(record.owner, record.id),
            failed=self.batches.errors(record.owner, record.id),
        )
        fleet = self.fleet.model_copy(update={"model": record.model})

        def tell(sentence: str) -> None:
            log.info("a batch waits id=%s for=%s", record.id, sentence)

        def in_thread() -> None:
            stop.run(carry_out(spec, settings=fleet, tell=tell))

        try:
            await self._blocking(in_thread)
        except FileNotFoundError as error:
            message = f"the input file {record.input_file_id} was removed before the batch had ended"
            raise MustFail(Mistake(code="input_file_gone", message=message, param="input_file_id")) from error
        except (RunDiffers, InputRefused, InvalidRequest) as error:
            if isinstance(error, UnknownModel):
                raise
            log.warning("a batch fails id=%s error=%s", record.id, error)
            raise MustFail(Mistake(code=error.code, message=_told(error))) from error

    def _pace(self, owner: str, stop: Stop) -> Callable[[int], object]:
        """Return what waits, in a thread, until the key's bucket has so many tokens, and takes them."""
        loop = asyncio.get_running_loop()

        async def take(tokens: int) -> None:
            key = self._key(owner)
            if key is not None and key.tokens_per_s is not None:
                await self.buckets.take(key, tokens)

        def pace(tokens: int) -> None:
            while True:
                stop.check()
                try:
                    return asyncio.run_coroutine_threadsafe(take(tokens), loop).result()
                except Refused as refused:
                    stop.wait(min(_LONGEST_PACE_S, refused.problem.retry_after_s or _AGAIN_S))
                except QueueUnavailable:
                    stop.wait(_AGAIN_S)

        return pace

    async def _blocking(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.thread, work, *args)


def _told(error: RunDiffers | InputRefused | InvalidRequest) -> str:
    """Return what the caller reads. What names paths of this machine is for the log alone."""
    if isinstance(error, RunDiffers):
        return "the fleet no longer serves the model that the batch was begun with; make the batch again"
    if isinstance(error, InputRefused):
        return "the input file can't be read as lines; upload it again"
    return error.message
