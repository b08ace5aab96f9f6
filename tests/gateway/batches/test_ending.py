"""A batch that is killed after any single step of its end is ended by the next one, to the same files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.batches.driving import jsonl, lines
from rerank_producer.bulk.committed.committed_run import CommittedRun
from rerank_producer.bulk.committed.journal import ChunkCounts
from rerank_producer.bulk.files import durable
from rerank_producer.bulk.formats.chunks import Position, chunks_of
from rerank_producer.gateway.batches import batch_store, file_store
from rerank_producer.gateway.batches.batch_store import BatchStore
from rerank_producer.gateway.batches.ending import EndingWriter
from rerank_producer.gateway.batches.file_store import FileStore
from rerank_producer.gateway.batches.ids import NOBODYS, new_batch_id, new_file_id
from rerank_producer.gateway.batches.records import BatchRecord, Ending, FileRecord, Terms

NOW = 1_800_000_000
LINES = lines(12)
SOURCE = jsonl(LINES)


class Cut(BaseException):
    """The process was killed."""


class Steps:
    """Counts whatever changes the disk, and ends the work after one of these steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: int | None = None) -> None:
        self.taken, self._last = 0, last
        for owner, name in (
            (os, "replace"), (os, "fsync"), (Path, "unlink"), (Path, "touch"), (durable, "sync_directory"),
            (file_store, "sync_directory"), (batch_store, "sync_directory"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            self.taken += 1
            if self.taken == self._last:
                raise Cut
            return result

        return call


class Work:
    """A batch of twelve lines whose run has committed some chunks, or all."""

    def __init__(self, root: Path, *, chunks: int | None) -> None:
        self.files = FileStore(root, 10_000_000, 100, clock=lambda: NOW)
        self.batches = BatchStore(root, 5, clock=lambda: NOW)
        file_id = new_file_id()
        with self.files.growing(NOBODYS, file_id) as content:
            content.write(SOURCE)
            record = FileRecord(
                id=file_id, filename="x", purpose="batch", bytes=1, created_at=NOW, expires_at=NOW + 999
            )
            self.files.keep(NOBODYS, record, content)
        self.record = BatchRecord(
            id=new_batch_id(),
            owner=NOBODYS,
            endpoint="/v1/rerank",
            input_file_id=file_id,
            completion_window="1h",
            created_at=NOW,
            expires_at=NOW + 3600,
            keep_s=1_000,
            terms=Terms(line_bytes=1_000),
            status="in_progress",
            in_progress_at=NOW,
            total=len(LINES),
        )
        self.batches.create(self.record)
        self._run(chunks)

    def _run(self, chunks: int | None) -> None:
        """Do what a run does on the disk: every fourth line fails."""
        output = self.batches.output(NOBODYS, self.record.id)
        run = CommittedRun.claim(output, self.batches.errors(NOBODYS, self.record.id))
        run.begin({})
        run.open_files()
        with self.files.content(NOBODYS, self.record.input_file_id).open("rb") as stream:
            for chunk in chunks_of(stream, Position(), size_bytes=300):
                if chunks is not None and chunk.start.chunk >= chunks:
                    break
                numbered = list(enumerate(chunk.lines, start=chunk.start.row))
                good = b"".join(b"good %d\n" % number for number, _ in numbered if number % 4)
                bad = b"".join(b"bad %d\n" % number for number, _ in numbered if not number % 4)
                run.commit(chunk.end, chunk.digest, good, bad, ChunkCounts(len(numbered)))
        if chunks is None:
            run.finish(os.replace)
        run.close()

    def end(self, ending: Ending) -> None:
        """End the batch as whoever finds it does."""
        writer = EndingWriter(self.files, self.batches)
        record = self.found()
        if record.ended:
            self.batches.close(record)
        else:
            writer.finish(writer.begin(record, ending) if record.ending is None else record)

    def found(self) -> BatchRecord:
        record = self.batches.find(NOBODYS, self.record.id)
        assert record is not None
        return record

    def result(self) -> tuple[BatchRecord, bytes | None, bytes | None]:
        """Return the ended batch without its ids, and its files."""
        found = self.found()
        contents: list[bytes | None] = []
        for file_id in (found.output_file_id, found.error_file_id):
            if file_id is None:
                contents.append(None)
            else:
                stored = self.files.find(NOBODYS, file_id)
                data = self.files.content(NOBODYS, file_id).read_bytes()
                assert stored is not None
                assert stored.bytes == len(data)
                contents.append(data)
        same = {"id": "", "input_file_id": "", "output_file_id": None, "error_file_id": None}
        return found.model_copy(update=same), contents[0], contents[1]


CASES: list[tuple[Ending, int | None]] = [
    ("completed", None), ("cancelled", 2), ("cancelled", 0), ("expired", 2), ("expired", 0), ("failed", 2),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "chunks"), CASES)
def test_a_batch_ends_alike_after_each_kill(
    ending: Ending, chunks: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Work(tmp_path / "whole", chunks=chunks)
    with monkeypatch.context() as patched:
        steps = Steps(patched)
        whole.end(ending)
    assert steps.taken > 5
    for last in range(1, steps.taken + 1):
        work = Work(tmp_path / str(last), chunks=chunks)
        with monkeypatch.context() as patched:
            Steps(patched, last)
            with pytest.raises(Cut):
                work.end(ending)
        work.end(ending)
        assert work.result() == whole.result()
        assert work.batches.unended() == []


def test_what_was_done_and_what_was_not_stand_in_two_files(tmp_path: Path) -> None:
    work = Work(tmp_path, chunks=2)
    work.end("expired")
    record, output, errors = work.result()
    assert output is not None
    assert errors is not None
    done = output.count(b"\n") + errors.count(b"bad")
    assert 0 < done < len(LINES)
    expired = [json.loads(each) for each in errors.splitlines() if not each.startswith(b"bad")]
    assert [each["custom_id"] for each in expired] == [f"q{n}" for n in range(done, len(LINES))]
    assert (record.total, record.completed + record.failed) == (len(LINES), len(LINES))


def test_files_and_batches_go_when_their_time_is_over(tmp_path: Path) -> None:
    work = Work(tmp_path, chunks=None)
    work.end("completed")
    later = FileStore(tmp_path, 1, 1, clock=lambda: NOW + 999)
    later.sweep()
    assert [each.purpose for each in later.all_of(NOBODYS)] == ["batch_output", "batch_output"]
    later = FileStore(tmp_path, 1, 1, clock=lambda: NOW + 1_000)
    assert later.all_of(NOBODYS) == []
    later.sweep()
    assert [each.name for each in (tmp_path / "files" / NOBODYS).iterdir()] == [".turn"]
    BatchStore(tmp_path, 1, clock=lambda: NOW + 999).sweep(1_000)
    assert work.batches.all_of(NOBODYS)
    BatchStore(tmp_path, 1, clock=lambda: NOW + 1_000).sweep(1_000)
    assert not work.batches.all_of(NOBODYS)


def test_a_batch_that_has_not_ended_is_kept_whatever_its_age(tmp_path: Path) -> None:
    work = Work(tmp_path, chunks=1)
    BatchStore(tmp_path, 1, clock=lambda: NOW * 2).sweep(1)
    assert work.found() == work.record


def test_what_a_killed_upload_left_is_swept_up(tmp_path: Path) -> None:
    work = Work(tmp_path, chunks=None)
    folder = tmp_path / "files" / NOBODYS
    for name in (f"{new_file_id()}.part", f"{new_file_id()}.data"):
        (folder / name).write_bytes(b"x")
    before = FileStore(tmp_path, 1, 1)
    before.sweep()
    assert len(list(folder.iterdir())) == 5
    FileStore(tmp_path, 1, 1, clock=lambda: os.stat(folder).st_mtime + 4_000).sweep()
    kept = work.record.input_file_id
    assert sorted(each.name for each in folder.iterdir()) == [".turn", f"{kept}.data", f"{kept}.json"]
