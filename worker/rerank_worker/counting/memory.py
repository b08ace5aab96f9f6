"""Where the worker processes of one supervisor count: a block of memory for each place, and their sum for Prometheus.

A process that replaces another goes on with its numbers, so no counter falls, and one that is killed loses none. The
memory has no name and ends with its last user, whatever ends that: nothing is left behind.
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

#: What a worker process learns by its environment: a descriptor, and which block of it is its own.
FD_VARIABLE = "FLEET_COUNTS_FD"
PLACE_VARIABLE = "FLEET_COUNTS_PLACE"


class CountsMemory(Collector):
    """The blocks of so many places, from construction until `close()`. Raises OSError where there is no memory for it.

    `fd` is for child processes to inherit.
    """

    def __init__(self, places: int) -> None:
        self.fd = _memory(places * BLOCK_BYTES)
        self._blocks = [_block(self.fd, place) for place in range(places)]

    def collect(self) -> Iterator[Metric]:
        """Add up what all processes have counted, those that have ended included."""
        total: defaultdict[bytes, float] = defaultdict(float)
        for block in self._blocks:
            for key, number in Counts(block).read().items():
                total[key] += number
        yield from _families(total)

    def close(self) -> None:
        """Let go of it; processes that still count there go on unread."""
        os.close(self.fd)
        self._blocks.clear()


@dataclass(frozen=True, slots=True)
class _Number:
    labels: dict[str, str]
    value: float


def own_counts(environ: Mapping[str, str]) -> Counts | None:
    """Return where the supervisor wants this process to count, None if it does not want to know.

    Raises OSError or ValueError where that memory can't be had.
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
    # Written whole, for a page that the disk has no room for would end whoever counts there.
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
