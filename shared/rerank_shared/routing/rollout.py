"""A rollout as a value: a route on its way from one model to another, as its record in Redis tells it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from rerank_shared.routing.rollout_plan import Drift, Names, Plan
from rerank_shared.routing.route import Route, Share

State = Literal["waiting", "moving", "holding", "returning", "aborting", "done", "returned", "aborted", "stopped"]
#: A change of the route is under way.
CHANGING = ("moving", "returning", "aborting")
ENDED = ("done", "returned", "aborted", "stopped")


@dataclass(frozen=True, slots=True)
class Record:
    """A rollout at one moment.

    - `step`: the index in the plan of the share that is in force; -1 before the first.
    - `versions`: of the route, as they were made; the first is that before the rollout.
    - `held_since`: when the step began, or was taken up again, in epoch seconds of the server.
    - `reason`: why it ended other than done.
    - `led_by`: host and process of the command that wrote the record.
    """

    route: str
    old: str
    new: str
    plan: Plan
    versions: tuple[int, ...]
    state: State = "waiting"
    step: int = -1
    held_since: float = 0.0
    reason: str = ""
    drift: Drift | None = None
    led_by: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ENDED

    @property
    def names(self) -> Names:
        """The two models."""
        return Names(self.old, self.new)

    @property
    def version(self) -> int:
        """The version of the route that it made last, or found."""
        return self.versions[-1]

    @property
    def percent(self) -> float:
        """The new model's percentage that is in force."""
        return 0.0 if self.step < 0 else self.plan.steps[self.step]

    @property
    def wanted(self) -> float:
        """The percentage that a change under way makes."""
        return self.plan.steps[self.step + 1] if self.state == "moving" else 0.0

    def shares(self, percent: float) -> tuple[Share, ...]:
        """Return the route's shares at a percentage of the new model."""
        both = (Share(self.old, 100.0 - percent), Share(self.new, percent))
        return tuple(share for share in both if share.weight > 0)

    def changed(self, version: int, now: float) -> Record:
        """Return the record after the change under way, which made `version`."""
        made = replace(self, versions=(*self.versions, version), held_since=now)
        if self.state == "moving":
            return replace(made, state="holding", step=self.step + 1)
        return replace(made, state="aborted" if self.state == "aborting" else "returned")

    def made_by(self, found: Route | None) -> bool:
        """Whether the change under way is made already: the route is one version on, with the shares wanted."""
        if self.state not in CHANGING or found is None or found.version != self.version + 1:
            return False
        return found.shares == self.shares(self.wanted)
