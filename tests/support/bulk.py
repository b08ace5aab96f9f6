"""The command `rerank-fleet bulk` in processes of its own, which tests kill, and inputs for it."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rerank_producer.bulk.committed.committed_run import failed_of
from rerank_producer.bulk.committed.journal import Journal, journal_of
from rerank_shared.settings import Settings, bare_environ, to_environ
from support.commands import COMMAND
from support.waiting import wait_until

_WORDS = (
    "berlin", "museum", "river", "lake", "bridge", "station", "garden", "tower", "winter", "summer", "train", "ship",
    "island", "forest", "mountain", "village", "market", "library", "school", "theatre", "music", "painter", "doctor",
)  # fmt: skip
_BAD = ("no JSON", '{"query": "no documents"}', '{"query": "", "documents": ["no query"]}', '["no object"]')


@dataclass(frozen=True, slots=True)
class BulkFiles:
    """An input and its output, and the command that makes one of the other."""

    settings: Settings
    source: Path
    output: Path
    options: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """The command line. The options that can't change the output may differ from one call to the next."""
        return [COMMAND, "bulk", str(self.source), str(self.output), *self.options]

    @property
    def written(self) -> tuple[bytes, bytes]:
        """The output and the file of failed rows."""
        return self.output.read_bytes(), failed_of(self.output).read_bytes()

    def run(self, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            [*prefix, *self.arguments], env=self._environ(), capture_output=True, text=True, timeout=100, check=False
        )

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Start the command; what it says is added to a log."""
        with log.open("ab") as output:
            return subprocess.Popen(self.arguments, env=self._environ(), stdout=output, stderr=output)

    def wait_for(self, rows: int, process: subprocess.Popen[bytes], log: Path) -> None:
        """Wait until so many rows are committed; fails where the command has ended before."""

        def reached() -> bool:
            return committed(self.output) >= rows or process.poll() is not None

        wait_until(reached, f"{rows} rows; see {log}")
        assert process.poll() is None, f"status {process.returncode} before {rows} rows: {log.read_text()}"

    def _environ(self) -> dict[str, str]:
        return bare_environ() | to_environ(self.settings)


def committed(output: Path) -> int:
    """How many rows of an output are committed."""
    try:
        journal = Journal.look_into(journal_of(output))
    except FileNotFoundError:
        return 0
    try:
        return journal.totals().queries
    finally:
        journal.close()


def write_rows(path: Path, count: int, documents: int, draw: random.Random, *, bad_share: float = 0.05) -> Path:
    """Write rows of short texts, a share of them bad, some equal to one before, some blank."""
    lines: list[str] = []
    for number in range(count):
        if draw.random() < bad_share:
            lines.append(draw.choice(_BAD))
        elif lines and draw.random() < 0.1:
            lines.append(draw.choice([*lines, ""]))
        else:
            texts = [_text(draw, 12) for _ in range(documents)]
            texts[-1] = draw.choice(texts)
            lines.append(json.dumps({"id": number, "query": _text(draw, 4), "documents": texts}))
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def _text(draw: random.Random, longest: int) -> str:
    return " ".join(draw.choices(_WORDS, k=draw.randint(1, longest)))
