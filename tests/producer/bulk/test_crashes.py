"""A run that ends after any single step, and loses what was not synced, is resumed to the byte."""

from __future__ import annotations

import io
import os
import random
import sqlite3
from pathlib import Path

import pytest

from rerank_producer.bulk.chunks import Position, chunks_of
from rerank_producer.bulk.committed_file import CommittedFile, part_of
from rerank_producer.bulk.journal import Entry, Journal, LostOwnership

DATA = b"".join(b"row %d of the input\n" % number for number in range(60))
EXPECTED = DATA.upper()


class Cut(Exception):
    """The power went."""


class Steps:
    """Counts the steps of a run and ends it after one of them."""

    def __init__(self, last: int | None = None) -> None:
        self.taken, self._last = 0, last

    def step(self) -> None:
        self.taken += 1
        if self.taken == self._last:
            raise Cut


def run(folder: Path, steps: Steps) -> None:
    """Do what a bulk run does, with a step after each thing that it changes."""
    target = folder / "out"
    journal = Journal.claim(folder / "journal")
    output = None
    steps.step()
    try:
        if journal.finished:
            return
        last = journal.last()
        if last is not None and target.exists() and not part_of(target).exists():
            journal.finish()
            return
        output = CommittedFile.at(target, last.output_bytes if last else 0)
        steps.step()
        start = last.end if last else Position()
        stream = io.BytesIO(DATA)
        stream.seek(start.byte)
        for chunk in chunks_of(stream, start, size_bytes=200):
            for line in chunk.lines:
                output.write(line.upper() + b"\n")
                steps.step()
            output.sync()
            steps.step()
            journal.commit(
                Entry(chunk.start.chunk, chunk.end.byte, chunk.end.row, chunk.digest, output.length, failed_bytes=0)
            )
            steps.step()
        output.finish()
        steps.step()
        journal.finish()
        steps.step()
    finally:
        if output is not None:
            output.close()
        journal.close()


def lose_what_was_not_synced(folder: Path, draw: random.Random) -> None:
    """Cut the growing file anywhere behind what the journal knows of, as a power cut may."""
    part = part_of(folder / "out")
    if not part.exists():
        return
    with sqlite3.connect(folder / "journal") as database:
        (safe,) = database.execute("SELECT COALESCE(MAX(output_bytes), 0) FROM chunks").fetchone()
    os.truncate(part, draw.randint(safe, part.stat().st_size))


def test_any_step_may_be_the_last(tmp_path: Path) -> None:
    whole = Steps()
    (tmp_path / "whole").mkdir()
    run(tmp_path / "whole", whole)
    assert (tmp_path / "whole" / "out").read_bytes() == EXPECTED
    for last in range(1, whole.taken + 1):
        folder, draw = tmp_path / str(last), random.Random(last)
        folder.mkdir()
        with pytest.raises(Cut):
            run(folder, Steps(last))
        lose_what_was_not_synced(folder, draw)
        # The next one is cut short as well, sooner or later.
        try:
            run(folder, Steps(draw.randint(1, 40)))
        except Cut:
            lose_what_was_not_synced(folder, draw)
        run(folder, Steps())
        assert (folder / "out").read_bytes() == EXPECTED, last
        assert not part_of(folder / "out").exists()


def test_a_command_that_was_taken_for_dead_commits_nothing_more(tmp_path: Path) -> None:
    first = Journal.claim(tmp_path / "journal")
    second = Journal.claim(tmp_path / "journal")
    entry = Entry(0, 10, 1, b"digest", 10, 0)
    with pytest.raises(LostOwnership):
        first.commit(entry)
    second.commit(entry)
    assert second.last() == entry
    with pytest.raises(LostOwnership):
        first.finish()


def test_an_output_that_was_changed_behind_its_journal_is_told(tmp_path: Path) -> None:
    part_of(tmp_path / "out").write_bytes(b"12345")
    with pytest.raises(ValueError, match="has 5 bytes, and 9 were committed"):
        CommittedFile.at(tmp_path / "out", 9)


def test_a_long_journal_is_read_at_once(tmp_path: Path) -> None:
    """Ten thousand chunks are some 10^8 rows: reading one needs their last entry and their sums alone."""
    journal = Journal.claim(tmp_path / "journal")
    entries = [
        Entry(n, (n + 1) << 20, (n + 1) * 10_000, b"d" * 16, (n + 1) << 20, 0, 1, 2, 3, 4) for n in range(10_000)
    ]
    journal._database.execute("BEGIN")
    journal._database.executemany(
        "INSERT INTO chunks VALUES (?,?,?,?,?,?,?,?,?,?)",
        [tuple(getattr(entry, name) for name in Entry.__slots__) for entry in entries],
    )
    journal._database.execute("COMMIT")
    assert journal.last() == entries[-1]
    assert journal.totals().rows == 10**8
    assert (journal.totals().failed_rows, journal.totals().tokens) == (10_000, 40_000)
