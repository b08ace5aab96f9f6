"""`rerank-fleet models`: lists the models of live worker processes, loads further ones, and unloads some."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import redis
import typer

from rerank_ops.cli.console import err, out
from rerank_ops.cli.models.table import models_table
from rerank_ops.cli.options import AsJson, RedisUrl, settings_from
from rerank_shared.contract.messages import Heartbeat, name_of
from rerank_shared.contract.model_commands import Verb
from rerank_shared.errors import ConfigurationError, QueueUnavailable
from rerank_shared.fleet_state import read_state
from rerank_shared.keys import Keys
from rerank_shared.nearest import did_you_mean
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.redis.server_clock import server_epoch
from rerank_shared.settings import Settings

if TYPE_CHECKING:
    from rerank_ops.models.asking import Asker
    from rerank_ops.models.changing import Outcome

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
    """List live processes with their models and memory. Exit status 1 if one does not say, or has no heartbeat."""
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
    _tell_silent(fleet)
    raise typer.Exit(1 if fleet.silent or len(told) < len(fleet.workers) else 0)


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
    settings alone. Exit status 1 if a process did not load it, or did not answer.
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
    did not unload it or did not answer, or if none served it.
    """
    _change("unload", model, on, timeout, url)


@dataclass(frozen=True, slots=True)
class _Fleet:
    """The live processes that were asked for. `silent` are the ids of those that have no heartbeat any more."""

    client: Any
    keys: Keys
    asker: Asker
    settings: Settings
    workers: Sequence[Heartbeat]
    silent: Sequence[str]

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
        silent = _silent(client, keys)
        chosen = _chosen(alive, silent, on, settings.namespace)
        meant = [worker for worker in silent if not on or worker in on or any(_is_on(worker, host) for host in on)]
        yield _Fleet(client, keys, Asker(app), settings, chosen, meant)


def _silent(client: Any, keys: Keys) -> list[str]:
    from rerank_worker.consume.remote_control import silent_workers

    try:
        return silent_workers(client, keys, server_epoch(client))
    except redis.exceptions.NoPermissionError:
        err.print(
            "warning: processes without a heartbeat are not seen: `rerank-fleet redis-acl` has what the user lacks"
        )
        return []


def _chosen(
    alive: Sequence[Heartbeat], silent: Sequence[str], on: Sequence[str] | None, namespace: str
) -> list[Heartbeat]:
    if not alive and not silent:
        raise ConfigurationError(f"no worker process is alive in namespace {namespace!r}: `rerank-fleet doctor`")
    places = {place for worker in alive for place in (worker.host, worker.worker_id)}
    for place in on or ():
        if place not in places and not any(place == worker or _is_on(worker, place) for worker in silent):
            raise ConfigurationError(f"no live process has the name or the host {place!r}{did_you_mean(place, places)}")
    chosen = [worker for worker in alive if not on or {worker.host, worker.worker_id} & {*on}]
    return sorted(chosen, key=lambda worker: (worker.host, worker.worker_id))


def _is_on(worker: str, host: str) -> bool:
    """Whether a process without a heartbeat was on a host, as far as its name says."""
    return worker.startswith(f"{host}-")


def _tell_silent(fleet: _Fleet) -> None:
    for worker in fleet.silent:
        err.print(f"{worker}: no answer: it has no heartbeat; it is frozen or cut off, or was killed and not replaced")


def _change(verb: Verb, model: str, on: Sequence[str] | None, timeout_s: float, url: str | None) -> None:
    from rerank_ops.models.changing import Changing
    from rerank_ops.models.patience import Patience

    states = set()
    with _fleet(url, on, f"{verb}ing a model") as fleet:
        patience = Patience(fleet.settings, f"{verb}ing a model", err.print)
        try:
            for outcome in Changing(fleet.asker, verb, model, fleet.alive, timeout_s, patience).run(fleet.workers):
                states.add(outcome.change.state)
                err.print(f"{outcome.worker}: {_said(outcome)}")
        except QueueUnavailable as error:
            again = "When Redis is back, run the command again: a process that has done it says so."
            raise QueueUnavailable(f"{error.message} {again}", error.reason) from None
    _tell_silent(fleet)
    if "done" in states:
        err.print(_KEEP[verb])
    raise typer.Exit(1 if fleet.silent or "failed" in states or states == {"absent"} else 0)


def _said(outcome: Outcome) -> str:
    change = outcome.change
    if not outcome.known:
        return change.told
    said = {"done": f"{change.verb}ed", "absent": "not served"}.get(change.state, "failed")
    return f"{said}: {change.told}"


def _plain(told: Any) -> dict[str, Any] | None:
    return None if told is None else asdict(told)
