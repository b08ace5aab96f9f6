"""How a run begins or goes on: what serves it, whether it is the one that was begun, what is fixed for its rows."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any

from rerank_producer.bulk.asking.fleet import PatientFleet
from rerank_producer.bulk.asking.fusing import RunFusion
from rerank_producer.bulk.asking.window import Window
from rerank_producer.bulk.committed.committed_run import CommittedRun
from rerank_producer.bulk.committed.fingerprint import Fingerprint, differences, of_identity
from rerank_producer.bulk.pilot import measure_ratio
from rerank_producer.bulk.progress import Progress
from rerank_producer.bulk.spec import BulkSpec
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import InvalidRequest
from rerank_shared.settings import Settings

#: Notes that a retry of failed rows takes over from the run before it.
_KEPT_NOTES = ("fingerprint", "identity", "asked_model", "ratio", "total_queries", "run_id", "stamps", "overwrites")


@dataclass(frozen=True, slots=True)
class Fixed:
    """What is the same for all rows of a run, and after each kill.

    `identity` is the part of the fingerprint that says what scores. `tenant` alone sees the run's cached scores; ''
    where the fleet shares them. `verify_all` says that a file has been touched since, so that all of it is read again.
    """

    identity: Fingerprint
    fusion: RunFusion
    tenant: str
    verify_all: bool = False


@dataclass(frozen=True, slots=True)
class Beginning:
    """Begins a run, before its first row is asked."""

    spec: BulkSpec
    settings: Settings
    fleet: PatientFleet
    progress: Progress

    async def of_stream(self) -> Fixed:
        """Begin a run that leaves nothing behind to go on with."""
        identity = await self._identity()
        ratio = await self._ratio()
        return Fixed(identity, self.spec.fusion.with_ratio(ratio), self._tenant(uuid.uuid4().hex))

    async def of(self, run: CommittedRun) -> Fixed:
        """Begin a run, or check that it is the one that was begun.

        Raises RunDiffers, InputRefused, InvalidRequest, UnknownModel, QueueUnavailable, FleetGone, OSError.
        """
        identity = await self._identity()
        fingerprint = self.spec.fingerprint() | identity
        if run.begun and self.spec.overwrite and not _goes_on(run, fingerprint):
            run.begin_anew()
        stamps = self.spec.stamps()
        if run.begun:
            run.check(fingerprint)
        else:
            self.progress.stage = "reading the input"
            run.begin(
                fingerprint,
                identity=identity,
                asked_model=self._asked_model(),
                total_queries=await asyncio.to_thread(self.spec.format.survey),
                ratio=await self._ratio(),
                run_id=uuid.uuid4().hex,
                stamps=stamps,
                overwrites=self.spec.overwrite,
            )
        notes = run.journal.notes
        self.progress.total_queries = self._asked_of(notes["total_queries"])
        fusion = self.spec.fusion.with_ratio(notes["ratio"])
        return Fixed(identity, fusion, self._tenant(notes["run_id"]), verify_all=notes["stamps"] != stamps)

    def check_finished(self, run: CommittedRun) -> None:
        """Raise RunDiffers if a finished run was another than this one. It asks no fleet: models go by their names."""
        notes = run.journal.notes
        found = notes["fingerprint"] | self.spec.fingerprint()
        if notes["asked_model"] != self._asked_model():
            found["model"] = self._asked_model()
        run.check(found)

    async def retry(self, run: CommittedRun) -> None:
        """Make a finished run the one before this one, which asks its failed rows again. Raises as `of`."""
        run.check(self.spec.fingerprint() | await self._identity())
        notes = run.journal.notes
        run.retry_failed(**{name: notes[name] for name in _KEPT_NOTES})

    async def _identity(self) -> Fingerprint:
        self.progress.stage = "looking for the fleet"
        identity = await self.fleet.identity()
        asked: Any = self.spec.read.defaults.get("max_length")
        if asked is not None and asked > identity.max_length:
            raise InvalidRequest(
                f"max_length: {asked} is beyond the {identity.max_length} tokens of {identity.model!r}"
            )
        return of_identity(identity, asked or self.settings.max_length)

    async def _ratio(self) -> float | None:
        if not self.spec.fusion.needs_ratio:
            return self.spec.fusion.ratio
        self.progress.stage = "measuring the fusion ratio on the first rows"
        return await measure_ratio(
            self.spec.format, self.fleet, self.spec.fusion.order, Window(self.spec.most_requests)
        )

    def _asked_model(self) -> str:
        return name_of(self.settings.model)

    def _tenant(self, run_id: str) -> str:
        return f"bulk-{run_id}" if self.spec.private_cache else ""

    def _asked_of(self, total: int | None) -> int | None:
        limit = self.spec.limit_queries
        return total if limit is None or total is None else min(total, limit)


def _goes_on(run: CommittedRun, fingerprint: Fingerprint) -> bool:
    """Whether the run that is there was itself begun to overwrite another one, and then ended."""
    notes = run.journal.notes
    return notes["overwrites"] and not run.finished and not differences(notes["fingerprint"], fingerprint)
