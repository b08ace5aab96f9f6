"""What all parts share: server, fleet and gateway of a run, its questions, its cores."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rerank_dev.bench.gateway.connection import post
from rerank_dev.bench.scheduling.load import Query, Questions
from rerank_dev.bench.served import Served, served_gateway
from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.settings import load_settings
from rerank_worker.supervisor.cores import available_cores

#: What a client of Cohere's sends; the fleet's own model stands in for it.
PATH, MODEL = "/v2/rerank", "rerank-v3.5"
#: More than any request of the benchmark waits: a refusal would spare the fleet work that the peer does.
DEADLINE_MS = 120_000
_TERMS = {"X-Rerank-Deadline-Ms": str(DEADLINE_MS), "X-Rerank-Partial": "false"}


@dataclass(frozen=True, slots=True)
class Place:
    """A running fleet with its server, and a directory for logs."""

    fleet: LocalFleet
    server: EmbeddedServer
    logs: Path
    questions: Questions

    def gateway(self, name: str) -> Served:
        """Start a gateway process."""
        return served_gateway(self.fleet.settings, self.logs / f"{name}.log")

    def queries(self, seed: int, count: int, k: int, mark: str = "") -> list[Query]:
        """Return questions with `k` candidates; a `mark` makes each of them new to all caches."""
        chance = random.Random(seed)
        return [self.questions.pick(chance, k, f"{mark} {number}" if mark else "") for number in range(count)]


@contextmanager
def place() -> Iterator[Place]:
    """Yield a fleet with a worker process a core, warm."""
    with tempfile.TemporaryDirectory(prefix="rerank-bench-") as logs, EmbeddedServer.start() as server:
        settings = load_settings(redis_url=server.url, namespace="bench-gateway")
        with local_fleet(settings) as fleet:
            yield Place(fleet, server, Path(logs), Questions())


def cohere(url: str, query: Query) -> bytes:
    """Return a query as a client of Cohere's v2 API sends it, with a deadline that it meets."""
    content = {"model": MODEL, "query": query.text, "documents": list(query.documents)}
    return post(url, PATH, content, _TERMS)


def native(url: str, query: Query) -> bytes:
    """Return a query in the fleet's own shape, whose answer has the client's own times."""
    return post(url, "/v1/fleet/rerank", {"query": query.text, "documents": list(query.documents)}, _TERMS)


def two_cores() -> tuple[int, int]:
    """Return the core of what is measured and that of all the rest; the same one where there is only one."""
    cores = available_cores()
    return cores[0], cores[-1]
