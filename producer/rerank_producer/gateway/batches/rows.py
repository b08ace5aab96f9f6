"""The rows of a batch: the lines of the format `batch`, on the terms of a key and at its pace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from rerank_producer.bulk.formats.batch import BatchFormat, line_id, request_id
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.files import as_line, chunks_in
from rerank_producer.bulk.formats.request_line import decoded
from rerank_producer.bulk.formats.rows import ReadOptions, Row, RowChunk, WriteOptions
from rerank_producer.gateway.batches.records import Terms
from rerank_shared.contract.estimate import estimate_lengths
from rerank_shared.contract.schemas import RerankRequest
from rerank_shared.errors import InvalidRequest
from rerank_shared.settings import Settings

_EXPIRED = "the batch's completion window was over before this request was answered"


class BatchRows(BatchFormat):
    """The lines of one batch. `pace` is called with the estimated tokens of a chunk before that is asked."""

    #: Small: what is done when a batch is cancelled or expires is counted in whole chunks.
    chunk_bytes = 1 << 14

    def __init__(
        self, path: Path, terms: Terms, fleet: Settings, max_length: int | None, pace: Callable[[int], object]
    ) -> None:
        super().__init__(path, ReadOptions(), WriteOptions(), max_length)
        self._terms, self._fleet, self._pace = terms, fleet, pace

    def read(self, start: Position) -> Iterator[RowChunk]:
        """Yield the chunks from `start` on, as fast as the key may send them."""
        for chunk in super().read(start):
            self._pace(sum(self._tokens(request) for row in chunk.rows for request in row.requests))
            yield chunk

    def row(self, number: int, line: bytes) -> Row:
        """Return the row of a line; one that the key may not ask has an error."""
        row = super().row(number, line)
        if row.request is None:
            return row
        try:
            self._check_documents(sum(len(request.documents) for request in row.requests))
            first, *further = [self._on_terms(request) for request in row.requests]
        except InvalidRequest as error:
            return replace(row, request=None, further=(), error=error)
        return replace(row, request=first, further=tuple(further))

    def _check_documents(self, count: int) -> None:
        limit = min(self._fleet.max_documents, self._terms.max_documents or count)
        if count > limit:
            raise InvalidRequest(f"documents: {count:,} were sent, and {limit:,} a request are the limit")

    def _on_terms(self, request: RerankRequest) -> RerankRequest:
        """Return a request of the key: of its tenant, of the batch's model, with the fusion that the key sets."""
        update: dict[str, object] = {
            "model": None,
            "tenant": self._terms.tenant,
            "cache_scope": self._terms.cache_scope,
        }
        has_scores = any(score is not None for score in request.first_stage_scores())
        if request.fusion is None:
            method = (self._terms.fusion or self._fleet.fusion) if has_scores else "none"
            # `weighted` learns its ratio from what passes, and a batch gives the same answers each time.
            fixed = method != "weighted" or request.fusion_ratio is not None
            update["fusion"] = method if fixed else "zscore"
        elif request.fusion == "weighted" and has_scores and request.fusion_ratio is None:
            raise InvalidRequest(
                "fusion_ratio: is missing; `weighted` would learn it from what passes, and a batch gives the same "
                "answers each time. Give it, or ask for zscore or rrf"
            )
        if request.fusion_weight is None:
            weight = self._terms.fusion_weight
            update["fusion_weight"] = self._fleet.fusion_weight if weight is None else weight
        return request.model_copy(update=update)

    def _tokens(self, request: RerankRequest) -> int:
        length = request.max_length or self._fleet.max_length
        return sum(estimate_lengths(request.query, request.contents(), length))


def expired_lines(path: Path, start: Position) -> Iterator[bytes]:
    """Yield a line for each request behind `start`, which no time was left for. Raises OSError."""
    for chunk in chunks_in(path, start, BatchRows.chunk_bytes):
        for number, line in enumerate(chunk.lines, start=chunk.start.row + 1):
            if line.strip():
                custom_id = decoded(line, "`custom_id`")["custom_id"]
                yield as_line(
                    {
                        "id": line_id(request_id(custom_id, number)),
                        "custom_id": custom_id,
                        "response": None,
                        "error": {"code": "batch_expired", "message": _EXPIRED},
                    }
                )
