"""Counts memory: one block for each worker process of a supervisor, added up for Prometheus.

A process that replaces another continues with its numbers, so no counter falls. A killed process loses no number. The
memory has no name and is freed with its last user, so a crash leaves nothing behind.
"""

from __future__ import annotations

import json
import mmap
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from rerank_worker.counting.block import BLOCK_BYTES, Counts

#: Environment variables of a worker process: the descriptor of the memory, and the index of its own block.
FD_VARIABLE = "FLEET_COUNTS_FD"
PLACE_VARIABLE = "FLEET_COUNTS_PLACE"


class CountsMemory(Collector):
    """The blocks of `places` worker processes, from construction until `close()`. Raises OSError without memory.

    Child processes inherit `fd`.
    """

    def __init__(self, places: int) -> None:
        self.fd = _memory(places * BLOCK_BYTES)
        self._blocks = [_block(self.fd, place) for place in range(places)]

    def collect(self) -> Iterator[Metric]:
        """Yield the sums over all processes, including those that have ended."""
        total: defaultdict[bytes, float] = defaultdict(float)
        for block in self._blocks:
            for key, number in Counts(block).read().items():
                total[key] += number
        yield from _families(total)

    def close(self) -> None:
        """Release the memory; a process that still counts in it is no longer read."""
        os.close(self.fd)
        self._blocks.clear()


@dataclass(frozen=True, slots=True)
class _Number:
    labels: dict[str, str]
    value: float


def own_counts(environ: Mapping[str, str]) -> Counts | None:
    """Return the block that the supervisor gave this process, None if it gave none.

    Raises OSError or ValueError if the block can't be opened.
    """
    if not (fd := environ.get(FD_VARIABLE)):
        return None
    return Counts(_block(int(fd), int(environ[PLACE_VARIABLE])))


def _memory(size: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("rerank-counts")
        try:
            os.ftruncate(fd, size)
        except OSError:
            os.close(fd)
            raise
        return fd
    # All bytes are written now: a later write to a page without disk space would end the process by SIGBUS.
    with tempfile.TemporaryFile() as file:
        file.write(bytes(size))
        file.flush()
        return os.dup(file.fileno())


def _block(fd: int, place: int) -> mmap.mmap:
    return mmap.mmap(fd, BLOCK_BYTES, offset=place * BLOCK_BYTES)


def _families(total: Mapping[bytes, float]) -> Iterator[Metric]:
    families: defaultdict[tuple[str, str, str], list[_Number]] = defaultdict(list)
    for key, number in total.items():
        kind, name, text, labels = json.loads(key)
        families[kind, name, text].append(_Number(labels, number))
    for (kind, name, text), numbers in families.items():
        yield _counter(name, text, numbers) if kind == "counter" else _histogram(name, text, numbers)


def _counter(name: str, text: str, numbers: Sequence[_Number]) -> Metric:
    family = CounterMetricFamily(name, text, labels=list(numbers[0].labels))
    for number in numbers:
        family.add_metric(list(number.labels.values()), number.value)
    return family


def _histogram(name: str, text: str, numbers: Sequence[_Number]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=[label for label in numbers[0].labels if label != "le"])
    buckets: defaultdict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    sums: dict[tuple[str, ...], float] = {}
    for number in numbers:
        limit = number.labels.pop("le", None)
        values = tuple(number.labels.values())
        if limit is None:
            sums[values] = number.value
        else:
            buckets[values][limit] = number.value
    for values, counted in buckets.items():
        limits = sorted(counted, key=float)
        cumulated = accumulate(counted[limit] for limit in limits)
        family.add_metric(values, list(zip(limits, cumulated, strict=True)), sums.get(values, 0.0))
    return family
