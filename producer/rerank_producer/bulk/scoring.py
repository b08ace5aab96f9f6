"""The rows of a run, from the reader through the fleet to the disk: each chunk is committed when all before it are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from rerank_producer.bulk.answers import canonical
from rerank_producer.bulk.asking.fleet import PatientFleet
from rerank_producer.bulk.asking.stream import Answer, Stream
from rerank_producer.bulk.asking.window import Window
from rerank_producer.bulk.beginning import Fixed
from rerank_producer.bulk.committed.chunking import KeptChunk
from rerank_producer.bulk.committed.committed_run import CommittedRun
from rerank_producer.bulk.committed.journal import ChunkCounts
from rerank_producer.bulk.committed.sinks import Sink
from rerank_producer.bulk.files.sources import compressor
from rerank_producer.bulk.formats.rows import Answered, Row, RowChunk
from rerank_producer.bulk.iterating import read_in_thread
from rerank_producer.bulk.progress import Progress
from rerank_producer.bulk.spec import BulkSpec
from rerank_shared.contract.schemas import RerankRequest, RerankResponse
from rerank_shared.errors import InputRefused, InvalidRequest, RerankError, RunDiffers

Chunk = RowChunk | KeptChunk


@dataclass(frozen=True, slots=True)
class _Further:
    """A request of the row before, beyond its first."""

    request: RerankRequest


_Item = Row | _Further | Chunk
#: The answer of an item that asks nothing.
_NOTHING_ASKED = RerankError("nothing was asked")


@dataclass(slots=True)
class Scoring:
    """Scores chunks and commits them to a sink, in order."""

    spec: BulkSpec
    fixed: Fixed
    fleet: PatientFleet
    progress: Progress
    sink: Sink
    _answered: list[Answered] = field(default_factory=list)
    _counts: ChunkCounts = field(default_factory=ChunkCounts)
    _pack: Callable[[bytes], bytes] = bytes

    async def all(self, chunks: Iterator[Chunk]) -> None:
        """Score all chunks. Raises InputRefused, RunDiffers, OutputInUse, FleetGone, OSError."""
        self.progress.stage = "scoring"
        if self.spec.output is not None and self.spec.format.appends:
            self._pack = compressor(self.spec.output)
        stream = Stream[_Item](self.fleet, self._request_of, Window(self.spec.most_requests))
        async with aclosing(_items(chunks)) as items, aclosing(stream.answers(items)) as answers:
            async for item, answer in answers:
                if isinstance(item, Row):
                    self._take(item, answer)
                elif isinstance(item, _Further):
                    self._take_further(answer)
                else:
                    # Written in another thread: a slow disk holds up no answer.
                    await asyncio.to_thread(self._commit, item)
                    self._check_errors()

    def _request_of(self, item: _Item) -> RerankRequest | RerankError:
        if isinstance(item, KeptChunk | RowChunk):
            return _NOTHING_ASKED
        if item.request is None:
            return item.error or InvalidRequest("the row can't be asked")
        try:
            request = self.fixed.fusion.applied_to(item.request)
        except InvalidRequest as error:
            return error
        if self.fixed.tenant:
            return request.model_copy(update={"tenant": self.fixed.tenant, "cache_scope": "tenant"})
        return request

    def _take(self, row: Row, answer: Answer) -> None:
        self.progress.answered_queries += 1
        self._counts = replace(self._counts, queries=self._counts.queries + 1)
        self._answered.append(Answered(row, self._counted(row, answer)))

    def _take_further(self, answer: Answer) -> None:
        """Add the answer of a further request to its row, which fails with the first that does."""
        last = self._answered[-1]
        if isinstance(last.answer, RerankError):
            return
        further = self._counted(last.row, answer)
        if isinstance(further, RerankError):
            self._answered[-1] = Answered(last.row, further)
        else:
            self._answered[-1] = replace(last, further=(*last.further, further))

    def _counted(self, row: Row, answer: Answer) -> Answer:
        """Count an answer of a row, and return it as it is written. Raises InputRefused, RunDiffers."""
        counts = self._counts
        if isinstance(answer, RerankResponse):
            self._check_model(answer)
            usage = answer.usage
            self._counts = replace(
                counts,
                pairs_run=counts.pairs_run + usage.pairs_run,
                pairs_cached=counts.pairs_cached + usage.pairs_cached,
                tokens=counts.tokens + usage.tokens,
            )
            return canonical(answer)
        if self.spec.on_error == "fail":
            raise InputRefused(f"row {row.number:,}: {answer.message} (--on-error fail)") from answer
        self._counts = replace(counts, failed_queries=counts.failed_queries + 1)
        return answer

    def _check_model(self, answer: RerankResponse) -> None:
        begun_with = self.fixed.identity
        if (answer.model.digest, answer.model.precision) != (begun_with["model digest"], begun_with["precision"]):
            raise RunDiffers(
                f"the fleet's model has changed: the run was begun with {begun_with['model']} "
                f"{begun_with['model digest'][:12]} {begun_with['precision']}, and {answer.model.name} "
                f"{(answer.model.digest or '')[:12]} {answer.model.precision} answers now. Serve the former again and "
                "repeat the command, or begin anew with --overwrite"
            )

    def _commit(self, chunk: Chunk) -> None:
        if isinstance(chunk, KeptChunk):
            self._keep(chunk)
        else:
            output = self._pack(self.spec.format.write(self._answered, first=not self.progress.committed.chunks))
            failed = b""
            if self.spec.on_error == "quarantine" and self._counts.failed_queries:
                failed = self.spec.format.write_failed(self._answered)
            self.sink.commit(chunk.end, chunk.digest, output, failed, self._counts)
        self.progress.commit(chunk.end, self._counts)
        self._answered, self._counts = [], ChunkCounts()

    def _keep(self, chunk: KeptChunk) -> None:
        assert isinstance(self.sink, CommittedRun)
        entry = chunk.entry
        self.progress.answered_queries += entry.queries
        self._counts = ChunkCounts(entry.queries, 0, entry.pairs_run, entry.pairs_cached, entry.tokens)
        output = self.sink.kept(chunk.output_start, entry.output_bytes)
        self.sink.commit(chunk.end, entry.digest, output, b"", self._counts)

    def _check_errors(self) -> None:
        failed, most = self.progress.committed.failed_queries, self.spec.max_errors
        if most is not None and failed > most:
            raise InputRefused(f"{failed:,} rows have failed, more than --max-errors {most:,} allows")


async def _items(chunks: Iterator[Chunk]) -> AsyncGenerator[_Item, None]:
    """Yield the rows of each chunk, each before its further requests, and behind them the chunk."""
    async with aclosing(read_in_thread(chunks)) as read:
        async for chunk in read:
            if isinstance(chunk, RowChunk):
                for row in chunk.rows:
                    yield row
                    for request in row.further:
                        yield _Further(request)
            yield chunk
