"""Batches whose gateway, or whose Redis, goes away in the middle: they go on, and end with the same bytes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.batches.driving import BatchApi, jsonl, line, lines
from producer import echo_worker
from producer.conftest import Echo, serve_echo
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer.gateway.batches.ids import NOBODYS
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from support.http.clients import ApiKeys
from support.http.gateway import TestGateway
from support.pools import announce
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.xdist_group("batches")]
Start = Callable[..., BatchApi]


class Gateways:
    """Gateways without keys on one directory."""

    def __init__(self, echo: Echo, directory: Path, stack: ExitStack) -> None:
        self._echo, self._directory, self._stack = echo, directory, stack
        self.started: list[TestGateway] = []

    def start(self, **variables: Any) -> BatchApi:
        log = self._directory / f"gateway-{len(self.started)}.log"
        gateway = TestGateway(self._echo.settings, log, batch_dir=self._directory / "batches", **variables)
        self._stack.callback(lambda: gateway.process.poll() is None and gateway.stop())
        self.started.append(gateway)
        return BatchApi(self._stack.enter_context(gateway.client()))

    def carrier_of(self, batch_id: str) -> int:
        """Return the process that carries a batch out."""
        return int((self._directory / "batches" / "batches" / NOBODYS / batch_id / "batch.lock").read_text())


@pytest.fixture
def gateways(batch_echo: Echo, tmp_path: Path) -> Iterator[Gateways]:
    with ExitStack() as stack:
        yield Gateways(batch_echo, tmp_path, stack)


def content(gate: str) -> bytes:
    """Return lines of which one waits at a gate, some way in."""
    records = lines(200, documents=4)
    records[120] = line("held", f"wait gate:{gate}")
    records[130] = line("down", "fail now")
    return jsonl(records)


def results(api: BatchApi, batch: dict[str, Any]) -> tuple[bytes, bytes]:
    return api.content(batch["output_file_id"]), api.content(batch["error_file_id"])


def test_a_batch_goes_on_after_its_gateway_was_killed(gateways: Gateways, batch_echo: Echo) -> None:
    api = gateways.start()
    batch_id = str(api.create(api.stored(content("kill"))).json()["id"])
    wait_until(lambda: api.batch(batch_id)["request_counts"]["completed"] > 0, "some chunk is done")
    gateways.started[0].process.kill()
    gateways.started[0].process.wait()
    batch_echo.open_gate("kill")
    batch_echo.open_gate("kill")
    api = gateways.start()
    ended = api.ended(batch_id)
    assert ended["request_counts"] == {"total": 200, "completed": 199, "failed": 1}
    batch_echo.open_gate("kill")
    whole = api.ended(str(api.create(api.stored(content("kill"))).json()["id"]))
    assert results(api, ended) == results(api, whole)


def test_another_process_takes_over_from_one_that_stops(gateways: Gateways, batch_echo: Echo) -> None:
    both = [gateways.start(), gateways.start()]
    batch_id = str(both[0].create(both[0].stored(content("stop"))).json()["id"])
    wait_until(lambda: both[1].batch(batch_id)["request_counts"]["completed"] > 0, "some chunk is done")
    carrier = [each.pid for each in gateways.started].index(gateways.carrier_of(batch_id))
    assert gateways.started[carrier].stop() == 0
    batch_echo.open_gate("stop")
    batch_echo.open_gate("stop")
    assert both[1 - carrier].ended(batch_id)["request_counts"] == {"total": 200, "completed": 199, "failed": 1}


def test_several_processes_carry_out_each_batch_once(gateways: Gateways) -> None:
    both = [gateways.start(batch_running=4) for _ in range(2)]
    made = [both[n % 2].begun(lines(40, word=f"many {n}")) for n in range(6)]
    for n, batch_id in enumerate(made):
        api = both[(n + 1) % 2]
        ended = api.ended(batch_id)
        assert ended["request_counts"] == {"total": 40, "completed": 40, "failed": 0}
        assert [each["custom_id"] for each in api.read(ended["output_file_id"])] == [f"q{n}" for n in range(40)]
    assert not any("can't go on" in each.log() for each in gateways.started)


def test_a_process_cancels_what_another_carries_out(gateways: Gateways, batch_echo: Echo) -> None:
    first = gateways.start()
    batch_id = first.begun([line("held", "wait gate:other")])
    first.in_progress(batch_id)
    second = gateways.start()
    assert second.http.post(f"/v1/batches/{batch_id}/cancel").json()["status"] == "cancelling"
    assert first.ended(batch_id)["status"] == "cancelled"
    batch_echo.open_gate("other")


def test_a_key_that_is_revoked_ends_its_batches(gateways: Gateways, batch_echo: Echo, tmp_path: Path) -> None:
    keys, path = ApiKeys.make(), tmp_path / "keys.toml"
    path.write_text(keys.text)
    path.chmod(0o600)
    api = gateways.start(keys=path)
    api.http.headers["authorization"] = f"Bearer {keys.plain}"
    batch_id = api.begun([line("held", "wait gate:revoked")])
    api.in_progress(batch_id)
    (record,) = tmp_path.glob(f"batches/batches/*/{batch_id}/batch.json")
    path.write_text("")
    wait_until(lambda: json.loads(record.read_text())["status"] == "failed", "the batch ends")
    assert [each["code"] for each in json.loads(record.read_text())["errors"]] == ["key_revoked"]
    batch_echo.open_gate("revoked")


@pytest.mark.parametrize("status", ["validating", "in_progress"])
def test_a_batch_waits_while_redis_is_away(tmp_path: Path, status: str) -> None:
    with EmbeddedServer.start() as server, ExitStack() as stack:
        settings = load_settings(redis_url=server.url, namespace="away")
        echo = stack.enter_context(contextmanager(serve_echo)(settings, tmp_path / "worker.log"))
        api = Gateways(echo, tmp_path, stack).start()
        records = [*lines(30), line("held", "wait gate:away")]
        if status == "in_progress":
            batch_id = api.begun(records)
            api.in_progress(batch_id)
        pid = echo.client.info("server")["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            if status == "validating":
                batch_id = api.begun(records)
            wait_until(lambda: api.batch(batch_id)["waiting_for"] == "the queue, which is away", "it says so")
            assert api.batch(batch_id)["status"] == status
        finally:
            os.kill(pid, signal.SIGCONT)
        echo.open_gate("away")
        echo.open_gate("away")
        assert api.ended(batch_id)["request_counts"] == {"total": 31, "completed": 31, "failed": 0}


def test_a_batch_that_no_live_worker_can_carry_out_says_so_from_its_beginning(
    settings: Settings, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        echo = Echo(settings, stack.enter_context(connect(settings)))
        api = Gateways(echo, tmp_path, stack).start()
        batch_id = api.begun(lines(2))
        assert api.batch(batch_id)["waiting_for"] == "a worker: none has announced a model yet"
        announce(echo.client, echo.keys, echo_worker.identity_of(settings), now=echo.now())
        api.in_progress(batch_id)
        waits = f"a live worker that serves {settings.model}"
        wait_until(lambda: api.batch(batch_id)["waiting_for"] == waits, "the batch says what it waits for")
        log = tmp_path / "gateway-0.log"
        wait_until(lambda: f"the run waits for one that serves {settings.model}" in log.read_text(), "so does the log")
        assert api.http.post(f"/v1/batches/{batch_id}/cancel").status_code == 200
        ended = api.ended(batch_id)
        assert (ended["status"], ended["waiting_for"]) == ("cancelled", None)
