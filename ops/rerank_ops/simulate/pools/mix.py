"""Traffic of several models: which of them, or which cascade of them, each request asks for."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, repeat

from rerank_ops.simulate.model.spec import FleetSpec
from rerank_ops.simulate.model.workload import Mix, Request, draw
from rerank_shared.routing.route import Stage
from rerank_shared.routing.stages_text import text_of
from rerank_shared.scheduling.cost import Work

#: Requests drawn to compute means; their seed is fixed, so that a rate does not depend on the run's seed.
_SAMPLE, _SEED = 1_000, 0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of one kind: the models that score them, one after another, and their weight beside other kinds."""

    stages: tuple[Stage, ...]
    weight: float = 1.0

    @property
    def name(self) -> str:
        """What it is called: `small > big@20`."""
        return text_of(self.stages)


@dataclass(frozen=True, slots=True)
class Group:
    """Processes that are alike: each serves all of `models`, in the pools of all of which it is."""

    models: tuple[str, ...]
    processes: int

    @property
    def name(self) -> str:
        """What it is called: `small+big`."""
        return "+".join(self.models)


@dataclass(frozen=True, slots=True)
class Pools:
    """A fleet of several models: the cost and the settings of each, and the processes that serve them.

    `processes` of a spec do not count; the groups have them.
    """

    specs: Mapping[str, FleetSpec]
    groups: tuple[Group, ...]

    @property
    def hand_off_s(self) -> float:
        """Time of a request to one model besides waiting and running."""
        return next(iter(self.specs.values())).hand_off_s

    def processes_of(self, model: str) -> int:
        """Return the processes that serve a model."""
        return sum(group.processes for group in self.groups if model in group.models)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request, and the kind of traffic that it belongs to."""

    request: Request
    traffic: Traffic


def draw_traffic(traffic: Sequence[Traffic], mix: Mix, times: Iterable[float], seed: int) -> list[Arrival]:
    """Return one request for each time. All kinds have the lengths of the mix; equal queries are of one kind."""
    rng, weights = random.Random(f"{seed}:traffic"), list(accumulate(each.weight for each in traffic))

    def kind(request: Request) -> Traffic:
        drawing = rng if request.query is None else random.Random(f"{seed}:traffic:{request.query}")
        return drawing.choices(traffic, cum_weights=weights)[0]

    return [Arrival(request, kind(request)) for request in draw(mix, times, seed)]


def kept(tokens: tuple[int, ...], stage: Stage) -> tuple[int, ...]:
    """Return the pairs that a stage is asked for; with "auto" the time decides among them.

    Lengths say nothing of the order, so the first ones stand for the best.
    """
    return tokens[: stage.keep] if isinstance(stage.keep, int) else tokens


def work_s(traffic: Sequence[Traffic], mix: Mix, pools: Pools) -> dict[str, float]:
    """Return the mean seconds that one request of the traffic takes of each group's processes, without cached pairs."""
    sample = [request.tokens for request in draw(mix, repeat(0.0, _SAMPLE), _SEED)]
    every = sum(each.weight for each in traffic)
    by_model = dict.fromkeys(pools.specs, 0.0)
    for each in traffic:
        for stage in each.stages:
            cost = pools.specs[stage.model].cost
            run_s = sum(cost.predict_s(Work.of(kept(tokens, stage))) for tokens in sample) / _SAMPLE
            by_model[stage.model] += run_s * each.weight / every
    # Several groups that serve a model share its work.
    return {
        group.name: sum(by_model[m] * group.processes / max(1, pools.processes_of(m)) for m in group.models)
        for group in pools.groups
    }


def rate_at(load: float, traffic: Sequence[Traffic], mix: Mix, pools: Pools) -> float:
    """Return the requests a second that keep the busiest group's processes busy for the share `load`."""
    work = work_s(traffic, mix, pools)
    return load / max(work[group.name] / group.processes for group in pools.groups)
