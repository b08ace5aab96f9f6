"""A fleet of one echo worker, shared by the tests of one process; they are kept apart by their texts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from producer import echo_worker
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.cache import ScoreWrites
from rerank_shared.contract import wire
from rerank_shared.contract.digest import pair_digests
from rerank_shared.contract.messages import Job, Score
from rerank_shared.keys import Keys
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, bare_environ, load_settings, to_environ
from support.waiting import wait_until


@dataclass
class Echo:
    """A namespace that an echo worker serves, and what tests do to it behind the client's back."""

    settings: Settings
    client: Any

    @property
    def keys(self) -> Keys:
        return Keys(self.settings.namespace)

    def now(self) -> float:
        return time.time()

    def open_gate(self, name: str) -> None:
        echo_worker.open_gate(self.client, self.settings, name)

    def seen(self, job_id: str) -> list[Job]:
        """Return each delivery of a job to the worker so far."""
        return [wire.decode_job(data) for data in self.client.lrange(f"{self.keys.prefix}seen:{job_id}", 0, -1)]

    def jobs_at(self, name: str) -> list[str]:
        """Return the ids of the jobs whose query names a gate."""
        prefix = f"{self.keys.prefix}seen:"
        found = []
        for key in self.client.scan_iter(match=f"{prefix}*"):
            job_id = key.decode().removeprefix(prefix)
            found += [job.job_id for job in self.seen(job_id)[:1] if f"gate:{name}" in job.query.split()]
        return found

    def write_cache(self, scores: dict[tuple[str, str], Score], max_length: int = 512, digest: str = "e" * 64) -> None:
        """Put scores of (query, text) into the cache, as a worker that ran them would."""
        identity = echo_worker.identity_of(self.settings, digest)
        writes = {
            pair_digests(identity, max_length, query, [text])[0]: score for (query, text), score in scores.items()
        }
        pipe = self.client.pipeline(transaction=False)
        ScoreWrites(writes, 60).add_to(pipe, self.keys)
        pipe.execute()


@pytest.fixture(scope="session")
def echo(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    """An echo worker that lives as long as the test process."""
    settings = load_settings(redis_url=server.url, namespace=f"echo-{os.getpid()}")
    yield from serve_echo(settings, tmp_path_factory.mktemp("echo") / "worker.log")


def serve_echo(settings: Settings, log_path: Path) -> Iterator[Echo]:
    """Run an echo worker and wait until it is ready."""
    environ = bare_environ() | to_environ(settings)
    client = connect(settings)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, echo_worker.__file__], env=environ, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        workers = Keys(settings.namespace).workers
        wait_until(lambda: client.zcard(workers) or process.poll() is not None, "the echo worker is ready")
        assert process.poll() is None, log_path.read_text()
        yield Echo(settings, client)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        client.close()


@pytest.fixture
def client(echo: Echo) -> Iterator[RerankClient]:
    with RerankClient(echo.settings) as client:
        yield client


@pytest.fixture
async def async_client(echo: Echo) -> AsyncIterator[AsyncRerankClient]:
    async with AsyncRerankClient(echo.settings) as client:
        yield client
