"""The disk under TMPDIR fills up while workers run: nothing that they do needs it, and nobody is blamed for it."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rerank_dev.ports import free_port
from rerank_producer import RerankClient
from rerank_shared.keys import Keys
from rerank_shared.queue.dead_letters import list_dead
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, bare_environ, to_environ
from support.commands import COMMAND
from support.fleet import alive
from support.jobs import passages
from support.queue.small_disk import fill, started_on_small_disk
from support.supervised import scrape
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.faults]
PROCESSES = 2


@pytest.mark.parametrize("counted", [True, False])
def test_every_job_is_answered_and_no_worker_dies(settings: Settings, tmp_path: Path, counted: bool) -> None:
    settings = settings.model_copy(update={"metrics_port": free_port() if counted else 0, "processes": PROCESSES})
    log = tmp_path / "log"
    with log.open("wb") as output:
        running = started_on_small_disk(
            [COMMAND, "worker"], bare_environ() | to_environ(settings), tmp_path, log=output
        )
    try:
        wait_until(lambda: running.poll() is not None or alive(settings) == PROCESSES, f"workers; see {log}", 60)
        full = fill(running, tmp_path)
        wait_until(full.exists, "a full disk")
        with RerankClient(settings) as client, ThreadPoolExecutor(4) as pool:
            calls = [
                pool.submit(client.rerank, "which rooms?", passages(5), deadline_ms=60_000, partial=False)
                for _ in range(12)
            ]
            assert all(call.result().complete for call in calls)
        with connect(settings) as server:
            assert list_dead(server, Keys(settings.namespace)) == []
        if counted:
            told = scrape(settings)
            assert told["rerank_supervisor_restarts_total"] == 0
            assert told["rerank_pairs_run_total"] >= 12 * 5
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=30) == os.EX_OK, log.read_text()
    assert "worker died" not in log.read_text()
