"""Counters and histograms of a worker process, with the interface of prometheus_client.

They count in memory. Under a supervisor that serves /metrics the memory is the supervisor's
(rerank_worker.counting.memory), so the numbers outlive the process. prometheus_client itself would count in sparse
files, and on a full disk a write to such a file ends the process by SIGBUS.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar, Self

from rerank_worker.counting.block import BLOCK_BYTES, Counts

_here = Counts(bytearray(BLOCK_BYTES))
_unlabelled: list[_Metric] = []


def count_in(counts: Counts) -> None:
    """Count in another block from now on; earlier numbers stay in the old block."""
    global _here
    _here = counts
    for metric in _unlabelled:
        metric.show()


class _Metric:
    kind: ClassVar[str]

    def __init__(self, name: str, text: str, label_names: Sequence[str] = (), *, values: Sequence[str] = ()) -> None:
        self.name, self.text = name, text
        self._label_names, self._values = tuple(label_names), tuple(values)
        self._children: dict[tuple[str, ...], Self] = {}
        if not label_names:
            _unlabelled.append(self)

    def labels(self, *values: str) -> Self:
        """Return the child metric with these label values, which must come from closed sets."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._labelled(values)
        return child

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of its labels."""
        return self._label_names

    def show(self) -> None:
        """Make the metric appear before its first count."""

    def _labelled(self, values: tuple[str, ...]) -> Self:
        return type(self)(self.name, self.text, self._label_names, values=values)

    def _key(self, **more: str) -> bytes:
        labels = dict(zip(self._label_names, self._values, strict=False)) | more
        return json.dumps([self.kind, self.name, self.text, labels]).encode()


class Counter(_Metric):
    """A number that only grows. Prometheus sees it as `name`_total."""

    kind = "counter"

    def __init__(self, name: str, text: str, label_names: Sequence[str] = (), *, values: Sequence[str] = ()) -> None:
        super().__init__(name, text, label_names, values=values)
        self._total = self._key()

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`."""
        _here.add((self._total, amount))

    def show(self) -> None:
        """Make the metric appear, with 0, before its first count."""
        self.inc(0.0)

    @property
    def value(self) -> float:
        """The number in the current block."""
        return _here.read().get(self._total, 0.0)


class Histogram(_Metric):
    """Counts of observed values by bucket, and their sum."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        text: str,
        label_names: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        values: Sequence[str] = (),
    ) -> None:
        super().__init__(name, text, label_names, values=values)
        self._limits = tuple(buckets)
        self._buckets = tuple(self._key(le=str(limit)) for limit in (*buckets, "+Inf"))
        self._sum = self._key()
        self._shown_in: Counts | None = None

    def observe(self, value: float) -> None:
        """Count a value in its bucket and add it to the sum."""
        if self._shown_in is not _here:
            self.show()
        _here.add((self._buckets[bisect_left(self._limits, value)], 1.0), (self._sum, value))

    def show(self) -> None:
        """Make all buckets appear, empty ones too, so that the buckets of two processes can be added up."""
        self._shown_in = _here
        _here.add(*((key, 0.0) for key in (*self._buckets, self._sum)))

    def _labelled(self, values: tuple[str, ...]) -> Self:
        return type(self)(self.name, self.text, self._label_names, buckets=self._limits, values=values)
