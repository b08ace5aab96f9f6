"""Changes the models of live processes: one process of each host at a time, all hosts side by side.

So the others of a host go on at their full speed, and each finds the memory that the one before it has left. Redis away
is waited out for a minute; then what is known of each process is told.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from rerank_ops.models.asking import Asker
from rerank_ops.models.patience import Patience
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.contract.model_commands import ModelChange, ProcessModels, Verb
from rerank_shared.errors import QueueUnavailable

#: A live process answers within milliseconds; one that is reconnecting hears nothing for a moment.
_SILENT_S = 10.0
_LOOK_S = 0.3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the change of one process ended; not `known` where Redis stayed away, and `change.told` says what is."""

    worker: str
    host: str
    change: ModelChange
    known: bool = True


@dataclass(slots=True)
class _Round:
    """One process of each host: those that have not answered yet, those that are at the change, and those that ended.

    `unsure` were asked, and may have heard it though no answer came. `waited_s` is how long the round has lasted,
    `silent_s` how long since Redis was away last.
    """

    asked: set[str]
    begun: set[str] = field(default_factory=set)
    ended: dict[str, ModelChange] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    silent_s: float = 0.0
    waited_s: float = 0.0

    @property
    def open(self) -> set[str]:
        return self.asked | self.begun

    def take_ended(self) -> list[tuple[str, ModelChange]]:
        ended, self.ended = self.ended, {}
        self.asked -= ended.keys()
        self.begun -= ended.keys()
        return sorted(ended.items())


@dataclass(slots=True)
class Changing:
    """One change of live processes. `alive` returns the ids of those with a heartbeat.

    A process that is not done after `timeout_s` is given up, and goes on by itself. Time without Redis does not count.
    """

    asker: Asker
    verb: Verb
    model: str
    alive: Callable[[], set[str]]
    timeout_s: float
    patience: Patience
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _hosts: dict[str, str] = field(default_factory=dict, init=False)

    def run(self, workers: Iterable[Heartbeat]) -> Iterator[Outcome]:
        """Change these processes, and yield the outcome of each as it is known.

        Raises QueueUnavailable where Redis stays away; what is known of each process has been yielded then.
        """
        by_host = defaultdict(list)
        for worker in sorted(workers, key=lambda worker: worker.worker_id):
            self._hosts[worker.worker_id] = worker.host
            by_host[worker.host].append(worker.worker_id)
        rounds = [[worker for worker in each if worker is not None] for each in zip_longest(*by_host.values())]
        for number, round_ in enumerate(rounds, 1):
            now = _Round(set(round_))
            try:
                yield from self._round(now)
            except QueueUnavailable:
                yield from self._given_up(now, [worker for later in rounds[number:] for worker in later])
                raise

    def _round(self, now: _Round) -> Iterator[Outcome]:
        while now.open:
            before = self.clock()
            reached = self.patience.try_to(lambda: self._look(now))
            yield from self._outcomes(now)
            if now.open:
                self.sleep(_LOOK_S)
            if reached:
                now.waited_s += self.clock() - before
                now.silent_s += self.clock() - before
            else:
                now.silent_s = 0.0

    def _look(self, now: _Round) -> None:
        """Ask all that are not done, and note those that are. Raises Redis's errors."""
        if now.asked:
            again, now.unsure = now.unsure, now.unsure | now.asked
            for worker, change in self.asker.change(self.verb, self.model, now.asked).items():
                now.asked.discard(worker)
                if change.state == "begun":
                    now.begun.add(worker)
                else:
                    now.ended[worker] = self._of_repeated(change) if worker in again else change
        for worker, told in (self.asker.models(now.begun) if now.begun else {}).items():
            if (ended := self._ended(told)) is not None:
                now.ended[worker] = ended
        self._give_up_late(now)

    def _give_up_late(self, now: _Round) -> None:
        # After an outage each process needs a moment for its next heartbeat.
        if self.patience.settled(_SILENT_S):
            for worker in now.open - self.alive() - now.ended.keys():
                now.ended[worker] = self._failed(
                    "its heartbeat has ended: the process ended, or is frozen or cut off; its jobs are run by others"
                )
        if now.silent_s > _SILENT_S:
            now.ended |= {
                worker: self._failed(f"no answer within {_SILENT_S:.0f} s: it is frozen, cut off or very busy")
                for worker in now.asked - now.ended.keys()
            }
        if now.waited_s > self.timeout_s:
            late = f"not done after {self.timeout_s:.0f} s; it goes on, and `rerank-fleet models` shows it"
            now.ended |= {worker: self._failed(late) for worker in now.begun - now.ended.keys()}

    def _ended(self, told: ProcessModels) -> ModelChange | None:
        """Return how the change ended by what a process tells; None while it is at it."""
        change = told.change
        if change is None or (change.verb, change.model) != (self.verb, self.model):
            return self._failed("another change came between; `rerank-fleet models` shows what it serves")
        return None if change.state == "begun" else change

    def _of_repeated(self, change: ModelChange) -> ModelChange:
        """Return the answer of a process that was asked before: it may have unloaded the model by then."""
        if change.state != "absent":
            return change
        return ModelChange(self.verb, self.model, "done", f"{self.model} is served no longer; {change.told}")

    def _outcomes(self, now: _Round) -> Iterator[Outcome]:
        yield from (Outcome(worker, self._hosts[worker], change) for worker, change in now.take_ended())

    def _given_up(self, now: _Round, later: Sequence[str]) -> Iterator[Outcome]:
        """Yield how those ended that the last look found, and what is known of all others."""
        yield from self._outcomes(now)
        known = dict.fromkeys(now.begun, f"had begun to {self.verb}, and goes on by itself")
        known |= dict.fromkeys(now.asked, "may have been asked or not")
        known |= dict.fromkeys(later, "was not asked")
        for worker, told in sorted(known.items()):
            yield Outcome(worker, self._hosts[worker], self._failed(told), known=False)

    def _failed(self, told: str) -> ModelChange:
        return ModelChange(self.verb, self.model, "failed", told)
