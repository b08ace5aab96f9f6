"""Run of several models on one virtual clock: each has its queue, its backlog and its clients' view of them.

A cascade is one request after another under one deadline: the next model is asked once the one before has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from rerank_ops.simulate.model.backlog import Backlog
from rerank_ops.simulate.model.call import Call, End
from rerank_ops.simulate.model.client import Client
from rerank_ops.simulate.model.crew import Crew
from rerank_ops.simulate.model.fleet import Fleet, Meter
from rerank_ops.simulate.model.loop import Loop
from rerank_ops.simulate.model.policy import Policy
from rerank_ops.simulate.model.run import refuse_warm_up_alone
from rerank_ops.simulate.pools.mix import Arrival, Group, Pools, Traffic, kept


@dataclass(frozen=True, slots=True)
class GroupLoad:
    """What the processes of a group did in the time of `meter`; `process_s` are the seconds that they were kept."""

    group: Group
    meter: Meter
    process_s: float

    @property
    def utilisation(self) -> float:
        """Share of their time in which they ran pairs, 0 to 1."""
        return self.meter.busy_s / self.process_s


@dataclass(frozen=True, slots=True)
class PoolsResult:
    """The result of a run: the requests made after the warm-up, each a call with its kind, and each group's load."""

    pools: Pools
    calls: Sequence[tuple[Traffic, Call]]
    loads: tuple[GroupLoad, ...]


@dataclass(slots=True, eq=False)
class _Journey:
    """A request on its way through its stages; `whole` is what its caller sees."""

    traffic: Traffic
    whole: Call
    stage: int = 0
    complete: bool = True


@dataclass(slots=True)
class PoolsSimulation:
    """One run of requests, ascending by time; those of the first `warm_up_s` do not count.

    `ended` hears each request as it ends, and may stop the loop.
    """

    pools: Pools
    policy: Policy
    arrivals: Sequence[Arrival]
    warm_up_s: float = 0.0
    loop: Loop = field(default_factory=Loop)
    ended: Callable[[Traffic, Call], None] | None = None
    _clients: dict[str, Client] = field(init=False, default_factory=dict)
    _fleets: dict[str, Fleet] = field(init=False, default_factory=dict)
    _crews: list[tuple[Group, Crew, Meter]] = field(init=False, default_factory=list)
    _journeys: list[_Journey] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Build the parts. Raises InvalidRequest if no request comes after the warm-up."""
        last_s = self.arrivals[-1].request.at_s if self.arrivals else 0.0
        refuse_warm_up_alone(last_s, self.warm_up_s)
        for model, spec in self.pools.specs.items():
            backlog = Backlog(spec.remembered_s)
            whole = replace(spec, processes=self.pools.processes_of(model))
            client = Client(whole, self.policy, self.loop, backlog)
            self._clients[model] = client
            self._fleets[model] = Fleet(whole, self.policy, self.loop, backlog, client.answered)
        for group in self.pools.groups:
            meter = Meter(self.warm_up_s, last_s)
            crew = Crew([self._fleets[model] for model in group.models], _nothing, 0.0, meter)
            crew.open(group.processes)
            self._crews.append((group, crew, meter))
        self.loop.at(self.arrivals[0].request.at_s, self._arrive, 0)

    def run(self) -> PoolsResult:
        """Run until the last request has ended and return the result."""
        self.loop.run()
        calls = [(each.traffic, each.whole) for each in self._journeys if each.whole.request.at_s >= self.warm_up_s]
        loads = tuple(
            GroupLoad(group, meter, crew.process_s(meter.begins, meter.ends)) for group, crew, meter in self._crews
        )
        return PoolsResult(self.pools, calls, loads)

    def _arrive(self, index: int) -> None:
        arrival = self.arrivals[index]
        whole = Call(arrival.request, arrival.request.at_s + arrival.request.deadline_s)
        self._journeys.append(journey := _Journey(arrival.traffic, whole))
        self._ask(journey)
        if index + 1 < len(self.arrivals):
            self.loop.at(self.arrivals[index + 1].request.at_s, self._arrive, index + 1)

    def _ask(self, journey: _Journey) -> None:
        """Ask the model whose turn it is."""
        stage, whole, now = journey.traffic.stages[journey.stage], journey.whole, self.loop.now
        client, fleet = self._clients[stage.model], self._fleets[stage.model]
        request = replace(
            whole.request, at_s=now, tokens=kept(whole.request.tokens, stage), deadline_s=whole.deadline_at - now
        )
        if stage.keep == "auto":
            fitting = client.fitting(request)
            if fitting == 0:
                self._next(journey, "late")
                return
            request = replace(request, tokens=request.tokens[:fitting])
        for job in client.call(request, partial(self._answered, journey)):
            self.loop.at(now + fleet.spec.hand_off_s / 2, fleet.put, job)

    def _answered(self, journey: _Journey, call: Call) -> None:
        assert call.end is not None
        # A call that the cache answers ends at once, and its caller has the answer a little later.
        self.loop.at(call.request.at_s + call.latency_s, partial(self._next, journey), call.end)

    def _next(self, journey: _Journey, end: End) -> None:
        """Go on from a stage that ended so. What a later stage did not do leaves the order before as the answer."""
        whole, now = journey.whole, self.loop.now
        if end != "met" and journey.stage == 0:
            self._end(journey, end)
            return
        journey.complete &= end == "met"
        journey.stage += 1
        if journey.stage < len(journey.traffic.stages) and now < whole.deadline_at:
            self._ask(journey)
        else:
            complete = journey.complete and journey.stage == len(journey.traffic.stages)
            self._end(journey, "met" if complete else "partial" if whole.request.partial else end)

    def _end(self, journey: _Journey, end: End) -> None:
        journey.whole.end = end
        journey.whole.latency_s = self.loop.now - journey.whole.request.at_s
        if self.ended is not None:
            self.ended(journey.traffic, journey.whole)


def _nothing(alive: int) -> None: ...
