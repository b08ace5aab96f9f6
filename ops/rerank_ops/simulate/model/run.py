"""Run of a simulation: builds a simulated fleet and runs requests through it until each has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rerank_ops.simulate.model.backlog import Backlog
from rerank_ops.simulate.model.call import Call
from rerank_ops.simulate.model.client import Client
from rerank_ops.simulate.model.fleet import Fleet, Meter
from rerank_ops.simulate.model.loop import Loop
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.process import Process
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Request
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import JobClass


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run.

    `calls` are those made after the warm-up. `meter` covers the time from then to the last arrival. `taken_tokens` are
    the tokens of taken jobs, by class and tenant.
    """

    spec: FleetSpec
    policy: Policy
    calls: Sequence[Call]
    meter: Meter
    taken_tokens: Mapping[tuple[JobClass, str], int]
    events: int

    @property
    def utilisation(self) -> float:
        """Share of the processes' time in which they ran pairs, 0 to 1."""
        return self.meter.busy_s / (self.spec.processes * (self.meter.ends - self.meter.begins))


@dataclass(slots=True)
class Simulation:
    """One run; the caller may schedule own events on its `loop` before."""

    spec: FleetSpec
    policy: Policy
    requests: Sequence[Request]
    warm_up_s: float = 0.0
    loop: Loop = field(default_factory=Loop)
    client: Client = field(init=False)
    fleet: Fleet = field(init=False)

    def __post_init__(self) -> None:
        """Build the parts. Raises InvalidRequest if no request comes after the warm-up."""
        last_s = self.requests[-1].at_s if self.requests else 0.0
        if last_s <= self.warm_up_s:
            raise InvalidRequest("no request comes after the warm-up: simulate a longer duration or a higher rate")
        backlog = Backlog(self.spec.remembered_s)
        meter = Meter(self.warm_up_s, last_s)
        self.client = Client(self.spec, self.policy, self.loop, backlog)
        self.fleet = Fleet(self.spec, self.policy, self.loop, backlog, meter, self.client.answered)
        for _ in range(self.spec.processes):
            Process(self.fleet).wake()
        self.loop.at(self.requests[0].at_s, self._arrive, 0)

    def run(self) -> Result:
        """Run until the last request has ended and return the result."""
        self.loop.run()
        calls = [call for call in self.client.calls if call.request.at_s >= self.warm_up_s]
        taken = self.fleet.queue.taken_tokens
        return Result(self.spec, self.policy, calls, self.fleet.meter, taken, self.loop.events)

    def _arrive(self, index: int) -> None:
        for job in self.client.call(self.requests[index]):
            self.loop.at(self.loop.now + self.spec.hand_off_s / 2, self.fleet.put, job)
        if index + 1 < len(self.requests):
            self.loop.at(self.requests[index + 1].at_s, self._arrive, index + 1)


def simulate(spec: FleetSpec, policy: Policy, requests: Sequence[Request], warm_up_s: float = 0.0) -> Result:
    """Run requests, ascending by time, through a fleet; those of the first `warm_up_s` do not count."""
    return Simulation(spec, policy, requests, warm_up_s).run()
