"""A worker process that dies, by SIGKILL, at one named moment of a job, or whose clock is wrong; else like any other.

python -m support.mortal MOMENT, with tests/ on the path. MOMENT: taken, before-run, mid-batch, scored, answered,
loading (a further model), or clock+SECONDS; `older` is of a release that loads none. With a word in the environment
variable MORTAL_WORD it dies of jobs only whose query holds the word.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from rerank_shared.queue.backend import FleetBackend
from rerank_shared.queue.transport.channel import FleetChannel
from rerank_worker import process
from rerank_worker.batching.scoring_thread import ScoringThread
from rerank_worker.consume.handler import JobHandler
from rerank_worker.models import keeper

MOMENTS = ("taken", "before-run", "mid-batch", "scored", "answered")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(method: Callable[..., Any], *, before: bool = True, times: int = 1) -> Callable[..., Any]:
    """Return the method with the end of the process before or after its so-manieth call."""
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if before and calls == times:
            die()
        result = method(*args, **kwargs)
        if calls == times:
            die()
        return result

    return wrapped


def dying_of(word: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(self: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
        if word in job.query:
            die()
        return method(self, job, *args, **kwargs)

    return wrapped


def main() -> int:
    """Arrange for the end, then work."""
    moment = sys.argv[1]
    targets: Any = FleetChannel, ScoringThread, FleetBackend, JobHandler, keeper, process
    channel, scoring, backend, handler, keeping, program = targets
    if moment == "taken":
        channel._open = dying(channel._open)
    elif moment == "before-run":
        scoring._run = dying(scoring._run)
    elif moment == "mid-batch":
        scoring._finish = dying(scoring._finish, times=2)
    elif moment == "scored":
        backend._store_result = dying(backend._store_result)
    elif moment == "answered":
        backend._store_result = dying(backend._store_result, before=False)
    elif moment == "loading":
        keeping.load = dying(keeping.load, before=False)
    elif moment == "older":
        program.answer_commands = lambda keeper: None
    elif moment == "word":
        handler.answer = dying_of(os.environ["MORTAL_WORD"], handler.answer)
    elif moment.startswith("clock"):
        real, off_s = time.time, float(moment.removeprefix("clock"))
        time.time = lambda: real() + off_s
    return process.main()


if __name__ == "__main__":
    sys.exit(main())
