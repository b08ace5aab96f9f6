"""Stored batches: each is a directory with its record, its work files, and a word to cancel it.

An empty file in `open/` names each batch that has not ended, so that looking for work costs nothing where there is
none. All of it blocks, and belongs in a thread.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import Refused
from rerank_producer.bulk.committed.journal import Entry, Journal, Totals, journal_of
from rerank_producer.bulk.committed.lock import is_locked
from rerank_producer.bulk.files.durable import sync_directory
from rerank_producer.gateway.batches.disk import age_s, make_directory, names_in, read_record, turn, write_record
from rerank_producer.gateway.batches.ids import is_batch_id
from rerank_producer.gateway.batches.records import BatchRecord
from rerank_shared.errors import RerankError

#: A batch that was killed while it was being made has nothing but its name in `open/`.
_LEFT_S = 3_600.0
_RECORD, _CANCEL, _LOCK, _OUTPUT, _ERRORS = "batch.json", "cancel", "batch", "output.jsonl", "errors.jsonl"


@dataclass(frozen=True, slots=True)
class BatchStore:
    """The batches of all owners. `most_open` is how many of one owner may be unended."""

    root: Path
    most_open: int
    clock: Callable[[], float] = time.time

    def folder(self, owner: str, batch_id: str) -> Path:
        """Return where a batch lies."""
        return self.root / "batches" / owner / batch_id

    def output(self, owner: str, batch_id: str) -> Path:
        """Return the output of its run."""
        return self.folder(owner, batch_id) / _OUTPUT

    def errors(self, owner: str, batch_id: str) -> Path:
        """Return the lines of its run that failed."""
        return self.folder(owner, batch_id) / _ERRORS

    def lock(self, owner: str, batch_id: str) -> Path:
        """Return what whoever carries it out holds the lock of."""
        return self.folder(owner, batch_id) / _LOCK

    def create(self, record: BatchRecord) -> None:
        """Store a new batch. Raises Refused (429) where its owner has too many that are not ended, OSError."""
        opened = self.root / "open"
        make_directory(opened)
        make_directory(self.folder(record.owner, record.id))
        with turn(self.root / "batches" / record.owner / ".turn"):
            count = sum(name.startswith(f"{record.owner}.") for name in names_in(opened))
            if count >= self.most_open:
                self.folder(record.owner, record.id).rmdir()
                message = (
                    f"{count:,} batches of this key have not ended, and {self.most_open:,} are the most; wait for one, "
                    "or cancel one (POST /v1/batches/ID/cancel)"
                )
                raise Refused(Problem(429, "too_many_batches", message, retryable=True, retry_after_s=30.0))
            # The name first: a batch that is stored is always found.
            self._marker(record.owner, record.id).touch(mode=0o600)
            sync_directory(opened)
            self.save(record)

    def save(self, record: BatchRecord) -> None:
        """Store a batch as it now is. Raises OSError."""
        write_record(self.folder(record.owner, record.id) / _RECORD, record)

    def find(self, owner: str, batch_id: str) -> BatchRecord | None:
        """Return a batch of an owner, None where there is none. Raises OSError."""
        if not is_batch_id(batch_id):
            return None
        return read_record(self.folder(owner, batch_id) / _RECORD, BatchRecord)

    def all_of(self, owner: str) -> list[BatchRecord]:
        """Return the batches of an owner, newest first. Raises OSError."""
        found = (self.find(owner, name) for name in names_in(self.root / "batches" / owner))
        return sorted((each for each in found if each), key=lambda each: (-each.created_at, each.id))

    def ask_to_cancel(self, owner: str, batch_id: str) -> None:
        """Leave word that a batch be cancelled, whoever carries it out. Raises OSError."""
        word = self.folder(owner, batch_id) / _CANCEL
        if not word.exists():
            word.touch(mode=0o600)
            sync_directory(word.parent)

    def cancel_asked_at(self, owner: str, batch_id: str) -> int | None:
        """Return when somebody asked to cancel a batch; None if nobody did. Raises OSError."""
        try:
            return int((self.folder(owner, batch_id) / _CANCEL).stat().st_mtime)
        except FileNotFoundError:
            return None

    def unended(self) -> list[tuple[str, str]]:
        """Return owner and id of the batches that have not ended: first those whose owners have least running.

        Among those the oldest goes first. Raises OSError.
        """
        named = [tuple(name.split(".", 1)) for name in names_in(self.root / "open") if "." in name]
        found = [(owner, batch_id) for owner, batch_id in named if is_batch_id(batch_id)]
        running = [owner for owner, batch_id in found if self.is_carried_out(owner, batch_id)]
        return sorted(found, key=lambda each: (running.count(each[0]), -age_s(self._marker(*each), self.clock())))

    def is_carried_out(self, owner: str, batch_id: str) -> bool:
        """Whether some process carries a batch out at this moment."""
        return is_locked(self.lock(owner, batch_id))

    def close(self, record: BatchRecord) -> None:
        """Take an ended batch off the list, and remove its work files. It may be done again. Raises OSError."""
        folder = self.folder(record.owner, record.id)
        for name in names_in(folder):
            if name.startswith((_OUTPUT, _ERRORS)):
                (folder / name).unlink(missing_ok=True)
        self._marker(record.owner, record.id).unlink(missing_ok=True)

    def forget(self, owner: str, batch_id: str) -> None:
        """Take a batch off the list whose record can't be read, once it is old. Raises OSError."""
        marker = self._marker(owner, batch_id)
        if age_s(marker, self.clock()) > _LEFT_S:
            marker.unlink(missing_ok=True)

    def sweep(self, keep_s: int) -> None:
        """Remove batches that ended so long ago. Raises OSError."""
        for owner in names_in(self.root / "batches"):
            for batch_id in filter(is_batch_id, names_in(self.root / "batches" / owner)):
                record, folder = self.find(owner, batch_id), self.folder(owner, batch_id)
                if record is None:
                    if age_s(folder, self.clock()) > max(_LEFT_S, keep_s):
                        shutil.rmtree(folder, ignore_errors=True)
                elif record.ended and (ended_at(record) or 0) + keep_s <= self.clock():
                    shutil.rmtree(folder, ignore_errors=True)

    def progress(self, owner: str, batch_id: str) -> tuple[Totals, Entry | None]:
        """Return the counts of a batch's run so far, and the last chunk that is done."""
        try:
            journal = Journal.look_into(journal_of(self.output(owner, batch_id)))
        except (OSError, RerankError):
            return Totals(), None
        try:
            return journal.totals(), journal.last()
        except (OSError, RerankError):
            return Totals(), None
        finally:
            journal.close()

    def _marker(self, owner: str, batch_id: str) -> Path:
        return self.root / "open" / f"{owner}.{batch_id}"


def ended_at(record: BatchRecord) -> int | None:
    """Return when a batch ended; None while it has not."""
    times: Iterable[int | None] = (record.completed_at, record.failed_at, record.expired_at, record.cancelled_at)
    return next((each for each in times if each is not None), None)
