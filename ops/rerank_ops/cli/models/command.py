"""`rerank-fleet models`: lists the models of live worker processes, loads further ones, and unloads some."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rerank_ops.cli.console import err, out
from rerank_ops.cli.models.table import models_table
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_shared.contract.messages import Heartbeat, name_of
from rerank_shared.contract.model_commands import Verb
from rerank_shared.errors import ConfigurationError
from rerank_shared.fleet_state import read_state
from rerank_shared.keys import Keys
from rerank_shared.nearest import did_you_mean
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.redis.server_clock import server_epoch

if TYPE_CHECKING:
    from rerank_ops.models.asking import Asker

models = typer.Typer(
    name="models",
    help="Show, load or unload the models of live worker processes, without a restart.",
    invoke_without_command=True,
)
On = Annotated[
    list[str] | None,
    typer.Option("--on", metavar="HOST|PROCESS", help="These alone, as `models` shows them. Unset: all."),
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=1, help="The longest time to wait for each process.")
]
_KEEP: dict[Verb, str] = {
    "load": "a process that starts serves its settings: add the model to RERANK_MODELS or fleet.toml to keep it",
    "unload": "a process that starts serves its settings: take the model out of them to keep it away",
}


@models.callback()
def _default(context: typer.Context, as_json: AsJson = False, url: RedisUrl = None) -> None:
    if context.invoked_subcommand is None:
        list_(as_json=as_json, url=url)


@models.command("list")
def list_(on: On = None, as_json: AsJson = False, url: RedisUrl = None) -> None:
    """List live processes with their models and memory. Exit status 1 if one does not say."""
    with _fleet(url, on, "listing models") as fleet:
        told = fleet.asker.models([worker.worker_id for worker in fleet.workers])
    if as_json:
        rows = [
            {"process": worker.worker_id, "host": worker.host, "told": _plain(told.get(worker.worker_id))}
            for worker in fleet.workers
        ]
        print(json.dumps(rows))
    else:
        out.print(models_table(fleet.workers, told))
    raise typer.Exit(1 if len(told) < len(fleet.workers) else 0)


@models.command()
def load(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name or a source, as RERANK_MODEL.")],
    on: On = None,
    timeout: Timeout = 900.0,
    url: RedisUrl = None,
) -> None:
    """Load a model in live processes, beside their work: one process of each host at a time.

    Sources are read by the processes: a directory must lie on their hosts. Each checks the model as at its start, and
    refuses one that does not fit in its memory (RERANK_MODEL_MEMORY_MB). A process that starts later serves its
    settings alone. Exit status 1 if a process did not load it.
    """
    _change("load", model, on, timeout, url)


@models.command()
def unload(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name of a model, as `models` shows it.")],
    on: On = None,
    timeout: Timeout = 60.0,
    url: RedisUrl = None,
) -> None:
    """Unload a model from live processes. Its waiting jobs go to other processes that serve it, or wait for one.

    The only model of a process stays. A process that starts later serves its settings again. Exit status 1 if a process
    did not unload it, or if none served it.
    """
    _change("unload", model, on, timeout, url)


@dataclass(frozen=True, slots=True)
class _Fleet:
    client: Any
    keys: Keys
    asker: Asker
    workers: Sequence[Heartbeat]

    def alive(self) -> set[str]:
        """Return the ids of the processes that are alive now."""
        found = self.client.zrangebyscore(self.keys.workers, server_epoch(self.client), "+inf")
        return {worker.decode() for worker in found}


@contextmanager
def _fleet(url: str | None, on: Sequence[str] | None, doing: str) -> Iterator[_Fleet]:
    from rerank_ops.models.asking import Asker
    from rerank_shared.queue.celery_app import make_celery

    settings = settings_from(url)
    keys = Keys(settings.namespace)
    with connect(settings) as client, make_celery(settings) as app, outages_told(settings, doing):
        alive = read_state(client, keys, name_of(settings.model)).workers
        yield _Fleet(client, keys, Asker(app), _chosen(alive, on, settings.namespace))


def _chosen(alive: Sequence[Heartbeat], on: Sequence[str] | None, namespace: str) -> list[Heartbeat]:
    if not alive:
        raise ConfigurationError(f"no worker process is alive in namespace {namespace!r}: `rerank-fleet doctor`")
    places = {place for worker in alive for place in (worker.host, worker.worker_id)}
    for place in on or ():
        if place not in places:
            raise ConfigurationError(f"no live process has the name or the host {place!r}{did_you_mean(place, places)}")
    chosen = [worker for worker in alive if not on or {worker.host, worker.worker_id} & {*on}]
    return sorted(chosen, key=lambda worker: (worker.host, worker.worker_id))


def _change(verb: Verb, model: str, on: Sequence[str] | None, timeout_s: float, url: str | None) -> None:
    from rerank_ops.models.changing import Changing

    states = []
    with _fleet(url, on, f"{verb}ing a model") as fleet:
        for outcome in Changing(fleet.asker, verb, model, fleet.alive, timeout_s).run(fleet.workers):
            states.append(outcome.change.state)
            said = {"done": f"{verb}ed", "absent": "not served"}.get(outcome.change.state, "failed")
            err.print(f"{outcome.worker}: {said}: {outcome.change.told}")
    if "done" in states:
        err.print(_KEEP[verb])
    raise typer.Exit(1 if "failed" in states or set(states) == {"absent"} else 0)


def _plain(told: Any) -> dict[str, Any] | None:
    return None if told is None else asdict(told)
