"""Changes of the models of live workers, as `rerank-fleet models` makes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from rerank_ops.models.asking import Asker
from rerank_ops.models.changing import Changing, Outcome
from rerank_ops.models.patience import LONGEST_S, Patience
from rerank_shared.contract.messages import Heartbeat
from rerank_shared.contract.model_commands import ProcessModels, Verb
from rerank_shared.keys import Keys
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.redis.connections import connect
from rerank_shared.redis.server_clock import server_epoch
from support.fleet import TestFleet


def change(
    fleet: TestFleet,
    verb: Verb,
    model: str,
    on: Collection[str] = (),
    *,
    workers: Sequence[Heartbeat] = (),
    say: Callable[[str], None] = print,
    patience_s: float = LONGEST_S,
) -> dict[str, Outcome]:
    """Load or unload a model in these processes, or in all, and return the outcomes by process."""
    client, key = connect(fleet.settings), Keys(fleet.settings.namespace).workers

    def alive() -> set[str]:
        found: Any = client.zrangebyscore(key, server_epoch(client), "+inf")
        return {name.decode() for name in found}

    workers = workers or [worker for worker in fleet.state().workers if not on or worker.worker_id in on]
    patience = Patience(fleet.settings, f"{verb}ing a model", say, patience_s)
    with client, make_celery(fleet.settings) as app:
        outcomes = list(Changing(Asker(app), verb, model, alive, 120.0, patience).run(workers))
    assert len({outcome.worker for outcome in outcomes}) == len(outcomes)
    return {outcome.worker: outcome for outcome in outcomes}


def told(outcomes: dict[str, Outcome]) -> set[tuple[str, str]]:
    """How the changes ended, and why."""
    return {(outcome.change.state, outcome.change.told) for outcome in outcomes.values()}


def models_of(fleet: TestFleet) -> dict[str, ProcessModels]:
    """What each process says of its models."""
    with make_celery(fleet.settings) as app:
        return Asker(app).models([worker.worker_id for worker in fleet.state().workers])


def names_of(fleet: TestFleet) -> list[list[str]]:
    """The models that each process serves, each by its first name."""
    return [[model.names[0] for model in found.models] for _, found in sorted(models_of(fleet).items())]
