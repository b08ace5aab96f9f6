"""Changes the models of live processes: one process of each host at a time, all hosts side by side.

So the others of a host go on at their full speed, and each finds the memory that the one before it has left.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from rerank_ops.models.asking import Asker
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.contract.model_commands import ModelChange, ProcessModels, Verb

#: A live process answers within milliseconds; one that is reconnecting hears nothing for a moment.
_SILENT_S = 10.0
_LOOK_S = 0.3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the change of one process ended."""

    worker: str
    host: str
    change: ModelChange


@dataclass(slots=True)
class Changing:
    """One change of live processes. `alive` returns the ids of those with a heartbeat.

    A process that is not done after `timeout_s` is given up, and goes on by itself.
    """

    asker: Asker
    verb: Verb
    model: str
    alive: Callable[[], set[str]]
    timeout_s: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _hosts: dict[str, str] = field(default_factory=dict, init=False)

    def run(self, workers: Iterable[Heartbeat]) -> Iterator[Outcome]:
        """Change these processes, and yield the outcome of each as it is known. Raises Redis's errors."""
        by_host = defaultdict(list)
        for worker in sorted(workers, key=lambda worker: worker.worker_id):
            self._hosts[worker.worker_id] = worker.host
            by_host[worker.host].append(worker.worker_id)
        for round_ in zip_longest(*by_host.values()):
            yield from self._round([worker for worker in round_ if worker is not None])

    def _round(self, workers: Sequence[str]) -> Iterator[Outcome]:
        started, asked, begun = self.clock(), set(workers), set[str]()
        while asked or begun:
            waited_s = self.clock() - started
            ended: dict[str, ModelChange] = {}
            for worker, change in (self.asker.change(self.verb, self.model, asked) if asked else {}).items():
                asked.discard(worker)
                if change.state == "begun":
                    begun.add(worker)
                else:
                    ended[worker] = change
            for worker, told in (self.asker.models(begun) if begun else {}).items():
                if (outcome := self._outcome(told)) is not None:
                    ended[worker] = outcome
            for worker in (asked | begun) - self.alive() - ended.keys():
                ended[worker] = self._failed("the process ended meanwhile; its jobs are run by others")
            if waited_s > _SILENT_S:
                ended |= {worker: self._failed(f"no answer within {_SILENT_S:.0f} s") for worker in asked}
            if waited_s > self.timeout_s:
                late = f"not done after {self.timeout_s:.0f} s; it goes on, and `rerank-fleet models` shows it"
                ended |= {worker: self._failed(late) for worker in begun - ended.keys()}
            asked, begun = asked - ended.keys(), begun - ended.keys()
            yield from (Outcome(worker, self._hosts[worker], change) for worker, change in sorted(ended.items()))
            if asked or begun:
                self.sleep(_LOOK_S)

    def _outcome(self, told: ProcessModels) -> ModelChange | None:
        """Return how the change ended by what a process tells; None while it is at it."""
        change = told.change
        if change is None or (change.verb, change.model) != (self.verb, self.model):
            return self._failed("another change came between; `rerank-fleet models` shows what it serves")
        return None if change.state == "begun" else change

    def _failed(self, told: str) -> ModelChange:
        return ModelChange(self.verb, self.model, "failed", told)
