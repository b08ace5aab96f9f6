"""Fair share: chooses the class and the tenant that are served next.

Interactive goes before bulk, which keeps a minimum share. In a class the tenant with the fewest tokens served comes
first: deficit round robin without the rounds. So no tenant is ahead of another by more than one job, and no quantum has
to be chosen. A tenant that was away starts level with the one served last, so absence earns no credit. `lua/take.lua`
does the same in Redis, where many workers take from one queue; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from rerank_shared.keys import JOB_CLASSES, JobClass


@dataclass(slots=True)
class ClassShare:
    """Class shares: interactive first; while both wait, bulk gets `bulk_share` of the tokens (0 to below 1)."""

    bulk_share: float
    #: Tokens that bulk is owed.
    credit: float = 0.0

    def choose(self, interactive: bool, bulk_tokens: float | None) -> JobClass:
        """Return the class to serve.

        `interactive` says whether interactive work waits; `bulk_tokens` is the cost of bulk's candidate, None if none
        waits. One of the two must wait.
        """
        if bulk_tokens is None:
            self.credit = 0.0
            return "interactive"
        return "interactive" if interactive and self.credit < bulk_tokens else "bulk"

    def served(self, job_class: JobClass, tokens: float, *, other_waits: bool) -> None:
        """Count the tokens served. The credit of bulk changes only while the other class waits too."""
        if not other_waits:
            return
        if job_class == "interactive":
            self.credit += tokens * self.bulk_share / (1.0 - self.bulk_share)
        else:
            self.credit -= tokens


@dataclass(slots=True)
class TenantShare:
    """Tokens served to each tenant of one class.

    `line` is the count of the tenant chosen last. A tenant without waiting work is forgotten once it is behind the
    line.
    """

    line: float = 0.0
    had: dict[str, float] = field(default_factory=dict)

    def arrive(self, tenant: str) -> None:
        """Record that a tenant has waiting work."""
        self.had.setdefault(tenant, self.line)

    def choose(self, waiting: Collection[str]) -> str:
        """Return the tenant to serve next; all of `waiting` must have arrived."""
        for had, tenant in sorted((had, tenant) for tenant, had in self.had.items()):
            if tenant in waiting:
                self.line = had
                return tenant
            del self.had[tenant]
        raise LookupError("no tenant waits")

    def served(self, tenant: str, tokens: float) -> None:
        """Count the tokens served to a tenant."""
        self.had[tenant] += tokens


class FairShare:
    """ClassShare and TenantShare together, for a queue of jobs by class and tenant."""

    def __init__(self, bulk_share: float) -> None:
        self.classes = ClassShare(bulk_share)
        self.tenants: dict[JobClass, TenantShare] = {job_class: TenantShare() for job_class in JOB_CLASSES}

    def arrive(self, job_class: JobClass, tenant: str) -> None:
        """Record that a job of a tenant waits."""
        self.tenants[job_class].arrive(tenant)

    def choose(
        self,
        waiting: Mapping[JobClass, Collection[str]],
        tokens_of: Callable[[JobClass, str], float],
        may_serve: Callable[[JobClass, str], bool] | None = None,
    ) -> tuple[JobClass, str] | None:
        """Return the class and the tenant to serve next, and count them as served.

        `waiting` names the tenants with waiting jobs, at least one; `tokens_of` gives the tokens of a tenant's most
        urgent job. Where `may_serve` refuses the next job, nothing is counted and the result is None.
        """
        candidates = {c: self.tenants[c].choose(waiting[c]) for c in JOB_CLASSES if waiting.get(c)}
        bulk = candidates.get("bulk")
        bulk_tokens = None if bulk is None else tokens_of("bulk", bulk)
        chosen = self.classes.choose("interactive" in candidates, bulk_tokens)
        tenant = candidates[chosen]
        if may_serve is not None and not may_serve(chosen, tenant):
            return None
        tokens = tokens_of(chosen, tenant)
        self.tenants[chosen].served(tenant, tokens)
        self.classes.served(chosen, tokens, other_waits=len(candidates) == 2)
        return chosen, tenant
