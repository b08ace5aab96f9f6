"""Kills at random moments of one bulk run, each followed by the same command: the output is that of a run in peace.

Each run draws a seed of its own and prints it. RERANK_TEST_SEED replays one.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from rerank_ops.local.fleet import LocalFleet, local_fleet
from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings
from support.bulk import BulkFiles, write_rows
from support.model.tiny_graphs import write_tiny_model

pytestmark = [pytest.mark.integration, pytest.mark.faults, pytest.mark.timeout(900)]

#: Each thrice, in a random order.
KILLS = 3 * (
    "kill_command", "kill_command", "kill_worker", "kill_workers", "kill_all", "kill_server", "lose_server",
    "empty_server", "freeze_server", "freeze_command",
)  # fmt: skip
WORKERS = 2
#: The window is far smaller than the rows between two kills, so that no kill comes when all is done.
ROWS, DOCUMENTS, WINDOW = 600, 8, 8
OPTIONS = ("--format", "jsonl", "--window", str(WINDOW), "--chunk-bytes", "2000")
#: Read now: the environment of a test has no settings of ours.
SEED = int(os.environ.get("RERANK_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
PARTIAL, PREREQUISITE = 7, 3


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(persistent=True) as running:
        yield running


@dataclass
class Trial:
    """A run, and all that can happen to it. Whatever is killed is started again."""

    files: BulkFiles
    fleet: LocalFleet
    server: EmbeddedServer
    draw: random.Random
    log: Path
    command: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.command = self.files.start(self.log)

    def kill_command(self) -> None:
        self.command.kill()
        self.command.wait()
        self.begin()

    def kill_worker(self) -> None:
        if pids := self.fleet.supervisor.pids():
            _kill(self.draw.choice(pids))

    def kill_workers(self) -> None:
        for pid in self.fleet.supervisor.pids():
            _kill(pid)

    def kill_all(self) -> None:
        self.command.kill()
        self.server.kill()
        self.kill_workers()
        self.command.wait()
        self.server.restart()
        self.begin()

    def kill_server(self) -> None:
        """What it had is in its file, up to the last second or all, as it is set at random at each start."""
        self.server.kill()
        self.server.restart()
        with connect(self.files.settings) as client:
            client.config_set("appendfsync", self.draw.choice(["always", "everysec"]))

    def lose_server(self) -> None:
        self.server.kill()
        shutil.rmtree(self.server.directory / "appendonlydir")
        self.server.restart()

    def empty_server(self) -> None:
        with connect(self.files.settings) as client:
            client.flushall()

    def freeze_server(self) -> None:
        assert self.server.pid is not None
        os.kill(self.server.pid, signal.SIGSTOP)
        time.sleep(self.draw.uniform(0.05, 0.5))
        os.kill(self.server.pid, signal.SIGCONT)

    def freeze_command(self) -> None:
        self.command.send_signal(signal.SIGSTOP)
        second = self.files.run()
        assert (second.returncode, self.files.output.exists()) == (PREREQUISITE, False), second.stderr
        assert "is being written by another command" in second.stderr
        self.command.send_signal(signal.SIGCONT)

    def one(self, kill: int, what: str) -> None:
        """Let something happen at a random moment."""
        # Drawn in rows, not in seconds: a fast machine does not end the run before its last kill.
        share = (kill + self.draw.random()) / (len(KILLS) + 2)
        self.files.wait_for(int(share * ROWS), self.command, self.log)
        time.sleep(self.draw.uniform(0.0, 0.02))
        getattr(self, what)()


def _kill(pid: int) -> None:
    # It may have ended a moment ago.
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_kills_at_random_moments_change_no_byte(server: EmbeddedServer, settings: Settings, tmp_path: Path) -> None:
    draw = random.Random(SEED)
    kills = draw.sample(KILLS, len(KILLS))
    print(f"{len(kills)} kills, RERANK_TEST_SEED={SEED}: {', '.join(kills)}")
    model = f"file:{write_tiny_model(tmp_path / 'tiny')}"
    settings = load_settings(**(settings.model_dump(exclude_none=True) | {"model": model, "redelivery_s": 2.0}))
    source = write_rows(tmp_path / "in.jsonl", ROWS, DOCUMENTS, draw)
    files = BulkFiles(settings, source, tmp_path / "out.jsonl", OPTIONS)
    in_peace = replace(files, output=tmp_path / "peace.jsonl", options=(*OPTIONS, "--no-cache"))
    with local_fleet(settings, WORKERS) as fleet:
        trial = Trial(files, fleet, server, draw, tmp_path / "command.log")
        try:
            for number, kill in enumerate(kills):
                trial.one(number, kill)
            assert trial.command.wait(timeout=300) == PARTIAL, trial.log.read_text()
        finally:
            trial.command.kill()
            trial.command.wait()
        assert in_peace.run().returncode == PARTIAL
    assert files.written == in_peace.written
    assert files.written[0].count(b"\n") > ROWS // 2
