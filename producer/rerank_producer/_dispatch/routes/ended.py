"""How requests that came by a route ended: what a rollout holds of one model against the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rerank_producer import metrics
from rerank_producer._io.clock import Clock
from rerank_shared.errors import RerankError, UnknownModel


@dataclass(frozen=True, slots=True)
class RoutedRequest:
    """A request that came by a version of a route, and has ended.

    - `model`: where the route led, by the name that the route has for it.
    - `outcome`: "complete", "partial", "unserved" where nobody served the model, or a label of metrics.outcome_of.
    - `run_pairs`: pairs that the model scored for it, 0 where the cache had all; `seconds`: its duration.
    """

    route: str
    version: int
    model: str
    job_class: str
    outcome: str
    run_pairs: int = 0
    seconds: float = 0.0


OnEnded = Callable[[RoutedRequest], None]


@contextmanager
def telling_end(on_ended: OnEnded | None, clock: Clock, watch: metrics.Watch) -> Iterator[None]:
    """Tell `on_ended` of the watched call inside the block, if it came by a route; not of one that is cancelled."""
    started = clock.monotonic()
    try:
        yield
    except RerankError as error:
        if on_ended is not None and error.route is not None:
            on_ended(_failed(watch.job_class, error))
        raise
    if on_ended is not None and (ended := _answered(watch, clock.monotonic() - started)) is not None:
        on_ended(ended)


def _failed(job_class: str, error: RerankError) -> RoutedRequest:
    outcome = "unserved" if isinstance(error, UnknownModel) else metrics.outcome_of(error)
    return RoutedRequest(str(error.route), error.route_version or 0, str(error.routed_to), job_class, outcome)


def _answered(watch: metrics.Watch, seconds: float) -> RoutedRequest | None:
    target, response = watch.target, watch.response
    if target is None or target.route is None or response is None:
        return None
    outcome = "complete" if response.complete else "partial"
    run_pairs = response.usage.pairs_run
    route = target.route
    return RoutedRequest(route.name, route.version, target.model, watch.job_class, outcome, run_pairs, seconds)
