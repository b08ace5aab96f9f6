"""Asking the fleet: a trial, the labels, and scores to measure by. What was answered is kept, and never asked twice."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from rerank_ops.cli.bar import progress
from rerank_ops.cli.console import err
from rerank_ops.cli.distil.domains import Domain
from rerank_ops.cli.distil.job import Job
from rerank_ops.cli.evaluate.fleets import Reached, fleet_of
from rerank_ops.distil.labels import CHUNK, Labels
from rerank_ops.distil.lists import LearnedList, pairs_in
from rerank_ops.distil.recipe import key_of
from rerank_ops.evaluate.dataset import Labelled
from rerank_ops.evaluate.saved import fingerprint_of, save_scores, saved_scores
from rerank_ops.evaluate.scoring import ModelScores, scored
from rerank_ops.fusion.labelled import LabelledQuery, LabelledSet
from rerank_ops.fusion.scoring import score
from rerank_ops.quality.collection import drawn
from rerank_ops.signals import run_stoppable
from rerank_producer import AsyncRerankClient
from rerank_shared.contract.schemas import Document, ModelInfo, RerankResponse
from rerank_shared.errors import RerankError

#: Requests in flight.
_IN_FLIGHT = 8
#: Lists of a trial, behind a first one that warms up.
_TRIED = 6


@dataclass(slots=True)
class Asked:
    """A model on a fleet, which is reached, or started, when it is asked for the first time."""

    model: str
    job: Job
    stack: ExitStack
    _reached: Reached | None = None

    @property
    def reached(self) -> Reached:
        """The fleet. Raises as `fleet_of`."""
        if self._reached is None:
            self._reached = self.stack.enter_context(fleet_of(self.model, self.job.url, up=self.job.up))
        return self._reached

    def seconds_a_pair(self, lists: Sequence[LearnedList]) -> float:
        """Return the time of a pair, by a short trial past the cache. Raises as the client does."""
        with err.status("trying out how fast the teacher is"):
            return run_stoppable(self._tried(lists[: _TRIED + 1]))

    async def _tried(self, lists: Sequence[LearnedList]) -> float:
        fresh = {**self.job.options, "cache_scope": "tenant", "tenant": f"distil-{uuid.uuid4().hex[:12]}"}
        async with AsyncRerankClient(self.reached.settings) as client:
            await score(client, asked_of(lists[:1]), concurrency=1, on_answer=_hear, options=fresh)
            started = time.perf_counter()
            await score(client, asked_of(lists[1:]), concurrency=_IN_FLIGHT, on_answer=_hear, options=fresh)
            return (time.perf_counter() - started) / max(1, pairs_in(lists[1:]))

    def label(self, lists: Sequence[LearnedList], labels: Labels) -> None:
        """Label what has no label yet. Raises as the client does, RunDiffers where the teacher changed, OSError."""
        if missing := labels.missing(lists):
            run_stoppable(self._label(missing, labels))

    async def _label(self, missing: Sequence[LearnedList], labels: Labels) -> None:
        async with AsyncRerankClient(self.reached.settings) as client:
            with progress(len(missing)) as advance:
                for start in range(0, len(missing), CHUNK):
                    some = missing[start : start + CHUNK]
                    teachers: list[ModelInfo] = []

                    def hear(response: RerankResponse | None, teachers: list[ModelInfo] = teachers) -> None:
                        teachers += [] if response is None else [response.model]
                        advance()

                    try:
                        found = await score(
                            client,
                            asked_of(some),
                            concurrency=_IN_FLIGHT,
                            on_answer=hear,
                            options=self.job.options,
                        )
                    except RerankError:
                        err.print(
                            f"note: {len(labels.logits):,} lists have labels, {len(missing) - start:,} have none; the "
                            "same command goes on from there",
                            style="yellow",
                        )
                        raise
                    for teacher in teachers:
                        labels.check_teacher(teacher)
                    labels.add({each.key: query.logits for each, query in zip(some, found, strict=True)})

    def scores(self, domain: Domain, name: str, *, timed: int) -> ModelScores:
        """Return the model's scores of a domain, read where they were kept. Raises as the client does, OSError."""
        labelled = Labelled({query.id: query.query for query in domain.labelled.queries}, domain.labelled.qrels)
        fingerprint = fingerprint_of(
            {"texts": domain.digest},
            labelled,
            domain.stage,
            model=self.model,
            max_length=self.job.teacher_length,
            timed=timed,
        )
        # Named by all that they depend on, so that a command with other options never meets them.
        kept = self.job.work / f"scores-{key_of(fingerprint)}"
        if (found := saved_scores(kept, name, fingerprint)) is None:
            found = run_stoppable(self._scored(domain, name, timed))
            save_scores(kept, found, fingerprint)
        return found

    async def _scored(self, domain: Domain, name: str, count: int) -> ModelScores:
        timed = drawn((query.id for query in domain.labelled.queries if query.candidates), count)
        with progress(len(domain.labelled.queries) + len(timed)) as advance:
            async with AsyncRerankClient(self.reached.settings) as client:
                return await scored(
                    client,
                    name,
                    domain.labelled,
                    timed,
                    options=self.job.options,
                    tell=advance,
                    processes=self.reached.processes,
                )


def asked_of(lists: Sequence[LearnedList]) -> LabelledSet:
    """Return lists as queries to score."""
    queries = tuple(
        LabelledQuery(
            each.id, each.query, tuple(Document(id=c.id, text=c.text, score=c.first) for c in each.candidates)
        )
        for each in lists
    )
    return LabelledSet("lists", queries, {})


def _hear(_: object) -> None:
    """Hear an answer of which nothing is counted."""
