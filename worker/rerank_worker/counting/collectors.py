"""Counters and histograms of a worker process, used as those of prometheus_client are.

They count in memory. Under a supervisor that serves /metrics it is the supervisor's (rerank_worker.counting.memory), so
what was counted outlives the process. prometheus_client itself would count in sparse files, and on a full disk a write
to one ends the process by SIGBUS.
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
    """Count in another block from now on; what this process has counted so far stays behind."""
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
        """Return the one with these labels, which come from closed sets."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._labelled(values)
        return child

    def show(self) -> None:
        """Show it where nothing was counted yet."""

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
        """Count."""
        _here.add((self._total, amount))

    def show(self) -> None:
        """Show 0 where nothing was counted yet."""
        self.inc(0.0)

    @property
    def value(self) -> float:
        """What was counted where this process counts."""
        return _here.read().get(self._total, 0.0)


class Histogram(_Metric):
    """How often values lay between the limits of its buckets, and their sum."""

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
        """Count a value."""
        if self._shown_in is not _here:
            self.show()
        _here.add((self._buckets[bisect_left(self._limits, value)], 1.0), (self._sum, value))

    def show(self) -> None:
        """Show all buckets, empty ones too, or nobody could add those of two processes up."""
        self._shown_in = _here
        _here.add(*((key, 0.0) for key in (*self._buckets, self._sum)))

    def _labelled(self, values: tuple[str, ...]) -> Self:
        return type(self)(self.name, self.text, self._label_names, buckets=self._limits, values=values)
