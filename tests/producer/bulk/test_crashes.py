"""A run that ends after any single step, and loses what was not synced, goes on to the same bytes."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rerank_producer import OutputInUse, RunDiffers
from rerank_producer.bulk.committed import committed_run
from rerank_producer.bulk.committed.committed_run import CommittedRun, failed_of
from rerank_producer.bulk.committed.journal import ChunkCounts, Entry, Journal, journal_of
from rerank_producer.bulk.files.committed_file import CommittedFile, part_of
from rerank_producer.bulk.formats.chunks import Position, chunks_of

DATA = b"".join(b"row %d of the input\n" % number for number in range(60))
FAILS = b"7 of"
EXPECTED = b"".join(line.upper() + b"\n" for line in DATA.splitlines() if FAILS not in line)
EXPECTED_FAILED = b"".join(line + b"\n" for line in DATA.splitlines() if FAILS in line)


class Cut(Exception):
    """The power went."""


class Steps:
    """Counts whatever changes a disk, and ends the run after one of these steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: int | None = None) -> None:
        self.taken, self._last = 0, last
        for owner, name in (
            (CommittedFile, "write"), (CommittedFile, "sync"), (Journal, "commit"), (Journal, "note"), (os, "replace"),
            (committed_run, "sync_directory"), (Path, "unlink"), (os, "ftruncate"),
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


def work(folder: Path) -> None:
    """Do what a run does on the disk."""
    target = folder / "out"
    run = CommittedRun.claim(target, failed_of(target))
    try:
        if run.finished:
            return
        if not run.begun:
            run.begin({"input": "this"})
        run.check({"input": "this"})
        if not run.is_read:
            run.open_files()
            last = run.journal.last()
            start = last.end if last else Position()
            stream = io.BytesIO(DATA)
            stream.seek(start.byte)
            for chunk in chunks_of(stream, start, size_bytes=200):
                good = b"".join(line.upper() + b"\n" for line in chunk.lines if FAILS not in line)
                bad = b"".join(line + b"\n" for line in chunk.lines if FAILS in line)
                run.commit(chunk.end, chunk.digest, good, bad, ChunkCounts(len(chunk.lines)))
        run.finish(lambda part, whole: os.replace(part, whole))
    finally:
        run.close()


def lose_what_was_not_synced(folder: Path, draw: random.Random) -> None:
    """Cut the growing files anywhere behind what the journal knows of, as a power cut may."""
    target = folder / "out"
    with sqlite3.connect(journal_of(target)) as database:
        row = database.execute("SELECT output_bytes, failed_bytes FROM chunks ORDER BY number DESC LIMIT 1").fetchone()
    database.close()
    for part, safe in zip((part_of(target), part_of(failed_of(target))), row or (0, 0), strict=True):
        if part.exists():
            os.truncate(part, draw.randint(safe, part.stat().st_size))


def cut_after(folder: Path, last: int) -> bool:
    """Do the work until a step; return whether that came."""
    with pytest.MonkeyPatch.context() as patch:
        Steps(patch, last)
        try:
            work(folder)
        except Cut:
            return True
    return False


def test_any_step_may_be_the_last(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        steps = Steps(patch)
        work(tmp_path / "whole")
    assert (tmp_path / "whole" / "out").read_bytes() == EXPECTED
    assert steps.taken > 20
    for last in range(1, steps.taken + 1):
        folder, draw = tmp_path / str(last), random.Random(last)
        folder.mkdir()
        assert cut_after(folder, last)
        lose_what_was_not_synced(folder, draw)
        if cut_after(folder, draw.randint(1, 40)):
            lose_what_was_not_synced(folder, draw)
        work(folder)
        assert (folder / "out").read_bytes() == EXPECTED, last
        assert failed_of(folder / "out").read_bytes() == EXPECTED_FAILED, last
        assert sorted(path.name for path in folder.iterdir()) == ["out", "out.failed.jsonl", "out.journal"], last


def retry(folder: Path) -> None:
    """Make the finished run the previous one, as far as it gets."""
    target = folder / "out"
    run = CommittedRun.claim(target, failed_of(target))
    try:
        if run.finished:
            run.retry_failed(fingerprint=run.journal.notes["fingerprint"])
    finally:
        run.close()


def test_a_retry_that_is_cut_while_it_begins_is_the_old_run_or_the_new_one(tmp_path: Path) -> None:
    for last in range(1, 9):
        folder = tmp_path / str(last)
        folder.mkdir()
        work(folder)
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Cut):
            Steps(patch, last)
            retry(folder)
        run = CommittedRun.claim(folder / "out", failed_of(folder / "out"))
        try:
            notes, previous = run.journal.notes, run.previous()
            assert notes["fingerprint"] == {"input": "this"}, last
            assert run.finished == (previous is None), last
            if previous is not None:
                assert previous.totals().queries == 60
                previous.close()
        finally:
            run.close()
        assert (folder / "out").read_bytes() == EXPECTED


def test_a_command_that_was_taken_for_dead_commits_nothing_more(tmp_path: Path) -> None:
    first = Journal.claim(tmp_path / "journal")
    second = Journal.claim(tmp_path / "journal")
    entry = Entry(0, 10, 1, b"digest", 10, 0)
    with pytest.raises(OutputInUse, match="taken this run over"):
        first.commit(entry)
    second.commit(entry)
    assert second.last() == entry
    with pytest.raises(OutputInUse):
        first.note(finished=True)
    first.close()
    second.close()


@pytest.mark.parametrize("finished", [False, True], ids=["while the other writes", "when the other has done all"])
def test_a_command_that_was_taken_for_dead_harms_nothing(tmp_path: Path, finished: bool) -> None:
    """On a disk whose locks others don't see, both write one file: the same bytes at the same place."""
    target = tmp_path / "out"
    parts = [b"first\n", b"second\n", b"third\n"]

    def commit(run: CommittedRun, number: int) -> None:
        end = Position(number + 1, 10 * (number + 1), number + 1)
        run.commit(end, b"digest", parts[number], b"bad\n", ChunkCounts(1))

    frozen = CommittedRun.claim(target, failed_of(target))
    frozen.open_files()
    commit(frozen, 0)
    other = CommittedRun.claim(target, failed_of(target))
    other.open_files()
    commit(other, 1)
    if not finished:
        with pytest.raises(OutputInUse):
            commit(frozen, 1)
    commit(other, 2)
    other.finish(lambda part, whole: os.replace(part, whole))
    if finished:
        with pytest.raises(OutputInUse):
            commit(frozen, 1)
    with pytest.raises(OutputInUse):
        frozen.finish(lambda part, whole: os.replace(part, whole))
    frozen.close()
    other.close()
    assert target.read_bytes() == b"".join(parts)
    assert failed_of(target).read_bytes() == b"bad\n" * 3


def test_an_output_that_was_changed_behind_its_journal_is_told(tmp_path: Path) -> None:
    target = tmp_path / "out"
    run = CommittedRun.claim(target, failed_of(target))
    run.open_files()
    run.commit(Position(1, 9, 1), b"digest", b"123456789", b"", ChunkCounts(1))
    run.close()
    part_of(target).write_bytes(b"12345")
    run = CommittedRun.claim(target, failed_of(target))
    with pytest.raises(RunDiffers, match="has 5 bytes, and 9 were committed"):
        run.open_files()
    run.close()


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    journal_of(tmp_path / "out").write_text(
        "a text of somebody's own, which is long enough to be read as a header\n" * 9
    )
    with pytest.raises(OutputInUse, match="is no journal of a bulk run"):
        CommittedRun.claim(tmp_path / "out", tmp_path / "failed")


def test_a_journal_that_is_being_made_is_none_yet(tmp_path: Path) -> None:
    """A file without tables is all that others see of the first claim until it is done."""
    path, seen = tmp_path / "journal", []

    def look(statement: str) -> None:
        try:
            Journal.look_into(path).close()
        except FileNotFoundError:
            seen.append(statement)

    connect = sqlite3.connect

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = connect(*args, **kwargs)
        if "uri" not in kwargs:
            database.set_trace_callback(look)
        return database

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", traced)
        Journal.claim(path).close()
    assert any("CREATE TABLE" in statement for statement in seen)
    assert seen[-1] == "COMMIT"
    Journal.look_into(path).close()


@pytest.mark.parametrize("reader", [Journal.look_into, Journal.claim])
def test_a_commit_that_a_kill_cut_is_undone_by_whoever_opens_the_journal(
    reader: Callable[[Path], Journal], tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    journal = Journal.claim(path)
    journal.commit(Entry(0, 10, 1, b"digest", 10, 0, 1))
    journal.close()
    # A cache of one page: the rows are in the file before the commit is.
    killed = f"""
import os, signal, sqlite3
database = sqlite3.connect({str(path)!r}, isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN IMMEDIATE")
database.executemany("INSERT INTO notes VALUES (?, ?)", ((str(n), "x" * 500) for n in range(200)))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    assert path.with_name("journal-journal").stat().st_size
    journal = reader(path)
    assert (journal.notes, journal.totals().queries) == ({}, 1)
    journal.close()


def test_a_journal_that_is_only_looked_into_takes_no_entry(tmp_path: Path) -> None:
    Journal.claim(tmp_path / "journal").close()
    journal = Journal.look_into(tmp_path / "journal")
    with pytest.raises(OSError, match="it can't be written"):
        journal.note(name="value")
    journal.close()


def test_a_long_journal_is_read_at_once(tmp_path: Path) -> None:
    """Ten thousand chunks are some 10^8 rows: going on needs their last entry and their sums alone."""
    journal = Journal.claim(tmp_path / "journal")
    entries = [
        Entry(n, (n + 1) << 20, (n + 1) * 10_000, b"d" * 16, (n + 1) << 20, 0, 100, 1, 2, 3, 4, 5.0)
        for n in range(10_000)
    ]
    journal._database.execute("BEGIN")
    journal._database.executemany(
        f"INSERT INTO chunks VALUES ({','.join('?' * len(Entry.__slots__))})",
        [tuple(getattr(entry, name) for name in Entry.__slots__) for entry in entries],
    )
    journal._database.execute("COMMIT")
    assert journal.last() == entries[-1]
    totals = journal.totals()
    assert (totals.rows, totals.queries, totals.failed_queries, totals.tokens) == (10**8, 10**6, 10_000, 40_000)
    journal.close()
