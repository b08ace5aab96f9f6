"""What each role of a fleet does, on a real server: every kind of work that may need a command of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from celery import Celery
from celery.result import AsyncResult

from rerank_ops.cli.admin.checks.server import check_server
from rerank_ops.feedback import stream
from rerank_ops.models.asking import Asker
from rerank_ops.rollout.beginning import begin_or_resume
from rerank_ops.rollout.course import step_figures
from rerank_ops.rollout.draining import draining
from rerank_ops.rollout.drift import Sampled, measure
from rerank_ops.rollout.record import Records
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_producer.gateway.auth.keyfile import new_key
from rerank_shared import cache
from rerank_shared.collectors import all_collectors
from rerank_shared.drift.worst import KEEP_WORST, WorstQuery, keep_call
from rerank_shared.keys import SHADOW_TTL_S, Keys
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.queue.dead_letters import drop, list_dead, retry, show
from rerank_shared.redis.connections import connect
from rerank_shared.redis.pending_counts import PendingCounts
from rerank_shared.route_store.keeper import RouteKeeper
from rerank_shared.route_store.serving import unserved
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.rollout_plan import Plan
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings, bare_environ, load_settings, to_environ
from support.commands import COMMAND
from support.http.gateway import TestGateway
from support.jobs import make_job, passages, send
from support.queue.dying import set_aside
from support.queue.queueing import queueing
from support.waiting import wait_until

_TODAY = date(2026, 1, 1)
PATIENT: dict[str, Any] = {"deadline_ms": 60_000, "partial": False}


def clients_work(settings: Settings, directory: Path) -> None:
    """Both clients, submitted requests, single flight, learned fusion, large texts, bulk runs, and a plain sender."""
    scored = [{"text": text, "score": float(number)} for number, text in enumerate(passages(40, words=5))]
    with RerankClient(settings.model_copy(update={"single_flight": True, "inline_bytes": 0})) as client:
        for _ in range(2):
            assert client.rerank("rooms?", scored, fusion="weighted", first_stage="bm25", **PATIENT).complete
        assert client.rerank("rooms?", passages(200, words=5), tenant="shop", **PATIENT).complete
        handle = client.submit("rooms?", passages(2))
        client.status(handle)
        assert client.collect(handle, timeout_ms=60_000).complete
        client.collect(client.submit("rooms?", scored[:1]), timeout_ms=60_000)
        client.cancel(client.submit("rooms?", passages(200, words=5), job_class="bulk"))
        client.model_info()
        assert client.rerank("rooms?", passages(2), model="asked", **PATIENT).route == "asked"
        assert client.feedback("r1", shown=["a", "b"], clicked=["b"], query="rooms?")

    async def ask() -> None:
        async with AsyncRerankClient(settings) as client:
            task = asyncio.create_task(client.rerank("rooms?", passages(200, words=5), **PATIENT))
            await asyncio.sleep(0.5)
            task.cancel()
            assert (await client.rerank("rooms?", passages(3), **PATIENT)).complete

    asyncio.run(ask())
    _tell_of_a_shadow(settings)
    source = directory / "in.jsonl"
    source.write_text('{"query": "rooms?", "documents": ["one of bulk", "two of bulk"]}\n' * 3)
    ran = _command(settings, "bulk", str(source), str(directory / "out.jsonl"))
    assert ran.returncode == 0, ran.stderr
    with make_celery(settings) as app:
        job = make_job(settings, "who?", ["one", "two"])
        assert send(app, settings, job).get(timeout=60)["complete"]
        AsyncResult(job.job_id, app=app).forget()
        _send_until_revoked(app, settings)


def _tell_of_a_shadow(settings: Settings) -> None:
    """What a client writes of a shadow, behind its callers."""
    keys = Keys(settings.namespace)
    measures = {"rank": 1.0, "overlap": 1.0, "spearman": 0.5, "mean_difference": 0.1}
    query = WorstQuery(query_digest="0", live="a", shadow="b", documents=2, at=0.0, **measures)
    counts = PendingCounts(keys, SHADOW_TTL_S)
    counts.add(keys.shadowed("search", 1), "compared\na\nb")
    with connect(settings) as client:
        counts.move_to(client)
        KEEP_WORST(client, [keys.shadow_worst("search", 1)], *keep_call([query]))


def _send_until_revoked(app: Celery, settings: Settings) -> None:
    """Send a revoked job until its worker knows: then Celery itself writes the record, before any task runs."""
    job = make_job(settings, "who?", ["revoked"])
    app.control.revoke(job.job_id)

    def revoked() -> bool:
        result = send(app, settings, job)
        result.get(timeout=60, propagate=False)
        state = result.state
        result.forget()
        return bool(state == "REVOKED")

    wait_until(revoked, "the worker knows that the job is revoked")


def a_fleet_of_one_command_works(settings: Settings, directory: Path) -> None:
    """`bulk --up` asks and scores: a client and a worker under one user."""
    source = directory / "up.jsonl"
    source.write_text('{"query": "rooms?", "documents": ["one of up", "two of up"]}\n')
    ran = _command(settings, "bulk", str(source), str(directory / "up-out.jsonl"), "--up")
    assert ran.returncode == 0, ran.stderr


def a_gateway_works(settings: Settings, directory: Path) -> None:
    """Keys with limits, requests, jobs, the live page, batches and health."""
    key, text = new_key("", "shop", {"tokens_per_s": 1000.0}, _TODAY)
    file = directory / "keys.toml"
    file.write_text(text)
    file.chmod(0o600)
    routes = directory / "fleet.toml"
    routes.write_text(f'[routes.search]\nshares = {{ "{settings.model}" = 1 }}\nshadow = {{ nobodys = 1 }}\n')
    with TestGateway(
        settings.model_copy(update={"fleet_file": routes}), directory / "gateway.log", keys=file
    ) as gateway:
        gateway.wait_ready()
        with gateway.client(headers={"authorization": f"Bearer {key}"}) as http:
            body = {"query": "rooms?", "documents": passages(3)}
            assert http.post("/v2/rerank", json=body).status_code == 200
            wait_until(lambda: http.get("/v1/models/search").status_code == 200, "the route is seeded")
            assert http.post("/v2/rerank", json={**body, "model": "search"}).status_code == 200
            with connect(settings) as client:
                shadowed = Keys(settings.namespace).shadowed("search", 1)
                wait_until(lambda: client.hgetall(shadowed), "the request without a shadow is told")
            sent = http.post("/v1/jobs", json=body)
            assert sent.status_code == 202, sent.text
            wait_until(lambda: http.get(sent.headers["location"]).status_code == 200, "the job is done")
            http.delete(sent.headers["location"])
            told = http.post("/v1/feedback", json={"request_id": "r2", "shown": ["a"], "clicked": ["a"]})
            assert told.status_code == 202, told.text
            for path in ("/v1/fleet/state", "/v1/models", "/readyz", "/autoscale", "/metrics"):
                assert (answer := http.get(path)).status_code == 200, answer.text
            with http.stream("GET", "/v1/fleet/live") as events:
                next(events.iter_raw())


def a_supervisor_is_scraped(settings: Settings) -> None:
    """The gauges of the fleet and its server."""
    found = {family.name: family for collector in all_collectors(settings) for family in collector.collect()}
    assert found["rerank_redis_up"].samples[0].value == 1
    of_the_server = {"rerank_redis_memory_used_bytes", "rerank_cache_estimated_bytes"}
    assert {"rerank_processes_wanted", "rerank_scoring"} | of_the_server <= found.keys()


def metrics_are_read(settings: Settings, directory: Path) -> None:
    """What shows a fleet: its gauges, the size of its cache, its dead letters."""
    a_supervisor_is_scraped(settings)
    with connect(settings) as client:
        cache.stats(client, Keys(settings.namespace))
        list_dead(client, Keys(settings.namespace))


def a_supervisor_keeps_routes(settings: Settings) -> None:
    """What the supervisor of each host does once in a while."""
    with connect(settings) as client:
        RouteKeeper(settings).look(RouteStore(client, Keys(settings.namespace)))


def an_operator_works(settings: Settings, directory: Path) -> None:
    """Doctor, routes, rollouts, the cache, dead letters, and Celery's remote control."""
    keys = Keys(settings.namespace)
    assert not [each for each in check_server(settings) if each.status == "fail"]
    with connect(settings) as client:
        first, second = (letter.job_id for letter in list_dead(client, keys))
        show(client, keys, first)
        retry(client, keys, settings, first, time.time())
        drop(client, keys, [second])
        routes = RouteStore(client, keys)
        for weight in (1, 2):
            routes.set(read_route("operated", {"shares": {settings.model: weight}}))
        routes.rollback("operated")
        assert unserved(client, keys, [settings.model, "nobody's"]) == ["nobody's"]
        _roll_out(settings, routes)
        routes.delete("operated")
        cache.stats(client, keys)
        cache.clear(client, keys)
        assert stream.status(client, keys).records == 2
        assert [stored.feedback is not None for stored in stream.records(client, keys)] == [True, True]
        stream.sweep(client, keys, settings)
        assert stream.delete(client, keys, lambda record: record.request_id == "r1") == 1
        assert stream.rewrite(client, keys)
        assert stream.delete_all(client, keys) == 1
    metrics_are_read(settings, directory)
    with make_celery(settings) as app:
        assert Asker(app, 30.0).models(["test-0"]).keys() == {"test-0"}
    for arguments in (("inspect", "ping"), ("inspect", "stats"), ("inspect", "active"), ("control", "enable_events")):
        ran = celery(settings, *arguments, "--timeout", "30", "--destination", "rerank@test-0")
        assert ran.returncode == 0, ran.stdout + ran.stderr


def _roll_out(settings: Settings, routes: RouteStore) -> None:
    """The trips of a rollout, without its holds."""
    records = Records(routes.client, routes.keys, "operated")
    records.claim(lambda _: True)
    record = begin_or_resume(routes, records, "nobody's", Plan())
    records.write(record)
    records.renew()
    sample = [Sampled(query="halls?", documents=passages(3))]
    with RerankClient(settings) as client:
        assert measure(client, sample, settings.model, settings.model, records.renew).mean == 0
    step_figures(routes, record)
    draining(routes, record)
    records.release()


def leave_dead_letters(settings: Settings) -> None:
    """Set two jobs aside; no worker may be running yet."""
    with queueing(settings) as queue:
        for _ in range(2):
            set_aside(queue)


def set_a_route(settings: Settings) -> None:
    """Set the route that clients ask by."""
    with connect(settings) as client:
        RouteStore(client, Keys(settings.namespace)).set(read_route("asked", {"shares": {settings.model: 1}}))


def as_user(settings: Settings, role: str) -> Settings:
    """Return settings under the user of a role, whose connections tell the role's name."""
    url = settings.redis_url.get_secret_value()
    return load_settings(
        redis_url=f"{url}?username={role}&password=secret&client_name={role}", namespace=settings.namespace
    )


def _command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = bare_environ() | to_environ(settings)
    return subprocess.run([COMMAND, *arguments], env=environ, capture_output=True, text=True, timeout=100, check=False)


def celery(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "celery", "-A", "rerank_fleet", *arguments]
    environ = bare_environ() | to_environ(settings)
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=False)
