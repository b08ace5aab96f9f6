"""Worker process: loads its models, warms them up, and consumes jobs until SIGTERM.

The supervisor starts it as `python -m rerank_worker.process`, or has the fork server fork it with warm models. It
opens connections and starts threads only after that. Its settings come from the environment. Exit status 78 means that
a restart can't help: settings or model are wrong.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

from celery import Celery
from celery.exceptions import CPendingDeprecationWarning
from celery.platforms import SecurityWarning
from celery.signals import worker_ready, worker_shutting_down
from celery.worker import state as worker_state

from rerank_shared.contract.messages import Heartbeat
from rerank_shared.errors import ConfigurationError
from rerank_shared.keys import HEARTBEAT_INTERVAL_S, JOB_CLASSES, Keys
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.redis.connections import connect
from rerank_shared.redis.server_clock import ServerClock
from rerank_shared.scheduling.fairness import ClassShare
from rerank_shared.scheduling.pool_turns import PoolTurns
from rerank_shared.settings import Settings, load_settings
from rerank_shared.tracing.export import FLUSH_S, exporting
from rerank_worker.announced import announced_models
from rerank_worker.batching.lane import most_pairs
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.consume.backpressure import Backpressure
from rerank_worker.consume.consumer import consumer_of
from rerank_worker.consume.dead_letters import answer_dead_letter
from rerank_worker.consume.gate import Gate, GateStep
from rerank_worker.consume.handler import JobHandler
from rerank_worker.consume.leases import Leases
from rerank_worker.consume.outage_log import tell_outages_in_words
from rerank_worker.consume.remote_control import node_name
from rerank_worker.consume.served import ServedModels
from rerank_worker.consume.server_wait import ServerWait
from rerank_worker.consume.strays import Strays
from rerank_worker.consume.task import register
from rerank_worker.counting.collectors import count_in
from rerank_worker.counting.memory import own_counts
from rerank_worker.heartbeat import Heartbeats
from rerank_worker.loading import Model, load_all
from rerank_worker.models.commands import answer_commands
from rerank_worker.models.keeper import ModelKeeper
from rerank_worker.models.serving import served_model

log = logging.getLogger(__name__)
EX_CONFIG = 78
#: Share of `grace_s` after which a draining process stops waiting for a server that is away.
_OF_GRACE = 0.7
#: Share of `grace_s` for the last spans, after the drain.
_FLUSH_OF_GRACE = 0.1
#: Seconds between the events by which Celery's tools count workers.
_EVENT_INTERVAL_S = 10.0


def main() -> int:
    """Run until SIGTERM and return the exit status."""
    started = time.perf_counter()
    try:
        settings = load_settings()
        set_up_logging(settings)
    except ConfigurationError as error:
        return refuse(error)
    return work(settings, None, started)


def work(settings: Settings, models: list[Model] | None, started: float) -> int:
    """Consume until SIGTERM and return the exit status. `models` None: load them."""
    _count_for_supervisor()
    try:
        core = _pin(settings)
        # A wrong server is refused before the models are loaded for nothing.
        server = ServerWait(settings)
        server.refuse()
        name = os.environ.get("FLEET_WORKER_NAME") or _default_name()
        app, heartbeats = build(settings, name, core, models, server)
    except ConfigurationError as error:
        return refuse(error)
    if (fd := os.environ.get("FLEET_PARENT_FD")) is not None:
        threading.Thread(target=_end_with_parent, args=(int(fd), settings.grace_s), daemon=True).start()
    with exporting("rerank-worker", name, flush_s=min(FLUSH_S, _FLUSH_OF_GRACE * settings.grace_s)):
        return _consume(app, heartbeats, settings, started)


def refuse(error: ConfigurationError) -> int:
    """Print why no worker can be started, and return the exit status for it."""
    print(f"rerank-fleet worker can't start: {error.message}", file=sys.stderr, flush=True)
    return EX_CONFIG


def build(
    settings: Settings,
    name: str,
    core: int | None,
    models: list[Model] | None = None,
    server: ServerWait | None = None,
) -> tuple[Celery, Heartbeats]:
    """Build a worker from its parts and start its scoring thread; no job is consumed yet.

    `models` are loaded ones, and the list is emptied; None: load them.
    Raises ConfigurationError as `load_all` does.
    """
    keys = Keys(settings.namespace)
    share = ClassShare(settings.bulk_share)
    models = load_all(settings) if models is None else models
    served = _served(models, settings, share)
    # A model that is unloaded later must have no other holder.
    models.clear()
    scoring = _scoring(served, settings, keys)
    clock = ServerClock()
    backpressure = Backpressure(settings.lookahead_ms / 1000, settings.budget_tokens, served.slowest_s)
    gate = Gate(backpressure, scoring, clock.epoch, PoolTurns(served.weights))
    client, leases = connect(settings), Leases(gate.tags)
    handler = JobHandler(served, scoring, client, keys, name, settings.refuse, clock.epoch)
    app = make_celery(settings)
    app.conf.worker_consumer = consumer_of(gate, server or ServerWait(settings), partial(answer_dead_letter, app, keys))
    app.conf.broker_transport_options |= {"owner": name}
    app.steps["consumer"].add(GateStep)
    strays = Strays(client, keys, served, clock.epoch)
    register(app, handler, leases, gate.inside, settings, strays, gate.settled.add)
    heartbeat = Heartbeat(
        worker_id=name,
        model=served.default.identity.model,
        host=socket.gethostname(),
        pid=os.getpid(),
        core=core,
        started_at=time.time(),
        tokens_per_s=served.default.run_cost.rate.tokens_per_s,
        held_jobs=0,
        held_tokens=0,
        pools=served.pools,
    )
    scoring.start()
    # The heartbeats have a connection of their own, which waits no longer than one interval: they notice an outage.
    announcing = connect(settings, timeout_s=HEARTBEAT_INTERVAL_S)
    announced = announced_models(served, heartbeat.host)
    heartbeats = Heartbeats(
        announcing, keys, announced, heartbeat, scoring, leases, strays, settings.redelivery_s, clock
    )
    answer_commands(ModelKeeper(served, scoring, heartbeats, strays, settings, share))
    return app, heartbeats


def _served(models: Sequence[Model], settings: Settings, share: ClassShare) -> ServedModels:
    """Return the models, each with a lane of its own."""
    served = [served_model(model, settings, share) for model in models]
    for model in served:
        model.lane.batcher.most_pairs = most_pairs(model.scorer.work, len(served))
    return ServedModels(served)


def _scoring(served: ServedModels, settings: Settings, keys: Keys) -> ScoringThread:
    return ScoringThread(
        [model.lane for model in served],
        revoked=worker_state.revoked.__contains__,
        aging_s=settings.aging_s,
        queue_of=keys.of(served.default.pool).queue_list,
    )


def _consume(app: Celery, heartbeats: Heartbeats, settings: Settings, started: float) -> int:
    keys = heartbeats.keys

    def ready(**_: Any) -> None:
        # Celery turns these on at start-up, and at each lost connection repeats one about a setting of this app.
        warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
        heartbeats.start()
        name, models = heartbeats.heartbeat.worker_id, ",".join(each.identity.model for each in heartbeats.models)
        log.info("worker ready name=%s model=%s seconds=%.2f", name, models, time.perf_counter() - started)

    def stopping(**_: Any) -> None:
        log.info("worker draining name=%s", heartbeats.heartbeat.worker_id)
        heartbeats.scoring.drain()
        threading.Thread(target=_leave_if_away, args=(heartbeats, settings.grace_s), daemon=True).start()

    worker_ready.connect(ready, weak=False)
    worker_shutting_down.connect(stopping, weak=False)
    worker = app.Worker(
        pool="threads",
        concurrency=settings.concurrency,
        hostname=node_name(heartbeats.heartbeat.worker_id),
        queues=[keys.of(pool).queue(each) for pool in ("", *heartbeats.heartbeat.pools) for each in JOB_CLASSES],
        loglevel=settings.log_level,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        # Flower and exporters count a worker as lost without these events; tasks are told once such a tool asks for it.
        heartbeat_interval=_EVENT_INTERVAL_S,
    )
    worker.start()
    heartbeats.stop()
    return int(worker.exitcode or 0)


def set_up_logging(settings: Settings) -> None:
    """Set up logging to stderr by the settings. For the main program only."""
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(tell_outages_in_words)
    # At INFO these log two lines a job, and a trace for each job that a drain requeues. Metrics give the rate.
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").setLevel(logging.ERROR)
    # One for each held job when the server stays away longer than results are kept; Heartbeats logs the outage.
    warnings.filterwarnings("ignore", "Exception raised outside body: BackendStoreError", RuntimeWarning)
    # Celery warns a root user about pickle, which this fleet never opens; containers often run as root.
    warnings.filterwarnings("ignore", category=SecurityWarning)


def _pin(settings: Settings) -> int | None:
    core = os.environ.get("FLEET_WORKER_CORE", "")
    if not (core and settings.pin and hasattr(os, "sched_setaffinity")):
        return None
    try:
        os.sched_setaffinity(0, {int(core)})
    except (OSError, ValueError) as error:
        # The core may have been removed since the supervisor chose it; running unpinned costs little.
        log.warning("worker not pinned core=%s error=%r", core, error)
        return None
    return int(core)


def _count_for_supervisor() -> None:
    try:
        counts = own_counts(os.environ)
    except (OSError, ValueError) as error:
        # Scoring matters more than metrics.
        log.warning("metrics of this process not shared with the supervisor error=%r", error)
        return
    if counts is not None:
        count_in(counts)


def _end_with_parent(fd: int, grace_s: float) -> None:
    """Drain when the supervisor's end of the pipe closes, which happens however the supervisor ended."""
    while os.read(fd, 1):
        pass
    log.warning("supervisor is gone, worker drains")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    os._exit(1)


def _leave_if_away(heartbeats: Heartbeats, grace_s: float) -> None:
    """End this process before its grace is over if the server is still away, since a drain can't complete then.

    The jobs return to the queue when their leases run out. Their scores are lost: no caller can be reached.
    """
    time.sleep(_OF_GRACE * grace_s)
    if heartbeats.away:
        log.warning("redis is away, worker leaves its jobs to their leases jobs=%d", heartbeats.scoring.held()[0])
        logging.shutdown()
        os._exit(0)


def _default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


if __name__ == "__main__":
    sys.exit(main())
