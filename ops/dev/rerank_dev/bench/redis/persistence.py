"""One server under each kind of persistence: jobs a second through enqueue, take and finish, and jobs lost by SIGKILL.

A job counts as accepted once the server has answered its enqueue script: then a client no longer keeps it. SIGKILL ends
the process and leaves the machine running, so what was written to a file survives whether it was flushed or not.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from rerank_ops.local.redis_server import find_server
from rerank_producer._io.enqueue import Enqueue
from rerank_shared.contract.messages import Job
from rerank_shared.keys import Keys
from rerank_shared.queue.backend import Completion, Record
from rerank_shared.queue.job_queue import ENQUEUE, JobQueue
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings

#: Options of the server by the name of the setting.
KINDS: dict[str, tuple[str, ...]] = {
    "none": ("--save", "", "--appendonly", "no"),
    "snapshots": ("--save", "60 10000", "--appendonly", "no"),
    "log, flushed each second": ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec"),
    "log, flushed each time": ("--save", "", "--appendonly", "yes", "--appendfsync", "always"),
}
CLIENTS = 4
DOCUMENTS = tuple(f"passage {number}: " + "the house by the river has many rooms " * 8 for number in range(20))
_KEYS = Keys("bench")


@dataclass(frozen=True, slots=True)
class Server:
    """A server of this benchmark; it can be killed and started again on its files."""

    directory: Path
    options: tuple[str, ...]

    @property
    def settings(self) -> Settings:
        """Settings of a client."""
        return load_settings(redis_url=f"unix://{self.directory}/s", namespace=_KEYS.namespace)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run it for a block, and end it by SIGKILL."""
        where = ["--port", "0", "--unixsocket", f"{self.directory}/s", "--dir", str(self.directory)]
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen([find_server().path, *where, *self.options], stdout=log, stderr=log)
        try:
            self._await()
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _await(self) -> None:
        with connect(self.settings) as client:
            for _ in range(600):
                with suppress(redis.RedisError):
                    client.ping()
                    return
                time.sleep(0.05)
        raise RuntimeError(f"the server does not answer; see {self.directory}/log")


@contextmanager
def server_of(kind: str) -> Iterator[Server]:
    """Make a server with a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="rerank-bench-") as directory:
        yield Server(Path(directory), KINDS[kind])


def jobs_per_s(kind: str, seconds: float) -> float:
    """Return the jobs a second that several connections put on the queue, take and finish."""
    with server_of(kind) as server, server.running():
        end = time.monotonic() + seconds
        counts = [0] * CLIENTS

        def work(number: int) -> None:
            with connect(server.settings) as client:
                while time.monotonic() < end:
                    _cycle(client)
                    counts[number] += 1

        _together(work)
        return sum(counts) / seconds


def lost_by_kill(kind: str, seconds: float) -> tuple[int, int]:
    """Return how many jobs were accepted while clients sent as fast as they could, and how many a SIGKILL lost."""
    accepted: list[str] = []
    with server_of(kind) as server:
        with server.running() as process:

            def work(_: int) -> None:
                with connect(server.settings, timeout_s=1.0) as client, suppress(redis.RedisError):
                    while True:
                        job = _enqueue(client)
                        accepted.append(job.job_id)

            timer = threading.Timer(seconds, process.kill)
            timer.start()
            _together(work)
            timer.join()
        with server.running(), connect(server.settings) as client:
            kept = sum(client.hlen(_KEYS.waiting(name)) for name in ("interactive", "bulk"))
    return len(accepted), max(0, len(accepted) - kept)


def _together(work: object) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(CLIENTS)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _enqueue(client: redis.Redis) -> Job:
    now = time.time()
    job = Job(
        job_id=uuid.uuid4().hex,
        job_class="interactive",
        model="model",
        query="rooms?",
        documents=DOCUMENTS,
        max_length=None,
        enqueued_at=now,
        deadline_at=now + 600,
    )
    keys, args = Enqueue([job], None).call(_KEYS)
    ENQUEUE(client, keys, *args)
    return job


def _cycle(client: redis.Redis) -> None:
    _enqueue(client)
    taken = JobQueue(_KEYS).take(client, ["interactive"], owner="bench", before=None, bulk_share=0.05)
    if taken is not None:
        Completion(_KEYS, uuid.uuid4().hex, tag=_tag(taken.message)).run(client, Record(b"x" * 400, 600, lasting=True))


def _tag(message: bytes) -> str:
    import json

    tag: str = json.loads(message)["properties"]["delivery_tag"]
    return tag
