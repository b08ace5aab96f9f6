"""Fleet of each model that is evaluated: the given one, or workers started beside it for a directory of an export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from rerank_ops.cli.console import err
from rerank_ops.cli.extras import require_worker
from rerank_ops.cli.rank.fleet import fleet_for_call
from rerank_ops.local.fleet import local_fleet
from rerank_ops.local.redis_server import check_server, is_given
from rerank_producer import RerankClient
from rerank_shared.contract.messages import name_of
from rerank_shared.errors import UnknownModel
from rerank_shared.fleet_state import read_state
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Reached:
    """A fleet that serves the model of its settings, and its processes."""

    settings: Settings
    processes: int


@contextmanager
def fleet_of(model: str | None, url: str | None, *, up: bool) -> Iterator[Reached]:
    """Yield a fleet that serves a model; None is the model of the settings.

    For a directory that no worker serves, workers are started on this machine for the block. Raises as
    `fleet_for_call`, and ConfigurationError where they refuse to start.
    """
    directory = None if model is None or not Path(model).is_dir() else Path(model).resolve()
    settings = load_settings(redis_url=url, model=model if directory is None else f"file:{directory}")
    if directory is None or _served(settings):
        with fleet_for_call(settings, up=up) as reached:
            yield Reached(reached, _processes(reached))
        return
    require_worker()
    with err.status(f"starting workers for {directory.name}"):
        beside = local_fleet(settings.model_copy(update={"log_level": "WARNING", "namespace": _beside(settings)}))
        fleet = beside.__enter__()
    try:
        yield Reached(fleet.settings, fleet.processes)
    finally:
        beside.__exit__(None, None, None)


def _served(settings: Settings) -> bool:
    if not is_given(settings):
        return False
    check_server(settings)
    with RerankClient(settings) as client:
        try:
            return client.model_info().digest is not None
        except UnknownModel:
            return False


def _processes(settings: Settings) -> int:
    with connect(settings) as client, outages_told(settings, "looking for workers"):
        return len(read_state(client, Keys(settings.namespace), name_of(settings.model)).workers)


def _beside(settings: Settings) -> str:
    """Return a namespace that is always the same for a model, so that its scores are found again.

    All workers of a namespace take from one queue, and refuse the jobs of another model.
    """
    return f"{settings.namespace[:40]}-{sha256(settings.model.encode()).hexdigest()[:8]}"
