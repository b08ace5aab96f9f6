"""What all parts share: a server, a warm fleet, a directory for inputs and outputs, and how much is to be done."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rerank_dev.bench.engine.place import WORK
from rerank_dev.bench.scheduling.load import Questions
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.settings import Settings, load_settings

#: Where `make bench-engine` has brought the catalogue's model back to the weights that sentence-transformers reads.
PEER_MODEL = WORK / "minilm-l12" / "hf"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. Figures of the small scale tell that a part works, and nothing else."""

    rounds: int = 5
    rows: int = 150
    documents: int = 20
    peer_rows: int = 30
    seconds: float = 40.0
    memory_rows: int = 1_000_000
    journal_rows: int = 100_000_000


SMALL = Scale(rounds=1, rows=8, documents=10, peer_rows=3, seconds=20.0, memory_rows=20_000, journal_rows=1_000_000)


@dataclass(frozen=True, slots=True)
class Place:
    """A running fleet with a process a core, and what the parts need."""

    fleet: LocalFleet
    work: Path
    scale: Scale
    peers_python: Path
    questions: Questions = field(default_factory=Questions)

    @property
    def settings(self) -> Settings:
        """The settings of the fleet."""
        return self.fleet.settings

    def rows(self, mark: str, count: int, documents: int) -> Path:
        """Write an input of questions about the standard library; a mark makes each new to the cache."""
        draw, path = random.Random(len(mark)), self.work / f"{mark}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for number in range(count):
                query = self.questions.pick(draw, documents, f"{mark} {number}")
                file.write(json.dumps({"query": query.text, "documents": query.documents}) + "\n")
        return path


@contextmanager
def place(scale: Scale, peers_python: Path) -> Iterator[Place]:
    """Yield a fleet with a worker process a core, warm."""
    with tempfile.TemporaryDirectory(prefix="rerank-bench-") as work, EmbeddedServer.start() as server:
        settings = load_settings(redis_url=server.url, namespace="bench-bulk", log_level="WARNING")
        with local_fleet(settings) as fleet:
            yield Place(fleet, Path(work), scale, peers_python)
