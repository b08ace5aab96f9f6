"""Micro-batching policy: decides which pairs run next, and when. Pure: no thread, no clock, no session of its own.

Interactive pairs run before bulk pairs, which keep a minimum share. Within a class the earliest due time runs first,
and a job's pairs keep their first-stage order. A batch takes pairs up to its token budget; padding counts in layout
padded. It closes when the budget is full, when its oldest pair has waited `max_wait_s`, or when its most urgent
pair would miss its deadline by a longer wait. Equal pairs (same digest) are one entry.

A process that serves several models has a batcher for each; lane_order.py chooses among them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from rerank_shared.keys import JOB_CLASSES, JobClass
from rerank_shared.models.precision import LayoutName
from rerank_shared.scheduling.admission import AdmissionEstimate
from rerank_shared.scheduling.cost import Work
from rerank_shared.scheduling.fairness import ClassShare

#: A padded batch picks pairs of similar length among the most urgent pairs, up to this many token budgets of them.
_WINDOW_BUDGETS = 4
#: A batch that is predicted to end within this time may have more than `most_pairs`: each costs a process up to half a
#: millisecond beside the engine, and a more urgent pair waits no longer for its end than this.
BRIEF_S = 0.04
#: Bulk's share of the tokens where none is given.
_BULK_SHARE = 0.05
#: Stale places are cleared when all places outnumber twice the waiting pairs by more than this.
_STALE_PLACES = 64

Place = tuple[float, int, bytes]


@dataclass(frozen=True, slots=True)
class WaitingPair:
    """One waiting pair. Times are seconds on the caller's clock.

    `due_at`: its urgency (scheduling/urgency.py). `entered`: the time it began to wait here. `sequence`: keeps the
    first-stage order within a job.
    """

    digest: bytes
    tokens: int
    due_at: float
    deadline: float
    entered: float
    sequence: int
    job_class: JobClass = "interactive"

    @property
    def place(self) -> Place:
        """The pair's place in the order of its class."""
        return self.due_at, self.sequence, self.digest


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs to run now. Layout unpadded: most urgent first; other layouts: shortest first."""

    candidates: tuple[WaitingPair, ...]

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return sum(candidate.tokens for candidate in self.candidates)


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """No batch before `until` (seconds on the caller's clock) unless a pair is added. None: no pair waits."""

    until: float | None


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What waits for the other models of the process.

    `interactive`: whether an interactive pair does. `bulk_tokens`: of the most urgent bulk pair, None without one.
    `first`: by the weights of the models an interactive pair elsewhere goes before all that wait here.
    """

    interactive: bool = False
    bulk_tokens: int | None = None
    first: bool = False

    def holds_back(self, job_class: JobClass) -> bool:
        """Return whether pairs of that class fill no rest of a batch here."""
        return self.interactive if job_class == "bulk" else self.first


#: A process with one model has nothing else waiting.
NOTHING_ELSE = Elsewhere()


@dataclass(frozen=True, slots=True)
class Waiting:
    """Work that waits: its tokens without padding, and the seconds that it is predicted to run."""

    tokens: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Waiting) -> Waiting:
        """Return the sum."""
        return Waiting(self.tokens + other.tokens, self.seconds + other.seconds)


class Batcher:
    """Holds the waiting pairs and chooses batches. Not thread-safe: its owner locks."""

    def __init__(
        self,
        *,
        budget_tokens: int,
        max_wait_s: float,
        predict_s: Callable[[Work], float],
        layout: LayoutName = "unpadded",
        work_of: Callable[[int], Work] = Work.pair,
        share: ClassShare | None = None,
        most_pairs: int | None = None,
        name: str = "",
        weight: float | None = None,
    ) -> None:
        """Create an empty batcher.

        `work_of`: the work that a pair of so many tokens adds to a run. `predict_s`: the seconds that work takes.
        `share`: the share of bulk, one for all batchers of a process; None: its own, of the default share.
        `most_pairs` caps a batch where a larger one is hardly faster: a more urgent pair would wait longer for its end.
        It does not cap one that ends within BRIEF_S. `name` and `weight` are its model's, by which the models of the
        process share interactive tokens; see lane_order.py.
        """
        self._budget = budget_tokens
        self._max_wait_s = max_wait_s
        self._layout = layout
        self.most_pairs = most_pairs
        self.name, self.weight = name, weight
        self.predict_s = predict_s
        # Each pair's work is asked for when it comes, when it is chosen and when it leaves.
        self._work_of = lru_cache(maxsize=1_024)(work_of)
        self.share = share or ClassShare(_BULK_SHARE)
        self._waiting: dict[bytes, WaitingPair] = {}
        # A place that differs from the current place of its pair is stale and skipped.
        self._places: dict[JobClass, list[Place]] = {job_class: [] for job_class in JOB_CLASSES}
        self.tokens = 0
        #: The work of all waiting pairs.
        self.work = Work()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, candidate: WaitingPair) -> None:
        """Add a waiting pair. If an equal pair waits already, the two are joined: the earlier times and the more urgent
        class hold for both."""
        present = self._waiting.get(candidate.digest)
        if present is None:
            self.tokens += candidate.tokens
            self.work += self._work_of(candidate.tokens)
        else:
            candidate = _joined(present, candidate)
            if candidate == present:
                return
        self._waiting[candidate.digest] = candidate
        heapq.heappush(self._places[candidate.job_class], candidate.place)
        if sum(map(len, self._places.values())) > 2 * len(self._waiting) + _STALE_PLACES:
            self._clear_away()

    def discard(self, digest: bytes) -> None:
        """Remove a waiting pair; its place in the order becomes stale."""
        if (candidate := self._waiting.pop(digest, None)) is not None:
            self.tokens -= candidate.tokens
            # Sums of floats drift, so an empty batcher starts from zero again.
            self.work = self.work - self._work_of(candidate.tokens) if self._waiting else Work()

    def closes_at(self) -> float | None:
        """Return the time at which the next batch closes, minus infinity if it is full; None while no pair waits."""
        if not self._waiting:
            return None
        return self._close_at() if self._max_wait_s > 0 and self.tokens < self._budget else -math.inf

    def next(self, now: float, elsewhere: Elsewhere = NOTHING_ELSE) -> Batch | WaitUntil:
        """Return the batch to run at `now`, or the time to wait for one.

        The batch ends where the share of bulk says that the next pair is one of `elsewhere`.
        """
        if (closes_at := self.closes_at()) is None:
            self._clear_away()
            return WaitUntil(None)
        if closes_at > now:
            return WaitUntil(closes_at)
        chosen = self._fill_padded(elsewhere) if self._layout == "padded" else self._fill(elsewhere)
        if self._layout != "unpadded":
            chosen.sort(key=lambda c: (c.tokens, c.sequence))
        return Batch(tuple(chosen))

    def first(self, job_class: JobClass) -> WaitingPair | None:
        """Return the most urgent pair of a class, and drop the stale places before it."""
        places = self._places[job_class]
        while places:
            candidate = self._waiting.get(places[0][2])
            if candidate is not None and candidate.job_class == job_class and candidate.place == places[0]:
                return candidate
            heapq.heappop(places)
        return None

    def ahead(self, job_class: JobClass, due_at: float) -> Work:
        """Return the waiting work that runs before a pair of that class and due time."""
        ahead = Work()
        for candidate in self._waiting.values():
            same = candidate.job_class == job_class
            if candidate.due_at <= due_at if same else candidate.job_class == "interactive":
                ahead += self._work_of(candidate.tokens)
        return ahead

    def ahead_s(self, job_class: JobClass, due_at: float) -> float:
        """Return the predicted seconds of that work."""
        return self.predict_s(self.ahead(job_class, due_at))

    @property
    def waiting(self) -> Waiting:
        """What waits. Any thread may read it: the work is one reference, replaced as a whole."""
        work = self.work
        return Waiting(work.tokens, self.predict_s(work))

    def estimate(
        self, lengths: Iterable[int], job_class: JobClass, due_at: float, *, running_s: float, left_s: float
    ) -> AdmissionEstimate:
        """Return the estimate for a job that arrives now with pairs of these lengths in tokens.

        `running_s`: seconds until the current batch ends, and of what other batchers run before the job. `left_s`:
        seconds to the job's deadline. A pair of the job that equals a waiting pair counts twice, so the estimate errs
        high.
        """
        wait_s = running_s + self.ahead_s(job_class, due_at)
        return AdmissionEstimate(wait_s, sum(self.predict_s(self._work_of(tokens)) for tokens in lengths), left_s)

    def _close_at(self) -> float:
        oldest = min(candidate.entered for candidate in self._waiting.values())
        tightest = min(candidate.deadline for candidate in self._waiting.values())
        return min(oldest + self._max_wait_s, tightest - self.predict_s(self.work))

    def _fill_padded(self, elsewhere: Elsewhere) -> list[WaitingPair]:
        """Take the first pair and pairs of similar length from its class, then fill the rest from the other class.

        Bulk fills no rest while an interactive pair waits elsewhere, and interactive none where that goes before it.
        """
        first = {job_class: self.first(job_class) for job_class in JOB_CLASSES}
        chosen_class, both_wait = self._chosen(first["interactive"], first["bulk"], elsewhere)
        seed = first[chosen_class]
        assert seed is not None
        chosen: list[WaitingPair] = []
        longest = 0
        for job_class in sorted(JOB_CLASSES, key=lambda name: name != chosen_class):
            if job_class != chosen_class and elsewhere.holds_back(job_class):
                break
            window = self._pop_class(job_class, self._budget * _WINDOW_BUDGETS)
            window.sort(key=lambda c: (abs(c.tokens - seed.tokens), c.place))
            for index, candidate in enumerate(window):
                padded = max(longest, candidate.tokens) * (len(chosen) + 1)
                if chosen and padded > self._budget:
                    for left in window[index:]:
                        self.add(left)
                    break
                chosen.append(candidate)
                longest = max(longest, candidate.tokens)
                self.share.served(job_class, candidate.tokens, other_waits=both_wait)
        return chosen

    def _pop_class(self, job_class: JobClass, tokens: int) -> list[WaitingPair]:
        """Take the most urgent pairs of a class that fit in `tokens`, but at least one if any waits."""
        taken: list[WaitingPair] = []
        total = 0
        while (candidate := self.first(job_class)) is not None:
            total += candidate.tokens
            if taken and total > tokens:
                break
            self._take(candidate)
            taken.append(candidate)
        return taken

    def _take(self, candidate: WaitingPair) -> None:
        """Remove the pair that is first in its class."""
        heapq.heappop(self._places[candidate.job_class])
        self.discard(candidate.digest)

    def _fill(self, elsewhere: Elsewhere) -> list[WaitingPair]:
        """Take the first pairs that fit the budget, but at least one: the settings guarantee that one pair fits."""
        taken: list[WaitingPair] = []
        total, seconds = 0, 0.0
        while True:
            interactive, bulk = self.first("interactive"), self.first("bulk")
            if interactive is None and bulk is None:
                return taken
            chosen, both_wait = self._chosen(interactive, bulk, elsewhere)
            candidate = interactive if chosen == "interactive" else bulk
            if candidate is None or (chosen == "interactive" and elsewhere.first):
                assert taken
                return taken
            seconds += self.predict_s(self._work_of(candidate.tokens))
            if taken and (total + candidate.tokens > self._budget or self._is_full(len(taken), seconds)):
                return taken
            self._take(candidate)
            self.share.served(chosen, candidate.tokens, other_waits=both_wait)
            taken.append(candidate)
            total += candidate.tokens

    def _chosen(
        self, interactive: WaitingPair | None, bulk: WaitingPair | None, elsewhere: Elsewhere
    ) -> tuple[JobClass, bool]:
        """Return the class of the next pair of the process, and whether both classes wait in it."""
        bulk_tokens = elsewhere.bulk_tokens if bulk is None else bulk.tokens
        any_interactive = interactive is not None or elsewhere.interactive
        return self.share.choose(any_interactive, bulk_tokens), any_interactive and bulk_tokens is not None

    def _is_full(self, taken: int, seconds: float) -> bool:
        """Return whether a batch of `taken` pairs takes no further one, with which it is predicted to run `seconds`."""
        return self.most_pairs is not None and taken >= self.most_pairs and not 0.0 < seconds <= BRIEF_S

    def _clear_away(self) -> None:
        for job_class, places in self._places.items():
            places[:] = [c.place for c in self._waiting.values() if c.job_class == job_class]
            heapq.heapify(places)


def _joined(present: WaitingPair, newcomer: WaitingPair) -> WaitingPair:
    """Return one entry for two equal pairs; it counts as waiting since the first one entered."""
    earlier = newcomer if newcomer.due_at < present.due_at else present
    return replace(
        earlier,
        tokens=present.tokens,
        deadline=min(present.deadline, newcomer.deadline),
        entered=present.entered,
        job_class=present.job_class if newcomer.job_class == "bulk" else newcomer.job_class,
    )
