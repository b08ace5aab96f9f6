"""The end of a batch: what was done is counted and noted, then it becomes files, then the batch has ended.

Each step may be done again: whoever finds a batch that was killed in between goes on with its first step that is not
noted. All of it blocks, and belongs in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rerank_producer.bulk.files.committed_file import part_of
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.gateway.batches.batch_store import BatchStore
from rerank_producer.gateway.batches.file_store import FileStore
from rerank_producer.gateway.batches.ids import result_id
from rerank_producer.gateway.batches.records import BatchRecord, Ending, FileRecord, Mistake
from rerank_producer.gateway.batches.rows import expired_lines

_COUNT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class EndingWriter:
    """Ends batches."""

    files: FileStore
    batches: BatchStore

    def begin(self, record: BatchRecord, ending: Ending, mistakes: Sequence[Mistake] = ()) -> BatchRecord:
        """Note what a batch is about to become, and how much of its work files counts. Raises OSError."""
        now = int(self.batches.clock())
        update: dict[str, object] = {"ending": ending, "errors": tuple(mistakes)}
        if ending == "cancelled":
            asked_at = self.batches.cancel_asked_at(record.owner, record.id)
            update |= {"status": "cancelling", "cancelling_at": asked_at or now}
        else:
            update |= {"status": "finalizing"} | ({"finalizing_at": now} if ending != "failed" else {})
        if record.in_progress_at is not None:
            update |= self._done(record, ending)
        record = record.model_copy(update=update)
        self.batches.save(record)
        return record

    def finish(self, record: BatchRecord) -> None:
        """Publish what was done, and end the batch. Raises OSError."""
        assert record.ending is not None
        output_id = error_id = None
        if record.in_progress_at is not None:
            output_id = self._publish(record, "output", record.output_bytes)
            error_id = self._publish(record, "errors", record.error_bytes)
        now = int(self.batches.clock())
        ended: dict[str, object] = {"status": record.ending, f"{record.ending}_at": now}
        ended |= {"output_file_id": output_id, "error_file_id": error_id}
        record = record.model_copy(update=ended)
        self.batches.save(record)
        self.batches.close(record)

    def _done(self, record: BatchRecord, ending: Ending) -> dict[str, object]:
        output, errors = self._work_file(record, "output"), self._work_file(record, "errors")
        if ending == "completed":
            done: dict[str, object] = {"output_bytes": _size(output), "error_bytes": _size(errors)}
        else:
            _, last = self.batches.progress(record.owner, record.id)
            if last is None:
                done = {"output_bytes": 0, "error_bytes": 0}
            else:
                done = {"output_bytes": last.output_bytes, "error_bytes": last.failed_bytes}
                done |= {"done_bytes": last.end_byte, "done_rows": last.end_row}
        completed = _lines(output, done["output_bytes"])
        failed = record.total - completed if ending == "expired" else _lines(errors, done["error_bytes"])
        return {**done, "completed": completed, "failed": failed}

    def _publish(self, record: BatchRecord, kind: Literal["output", "errors"], length: int) -> str | None:
        """Make a file of the first `length` bytes of a work file; return its id, None for an empty one."""
        file_id, source = result_id(record.id, kind), self._work_file(record, kind)
        moved = self.files.content(record.owner, file_id)
        # Cut again where it was not moved yet; one that was is whole, though its record may be missing.
        length = _size(moved) if moved.exists() and not source.exists() else self._cut(record, kind, source, length)
        if not length:
            return None
        now = int(self.batches.clock())
        published = FileRecord(
            id=file_id,
            filename=f"{record.id}_{kind}.jsonl",
            purpose="batch_output",
            bytes=length,
            created_at=now,
            expires_at=now + record.keep_s,
        )
        self.files.adopt(record.owner, published, source)
        return file_id

    def _cut(self, record: BatchRecord, kind: str, source: Path, length: int) -> int:
        """Cut a work file to what counts, and add the lines that no time was left for; return its length."""
        expired = record.ending == "expired" and kind == "errors"
        if not (source.exists() or expired):
            return 0
        with source.open("r+b" if source.exists() else "w+b") as file:
            file.truncate(length)
            file.seek(length)
            if expired:
                path = self.files.content(record.owner, record.input_file_id)
                if path.exists():
                    file.writelines(expired_lines(path, Position(0, record.done_bytes, record.done_rows)))
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    def _work_file(self, record: BatchRecord, kind: Literal["output", "errors"]) -> Path:
        path = getattr(self.batches, kind)(record.owner, record.id)
        assert isinstance(path, Path)
        return path if path.exists() else part_of(path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _lines(path: Path, length: object) -> int:
    """Return the lines in the first `length` bytes of a file."""
    assert isinstance(length, int)
    if not length:
        return 0
    count = 0
    with path.open("rb") as file:
        while length > 0 and (data := file.read(min(_COUNT_BYTES, length))):
            count += data.count(b"\n")
            length -= len(data)
    return count
