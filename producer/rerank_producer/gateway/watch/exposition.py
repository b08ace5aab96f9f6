"""The gateway's /metrics: its own requests, over all its processes, and the fleet as it is in Redis.

Several processes share a port, and a scrape reaches any of them. So they count in files of one directory, by
prometheus_client's multi-process mode, and each answers for all.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from rerank_producer.gateway.watch.counts_directory import counts_directory, hold
from rerank_producer.gateway.watch.remembered import Remembered
from rerank_shared.collectors import all_collectors
from rerank_shared.settings import Settings

log = logging.getLogger(__name__)
#: Where prometheus_client counts once it is imported with this variable set.
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
#: Scrapes that wait while Redis is asked share its answer: before a server that hangs none waits for all before it.
_SHARED_S = 0.1


class Exposition:
    """Makes the text of /metrics. Redis is asked once at a time: a scrape reads the whole backlog."""

    def __init__(self, fleet: Settings) -> None:
        if (path := os.environ.get(_DIRECTORY)) is not None:
            # As long as this process lives, which may be longer than the one that started it.
            with suppress(OSError):
                hold(Path(path))
        registry = CollectorRegistry()
        for collector in all_collectors(fleet):
            registry.register(collector)
        self._fleet = Remembered(lambda: asyncio.to_thread(generate_latest, registry), _SHARED_S)

    async def text(self) -> bytes:
        """Return the metrics in Prometheus's text format. While Redis is away those of the fleet are absent."""
        fleet = await self._fleet.get()
        return generate_latest(_own()) + fleet


@contextmanager
def counted_together(processes: int) -> Iterator[None]:
    """Let the processes that start inside the block count together, where they are several."""
    if processes == 1 or _DIRECTORY in os.environ:
        yield
        return
    with ExitStack() as stack:
        try:
            directory = stack.enter_context(counts_directory())
        except OSError as error:
            # Answers matter more than metrics.
            log.warning("metrics of the gateway are those of one process at a time error=%r", error)
            yield
            return
        os.environ[_DIRECTORY] = str(directory)
        try:
            yield
        finally:
            del os.environ[_DIRECTORY]


def _own() -> Collector:
    if (path := os.environ.get(_DIRECTORY)) is None:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path)
    return registry
