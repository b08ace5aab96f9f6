"""Run of a simulation: builds a simulated fleet and runs requests through it until each has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rerank_ops.simulate.model.autoscaler import Autoscaler, Autoscaling, Look
from rerank_ops.simulate.model.backlog import Backlog
from rerank_ops.simulate.model.call import Call
from rerank_ops.simulate.model.client import Client
from rerank_ops.simulate.model.crew import Crew
from rerank_ops.simulate.model.fleet import Fleet, Meter
from rerank_ops.simulate.model.loop import Loop
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Request
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import JobClass


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run.

    `calls` are those made after the warm-up. `meter` covers the time from then to the last arrival. `taken_tokens` are
    the tokens of taken jobs, by class and tenant. `process_s` are the seconds that processes were kept in the time of
    `meter`, and `looks` what the autoscaler saw and did, if there was one.
    """

    spec: FleetSpec
    policy: Policy
    calls: Sequence[Call]
    meter: Meter
    taken_tokens: Mapping[tuple[JobClass, str], int]
    events: int
    process_s: float
    looks: Sequence[Look] = ()

    @property
    def utilisation(self) -> float:
        """Share of the processes' time in which they ran pairs, 0 to 1."""
        return self.meter.busy_s / self.process_s


@dataclass(slots=True)
class Simulation:
    """One run; the caller may schedule own events on its `loop` before. Without `autoscaling` its size stays.

    `ended` hears each call as it ends, and may stop the loop.
    """

    spec: FleetSpec
    policy: Policy
    requests: Sequence[Request]
    warm_up_s: float = 0.0
    loop: Loop = field(default_factory=Loop)
    autoscaling: Autoscaling | None = None
    ended: Callable[[Call], None] | None = None
    client: Client = field(init=False)
    meter: Meter = field(init=False)
    fleet: Fleet = field(init=False)
    crew: Crew = field(init=False)
    autoscaler: Autoscaler | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Build the parts. Raises InvalidRequest if no request comes after the warm-up."""
        last_s = self.requests[-1].at_s if self.requests else 0.0
        refuse_warm_up_alone(last_s, self.warm_up_s)
        backlog = Backlog(self.spec.remembered_s)
        self.client = Client(self.spec, self.policy, self.loop, backlog)
        self.fleet = Fleet(self.spec, self.policy, self.loop, backlog, self.client.answered)
        start_s = self.autoscaling.start_s if self.autoscaling else 0.0
        self.meter = Meter(self.warm_up_s, last_s)
        self.crew = Crew((self.fleet,), self._tell_workers, start_s, self.meter)
        self.crew.open(self.spec.processes)
        if self.autoscaling is not None:
            self.autoscaler = Autoscaler(self.autoscaling, self.crew, self.fleet, backlog)
            self.autoscaler.follow_until(last_s)
        self.loop.at(self.requests[0].at_s, self._arrive, 0)

    def run(self) -> Result:
        """Run until the last request has ended and return the result."""
        self.loop.run()
        calls = [call for call in self.client.calls if call.request.at_s >= self.warm_up_s]
        meter, taken = self.meter, self.fleet.queue.taken_tokens
        looks = tuple(self.autoscaler.looks) if self.autoscaler else ()
        process_s = self.crew.process_s(meter.begins, meter.ends)
        return Result(self.spec, self.policy, calls, meter, taken, self.loop.events, process_s, looks)

    def _tell_workers(self, alive: int) -> None:
        self.client.workers = alive

    def _arrive(self, index: int) -> None:
        for job in self.client.call(self.requests[index], self.ended):
            self.loop.at(self.loop.now + self.spec.hand_off_s / 2, self.fleet.put, job)
        if index + 1 < len(self.requests):
            self.loop.at(self.requests[index + 1].at_s, self._arrive, index + 1)


def simulate(
    spec: FleetSpec,
    policy: Policy,
    requests: Sequence[Request],
    warm_up_s: float = 0.0,
    autoscaling: Autoscaling | None = None,
) -> Result:
    """Run requests, ascending by time, through a fleet; those of the first `warm_up_s` do not count."""
    return Simulation(spec, policy, requests, warm_up_s, autoscaling=autoscaling).run()


def refuse_warm_up_alone(last_s: float, warm_up_s: float) -> None:
    """Raise InvalidRequest if the last request comes before the warm-up ends."""
    if last_s <= warm_up_s:
        raise InvalidRequest("no request comes after the warm-up: simulate a longer duration or a higher rate")
