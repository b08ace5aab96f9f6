"""Strays: jobs whose model this process does not serve, and jobs of pools that nobody serves any more.

The queue moves them (rerank_shared/queue/strays.py); this decides which, and where to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rerank_shared.contract.messages import Job
from rerank_shared.errors import UnknownModel, WireError
from rerank_shared.keys import JOB_CLASSES, Keys, queue_parts
from rerank_shared.pools import Pool, pool_for, read_pools
from rerank_shared.queue.strays import file_taken, leave_to
from rerank_shared.redis.connections import OUTAGES_AND_REFUSALS
from rerank_shared.redis.outage import outage_of
from rerank_worker.consume.served import ServedModels
from rerank_worker.moved_names import end_moved_names, tell_names

log = logging.getLogger(__name__)
#: Pools that are over are looked for this often.
LOOK_S = 5.0
#: A live process tells the names of its models again before this has passed.
_NAMED_S = 3.0 * LOOK_S


@dataclass(slots=True)
class Strays:
    """The strays that one process meets; `epoch` is the server's clock."""

    client: Any
    keys: Keys
    models: ServedModels
    epoch: Callable[[], float]
    _looked_at: float = field(default=0.0, init=False)

    def filed(self, job: Job, queue: str, tag: str) -> bool:
        """Move a taken job to a pool that serves its model; return whether there is one. Raises Redis's errors.

        The pool may have no live process: there the job waits for one to start, and counts for autoscalers. It may be a
        pool of this process, where another host gave the model another name. A job whose lease has run out meanwhile
        waits or runs elsewhere, and is left alone.
        """
        if queue_parts(queue) != (job.job_class, "") or job.model in self.models.names:
            return False
        try:
            pool = pool_for(read_pools(self.client, self.keys, job.model, self.epoch()), job.query)
        except UnknownModel:
            return False
        if pool is None or not pool.id:
            return False
        target = self.keys.of(pool.id).queue(job.job_class)
        moved = file_taken(self.client, self.keys, queue, target, tag)
        log.debug("stray filed job=%s model=%s from=%s to=%s moved=%s", job.job_id, job.model, queue, target, moved)
        return True

    def adopt(self, client: Any) -> None:
        """Take over the waiting jobs of pools that served a model of this process and have no live process any more.

        That is a fleet which went over to another artefact under the same name. Where processes of the old one live on
        and give it other names, it loses this one. Raises Redis's errors.
        """
        now = self.epoch()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        names = {model.pool: self.models.names_of(model) for model in self.models}
        tell_names(client, self.keys, names, now + _NAMED_S)
        end_moved_names(client, self.keys, now)
        for name in self.models.names:
            try:
                pools = read_pools(client, self.keys, name, now)
            except (UnknownModel, WireError):
                # A newer release announced the name too: its own workers know what to take over.
                continue
            heir = next((pool for pool in pools if pool.id in self.models.pools), None)
            if heir is not None:
                self._take_over(client, heir, name, (pool for pool in pools if _is_over(pool)))

    def _take_over(self, client: Any, heir: Pool, name: str, over: Iterable[Pool]) -> None:
        for pool in over:
            if pool.id in self.models.pools:
                continue
            # Of another model that has this name too, no job that asks for that model by another name.
            asked = None if pool.identity.model == heir.identity.model else name
            if moved := leave_to(client, self.keys, pool.id, heir.id, asked):
                log.warning("jobs of a pool without workers taken over pool=%s jobs=%d", pool.id, moved)

    def leave(self, client: Any) -> None:
        """Leave the waiting jobs of pools whose last process ends here to the common queue. An outage is logged."""
        self.leave_pools(client, self.models.pools)

    def leave_pools(self, client: Any, pools: Iterable[str]) -> None:
        """Do the same for these pools, which this process has left."""
        try:
            for pool in pools:
                keys, now = self.keys.of(pool), self.epoch()
                waits = any(client.hlen(keys.waiting(job_class)) for job_class in JOB_CLASSES)
                if waits and not client.zcount(keys.workers, now, "+inf"):
                    leave_to(client, self.keys, pool, "")
        except OUTAGES_AND_REFUSALS as error:
            log.warning("waiting jobs not left to the common queue: redis %s", outage_of(error).says)


def _is_over(pool: Pool) -> bool:
    return bool(pool.id) and pool.processes == 0
