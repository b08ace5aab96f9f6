"""A run on the disk: its journal, its growing output, and its file of failed rows. It knows no fleet.

For each chunk: write both files, sync them, then enter the chunk in the journal. Whatever ends the process in between,
the next one cuts both files to what the journal names and goes on from there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from rerank_producer.bulk.committed.fingerprint import Fingerprint, differences
from rerank_producer.bulk.committed.journal import ChunkCounts, Entry, Journal, Totals, journal_of
from rerank_producer.bulk.files.committed_file import CommittedFile, part_of
from rerank_producer.bulk.files.durable import sync_directory
from rerank_producer.bulk.formats.chunks import Position
from rerank_shared.errors import OutputInUse, RunDiffers


def failed_of(output: Path) -> Path:
    """Return the file of the rows of an output that failed, if no other is named."""
    return output.with_name(output.name + ".failed.jsonl")


def previous_of(output: Path) -> Path:
    """Return the journal of the run whose failed rows are tried again."""
    return output.with_name(output.name + ".journal.previous")


class CommittedRun:
    """An open run. Whoever opens it holds the lock of its output."""

    def __init__(self, output: Path, failed: Path, journal: Journal) -> None:
        self._output_path, self._failed_path, self.journal = output, failed, journal
        self._output: CommittedFile | None = None
        self._failed: CommittedFile | None = None

    @classmethod
    def claim(cls, output: Path, failed: Path, *, overwrite: bool = False) -> Self:
        """Open the run of an output, or begin one.

        Raises OutputInUse where there is an output, or a part of one, and no journal of it, unless it is to be
        overwritten; OSError.
        """
        journal, previous = journal_of(output), previous_of(output)
        if not (overwrite or journal.exists() or previous.exists()):
            for path in (output, part_of(output)):
                if path.exists():
                    raise OutputInUse(
                        f"{path} exists, and {journal.name}, the journal of a run that could go on, does not. Name "
                        "another output, or begin anew with --overwrite"
                    )
        if previous.exists() and not journal.exists():
            os.replace(previous, journal)
        try:
            claimed = Journal.claim(journal)
        except OutputInUse:
            if not overwrite:
                raise
            journal.unlink()
            claimed = Journal.claim(journal)
        sync_directory(journal.parent)
        return cls(output, failed, claimed)

    def begin_anew(self) -> None:
        """Forget what was done. A finished output stays until the new one is whole."""
        previous_of(self._output_path).unlink(missing_ok=True)
        self.journal.reset()

    def retry_failed(self, **notes: Any) -> None:
        """Make the finished run the previous one, whose rows without failure are kept, and begin with these notes.

        Raises OSError.
        """
        journal = journal_of(self._output_path)
        fresh_path = journal.with_name(journal.name + ".next")
        fresh_path.unlink(missing_ok=True)
        fresh = Journal.claim(fresh_path)
        fresh.note(began_at=time.time(), **notes)
        fresh.close()
        self.journal.close()
        # Where it ends between these two, `claim` gives the previous run its name back.
        os.replace(journal, previous_of(self._output_path))
        os.replace(fresh_path, journal)
        sync_directory(journal.parent)
        self.journal = Journal.claim(journal)

    def previous(self) -> Journal | None:
        """Return the journal of the finished run whose failed rows are tried again, None where there is none."""
        path = previous_of(self._output_path)
        return Journal.look_into(path) if path.exists() else None

    def kept(self, start: int, end: int) -> bytes:
        """Return a part of the output of the previous run. Raises OSError."""
        with self._output_path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    @property
    def finished(self) -> bool:
        """Whether the run is complete and its output in place."""
        return bool(self.journal.notes.get("finished")) and self._output_path.exists()

    @property
    def is_read(self) -> bool:
        """Whether all chunks are done, and the output has only to be assembled."""
        return bool(self.journal.notes.get("read"))

    @property
    def begun(self) -> bool:
        """Whether the run has a fingerprint."""
        return "fingerprint" in self.journal.notes

    def begin(self, fingerprint: Fingerprint, **notes: Any) -> None:
        """Note what the run is begun with. Raises OutputInUse."""
        self.journal.note(fingerprint=fingerprint, began_at=time.time(), **notes)

    def check(self, fingerprint: Fingerprint) -> None:
        """Raise RunDiffers, which lists the differences, unless the run was begun with this fingerprint."""
        if found := differences(self.journal.notes["fingerprint"], fingerprint):
            lines = "".join(f"\n  {line}" for line in found)
            raise RunDiffers(
                f"{self._output_path} was begun with something else, so that it can't go on as it would have:{lines}\n"
                "Repeat the command as it was, name another output, or begin anew with --overwrite"
            )

    def open_files(self) -> None:
        """Open both files behind what is committed. Raises RunDiffers, OSError."""
        last = self.journal.last()
        lengths = (last.output_bytes, last.failed_bytes) if last else (0, 0)
        try:
            self._output = CommittedFile.at(self._output_path, lengths[0])
            self._failed = CommittedFile.at(self._failed_path, lengths[1])
        except ValueError as error:
            raise RunDiffers(f"{error}. Begin anew with --overwrite") from None

    def commit(self, end: Position, digest: bytes, output: bytes, failed: bytes, counts: ChunkCounts) -> None:
        """Write a chunk's output and its failed rows, and enter it. Raises OutputInUse, OSError."""
        assert self._output is not None
        assert self._failed is not None
        for file, data in ((self._output, output), (self._failed, failed)):
            if data:
                file.write(data)
                file.sync()
        self.journal.commit(
            Entry(
                number=end.chunk - 1,
                end_byte=end.byte,
                end_row=end.row,
                digest=digest,
                output_bytes=self._output.length,
                failed_bytes=self._failed.length,
                committed_at=time.time(),
                **asdict(counts),
            )
        )

    def finish(self, assemble: Callable[[Path, Path], None]) -> Totals:
        """Put both files in their places, and note that the run is complete. It may be called again after a kill."""
        self.close_files()
        self.journal.note(read=True)
        part = part_of(self._output_path)
        # Without its part the output is in place already.
        if part.exists():
            assemble(part, self._output_path)
            sync_directory(self._output_path.parent)
        self._finish_failed()
        self.journal.note(finished=True, ended_at=time.time())
        previous_of(self._output_path).unlink(missing_ok=True)
        return self.journal.totals()

    def _finish_failed(self) -> None:
        part, totals = part_of(self._failed_path), self.journal.last()
        if part.exists():
            if totals is not None and totals.failed_bytes:
                os.replace(part, self._failed_path)
            else:
                # One of an earlier run would be read as this one's.
                self._failed_path.unlink(missing_ok=True)
                part.unlink()
            sync_directory(self._failed_path.parent)

    def close_files(self) -> None:
        """Close both files; what is not committed is thrown away by the next one."""
        for file in (self._output, self._failed):
            if file is not None:
                file.close()

    def close(self) -> None:
        """Close all."""
        self.close_files()
        self.journal.close()
