"""Shadows with real parts: workers of two models, clients and a gateway that shadow, and the report of the command."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import StartFleet, StartGateway
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_ops.shadow_report import Row, found_of
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.contract.feedback import query_digest
from rerank_shared.contract.schemas import RerankResponse
from rerank_shared.drift.correlation import spearman
from rerank_shared.drift.figures import Models
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.route_store.store import RouteStore
from rerank_shared.routing.spec import read_route
from rerank_shared.settings import Settings, bare_environ, to_environ
from support.commands import CommandLine
from support.fleet import TestFleet
from support.jobs import passages
from support.model.exports import write_export
from support.threads import NewThreads
from support.waiting import wait_until

pytestmark = pytest.mark.integration
LIVE, SHADOW = "tests/random-0", "tests/random-1"
DOCUMENTS = passages(14)
PATIENT: dict[str, Any] = {"deadline_ms": 60_000}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Sources of the two models, by their names."""
    folder = tmp_path_factory.mktemp("exports")
    return {
        name: f"file:{write_export(folder / str(seed), layouts=('unpadded',), seed=seed)}"
        for seed, name in enumerate((LIVE, SHADOW))
    }


@pytest.fixture
def store(settings: Settings) -> Iterator[RouteStore]:
    with connect(settings) as client:
        yield RouteStore(client, Keys(settings.namespace))


@pytest.fixture
def fleet(start_fleet: StartFleet, models: dict[str, str], store: RouteStore) -> TestFleet:
    """A worker process of both models, and a route to the first with the second as the shadow of all requests."""
    shadow(store)
    return start_fleet(model=models[LIVE], models=tuple(models.values()), shadow_deadline_ms=60_000)


def shadow(store: RouteStore, **fields: Any) -> None:
    store.set(read_route("search", {"shares": {LIVE: 1}, "shadow": {SHADOW: 1}} | fields))


def row_of(store: RouteStore, sampled: int, version: int = 1) -> Row:
    """Return what the shadow showed, once so many requests were sampled."""

    def found() -> list[Row]:
        return [row for row in found_of(store, "search") if (row.version, row.figures.sampled) == (version, sampled)]

    (row,) = wait_until(found, f"{sampled} sampled requests are told")
    return row


def relevance(response: RerankResponse) -> list[float]:
    scores = {result.index: result.relevance_score for result in response.results}
    return [score for _, score in sorted(scores.items()) if score is not None]


def bare(response: RerankResponse) -> dict[str, Any]:
    """Return an answer without what differs from one request to the next."""
    return response.model_dump(exclude={"id", "timings", "workers", "route_version", "batch_pairs"})


def keys_with(store: RouteStore, text: str) -> list[bytes]:
    """Return the keys of the namespace that hold a text, of those that shadows write."""
    client, found = store.client, []
    for key in client.scan_iter(match=f"{store.keys.prefix}shadow*"):
        if any(text.encode() in value for pair in client.hgetall(key).items() for value in pair):
            found.append(key)
    return found


def test_the_drift_of_two_models_is_reported_and_their_callers_see_nothing_of_it(
    fleet: TestFleet, store: RouteStore
) -> None:
    queries = [f"which rooms has house {number}?" for number in range(4)]
    with RerankClient(fleet.settings) as client:
        shadowed = [client.rerank(query, DOCUMENTS, model="search", top_n=3, **PATIENT) for query in queries]
        row = row_of(store, len(queries))
        shadow(store, shadow={})
        live = [client.rerank(query, DOCUMENTS, model=LIVE, **PATIENT) for query in queries]
        other = [client.rerank(query, DOCUMENTS, model=SHADOW, **PATIENT) for query in queries]
    with RerankClient(fleet.settings) as client:
        plain = [client.rerank(query, DOCUMENTS, model="search", top_n=3, **PATIENT) for query in queries]
        assert {response.route_version for response in plain} == {2}
    # The second time all of it is cached, so usage and `cached` differ; the first time nothing was.
    for before, after in zip(shadowed, plain, strict=True):
        assert [each.model_dump(exclude={"cached"}) for each in before.results] == [
            each.model_dump(exclude={"cached"}) for each in after.results
        ]
    # What the shadow scored is in its cache.
    assert {response.usage.pairs_run for response in other} == {0}
    assert row.models == Models(LIVE, SHADOW)
    figures, pairs = row.figures, list(zip(map(relevance, live), map(relevance, other), strict=True))
    differences = sorted(abs(a - b) for one, two in pairs for a, b in zip(one, two, strict=True))
    assert figures.compared == len(queries)
    assert figures.pairs == len(differences)
    assert figures.mean_difference == pytest.approx(sum(differences) / len(differences), abs=1e-5)
    assert figures.p99_difference == pytest.approx(differences[-1], rel=0.06)
    assert figures.mean("spearman") == pytest.approx(sum(spearman(*pair) for pair in pairs) / len(pairs), abs=1e-5)
    tokens = sum(result.tokens or 0 for response in live for result in response.results)
    assert figures.tokens("live") == figures.tokens("shadow") == tokens / len(queries)
    assert figures.truncated("shadow") == 0.0
    assert {each.query_digest for each in row.worst} == {query_digest(query) for query in queries}


def test_an_answer_is_the_same_with_a_shadow_and_without(fleet: TestFleet, store: RouteStore) -> None:
    query = "which rooms has the old house?"
    options: dict[str, Any] = {"model": "search", "fusion": "weighted", "fusion_ratio": 1.0, **PATIENT}
    documents = [{"text": text, "id": f"d{n}", "score": 30.0 - n} for n, text in enumerate(DOCUMENTS)]
    with RerankClient(fleet.settings) as client:
        client.rerank(query, documents, **options)
        row_of(store, 1)
        cached = client.rerank(query, documents, top_n=5, **options)
        # The same scores once more: from both caches, and of the models alone, whatever was fused.
        row = row_of(store, 2)
    shadow(store, shadow={})
    with RerankClient(fleet.settings) as client:
        assert bare(client.rerank(query, documents, top_n=5, **options)) == bare(cached)
    assert row.figures.compared == 2
    assert len(row.worst) == 1
    assert row.worst[0].spearman == pytest.approx(row.figures.mean("spearman"), abs=1e-5)


async def test_asyncio_clients_and_gateways_shadow_and_the_command_reports(
    fleet: TestFleet, store: RouteStore, start_gateway: StartGateway
) -> None:
    async with AsyncRerankClient(fleet.settings) as client:
        answers = [client.rerank(f"room {n}?", DOCUMENTS, model="search", **PATIENT) for n in range(3)]
        assert all(answer.complete for answer in await asyncio.gather(*answers))
        await asyncio.to_thread(row_of, store, 3)
    gateway = start_gateway(fleet.settings).wait_ready()
    with gateway.client() as http:
        body = {"query": "rooms of a house?", "documents": DOCUMENTS, "model": "search"}
        assert http.post("/v2/rerank", json=body).status_code == 200
        await asyncio.to_thread(row_of, store, 4)
        metrics = http.get("/metrics").text
    labels = f'outcome="compared",route="search",shadow="{SHADOW}"'
    assert f"rerank_shadow_requests_total{{{labels}}} 1.0" in metrics
    command = CommandLine(bare_environ() | to_environ(fleet.settings))
    told = command.run("shadow", "report", "search")
    assert f"search version 1: {LIVE}, shadow {SHADOW}" in told.stdout
    assert "4 sampled, 4 compared" in told.stdout
    (found,) = json.loads(command.run("shadow", "report", "--json").stdout)
    assert (found["route"], found["compared"], found["dropped"], len(found["worst"])) == ("search", 4, {}, 4)
    assert found["seconds"]["live"] > 0
    assert "there is no route 'seach'; did you mean search?" in command.run("shadow", "report", "seach").stderr


def test_texts_are_kept_only_where_the_settings_say_so(fleet: TestFleet, store: RouteStore) -> None:
    word = "Klabautermann"
    with RerankClient(fleet.settings) as client:
        client.rerank(f"where is the {word}?", [*DOCUMENTS, f"{word} was here"], model="search", **PATIENT)
        row_of(store, 1)
        assert keys_with(store, word) == []
    with RerankClient(fleet.settings.model_copy(update={"shadow_texts": True})) as client:
        client.rerank(f"who is the {word}?", [*DOCUMENTS, f"{word} was here"], model="search", **PATIENT)
        row = row_of(store, 2)
        assert len(keys_with(store, word)) == 1
    (query,) = [each for each in row.worst if each.query is not None]
    assert query.query == f"who is the {word}?"
    assert query.live_first in {*DOCUMENTS, f"{word} was here"}


@pytest.mark.faults
def test_a_shadow_without_workers_is_dropped_and_its_route_answers(
    start_fleet: StartFleet, models: dict[str, str], store: RouteStore
) -> None:
    shadow(store)
    fleet = start_fleet(model=models[LIVE], models=(models[LIVE],))
    with RerankClient(fleet.settings) as client:
        assert client.rerank("a house?", DOCUMENTS, model="search", **PATIENT).complete
        assert row_of(store, 1).figures.dropped == {"no_workers": 1}
        other = start_fleet(model=models[SHADOW], models=(models[SHADOW],))
        wait_until(lambda: seen(client, store), "the shadow's workers are found")
        # Alive by its heartbeat, and gone: its job is waited for, and given up.
        other.processes[0].send_signal(signal.SIGSTOP)
        patient = RerankClient(fleet.settings.model_copy(update={"shadow_deadline_ms": 1_500}))
        with patient:
            assert patient.rerank("a garden?", DOCUMENTS, model="search", **PATIENT).complete
            wait_until(lambda: "late" in dropped(store), "the shadow is given up")
        other.processes[0].send_signal(signal.SIGCONT)


def seen(client: RerankClient, store: RouteStore) -> bool:
    """Whether a shadow has answered; asks for one more request."""
    client.rerank("a house?", DOCUMENTS, model="search", **PATIENT)
    return any(row.figures.compared for row in found_of(store, "search"))


def dropped(store: RouteStore) -> dict[str, int]:
    return {reason: count for row in found_of(store, "search") for reason, count in row.figures.dropped.items()}


@pytest.mark.faults
def test_a_busy_pool_scores_for_no_shadow(fleet: TestFleet, store: RouteStore) -> None:
    with RerankClient(fleet.settings) as client:
        client.rerank("a house?", DOCUMENTS, model=SHADOW, **PATIENT)
        bulk = [
            client.submit(f"q{n}", passages(400, 200), model=SHADOW, job_class="bulk", deadline_ms=600_000)
            for n in range(60)
        ]
        assert client.rerank("a garden?", DOCUMENTS, model="search", **PATIENT).complete
        wait_until(lambda: "busy" in dropped(store), "the shadow is dropped")
        for handle in bulk:
            client.cancel(handle)


@pytest.mark.faults
def test_redis_gone_after_the_answer_disturbs_no_caller(
    start_fleet: StartFleet, models: dict[str, str], namespace: str, new_threads: NewThreads
) -> None:
    with EmbeddedServer.start() as own:
        fleet = start_fleet(redis_url=own.url, model=models[LIVE], models=(models[LIVE],))
        with connect(fleet.settings) as connected:
            shadow(RouteStore(connected, Keys(namespace)))
        client = RerankClient(fleet.settings)
        assert client.rerank("a house?", DOCUMENTS, model="search", **PATIENT).complete
        client.rerank("a house?", DOCUMENTS, model="search", **PATIENT)
        fleet.stop()
        own.kill()
        client.close()
    assert new_threads() == []


PROGRAM = """
import sys
from rerank_producer import RerankClient
client = RerankClient()
for number in range(5):
    client.rerank(f"house {number}?", sys.argv[1:], model="search", deadline_ms=60_000)
print("answered", flush=True)
"""


@pytest.mark.faults
def test_a_process_that_ends_drops_its_shadows_and_says_nothing(
    start_fleet: StartFleet, models: dict[str, str], store: RouteStore
) -> None:
    shadow(store)
    fleet = start_fleet(model=models[LIVE], models=(models[LIVE],))
    other = start_fleet(model=models[SHADOW], models=(models[SHADOW],))
    # It takes no job any more, and there seem to be others.
    other.processes[0].send_signal(signal.SIGSTOP)
    other.client.zadd(other.keys.workers, {f"ghost-{number}": 4e9 for number in range(10)})
    environ = bare_environ() | to_environ(fleet.settings)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *DOCUMENTS[:3]],
        env=environ, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    other.processes[0].send_signal(signal.SIGCONT)
    assert (ran.stdout, ran.stderr) == ("answered\n", "")
    assert row_of(store, 5).figures.dropped == {"closed": 5}


FORKING = """
import os, sys
from rerank_producer import RerankClient
client = RerankClient()
client.rerank("of the parent?", sys.argv[1:], model="search", deadline_ms=60_000)
if (child := os.fork()) == 0:
    client.rerank("of the child?", sys.argv[1:], model="search", deadline_ms=60_000)
    client.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
client.close()
sys.exit(status)
"""


def test_a_process_that_forks_and_its_child_have_shadows_of_their_own(fleet: TestFleet, store: RouteStore) -> None:
    environ = bare_environ() | to_environ(fleet.settings)
    program = [sys.executable, "-W", "error", "-c", FORKING, *DOCUMENTS[:3]]
    ran = subprocess.run(program, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert row_of(store, 2).models == Models(LIVE, SHADOW)
