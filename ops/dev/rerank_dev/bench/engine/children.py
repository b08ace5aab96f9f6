"""The parent's side: starts a contender as a process on one thread and one core, and talks to it line by line."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import rerank_dev
import rerank_ops
import rerank_producer
import rerank_shared
import rerank_worker
from rerank_shared.settings import bare_environ

Message = dict[str, Any]
_RUNNERS = "rerank_dev.bench.engine.runners"
#: Imports of torch and its company, from a cold disk, included.
_TIMEOUT_S = 900.0
#: rerank_shared.errors.ConfigurationError: ...
_EXCEPTION_MODULE = re.compile(r"^(\w+\.)+(?=\w+:)")
_ONE_THREAD = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip


class ContenderFailed(Exception):
    """A contender could not be started or run; its text is the reason. The benchmark goes on without a peer only."""


class Child:
    """One running contender."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("w") as errors:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env=child_environment(),
                    text=True,
                    bufsize=1,
                )
            except OSError as error:
                raise ContenderFailed(f"{command[0]} can't be started: {error.strerror}") from None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, message: Message) -> Message:
        """Return the answer to a message. Raises ContenderFailed with the contender's own reason."""
        self.send(message)
        return self.receive()

    def send(self, message: Message) -> None:
        """Send a message whose answer is received later."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
        except OSError:
            raise ContenderFailed(self._reason()) from None

    def receive(self) -> Message:
        """Return the next answer."""
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], _TIMEOUT_S)
        if not readable:
            raise ContenderFailed(f"no answer in {_TIMEOUT_S:g} s")
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise ContenderFailed(self._reason())
        answer: Message = json.loads(line)
        if "error" in answer:
            raise ContenderFailed(answer["error"])
        return answer

    def close(self) -> None:
        """End the process and wait for it."""
        for pipe in (self._process.stdin, self._process.stdout):
            # What it never read, because it is gone, can't be flushed.
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reason(self) -> str:
        lines = [line.strip() for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        if not lines:
            return f"it ended with status {self._process.returncode} and said nothing"
        return _EXCEPTION_MODULE.sub("", lines[-1])


def runner_command(python: str, runner: str, directory: Path, requests: Path, core: int, **options: str) -> list[str]:
    """Return the command that runs a contender of `runners/` on a core (-1: on any)."""
    module = f"{_RUNNERS}.{runner}"
    return [python, "-m", module, str(directory), str(requests), str(core), *(f"{k}={v}" for k, v in options.items())]


def child_environment() -> dict[str, str]:
    """Return the environment of a contender: one thread, no network, our sources, and none of our settings."""
    packages = (rerank_shared, rerank_producer, rerank_worker, rerank_ops, rerank_dev)
    roots = [str(Path(package.__path__[0]).parent) for package in packages]
    return bare_environ() | dict.fromkeys(_ONE_THREAD, "1") | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(roots)),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
