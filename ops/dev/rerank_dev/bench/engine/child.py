"""The contender's side of the benchmark: one process that loads, then answers one JSON line for each it is told.

It times itself, so that the pipe to its parent costs nobody anything. Standard library only: it runs inside the
environments of peers, whatever they hold.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

Message = dict[str, Any]
#: (query, documents, batch size or 0) -> a logit for each document, in order.
Score = Callable[[str, list[str], int], Sequence[float]]
Answer = Callable[[Message], Message]


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a contender is told at its start; `options` are its own."""

    directory: Path
    requests: list[Message]
    options: dict[str, str]


def serve(load: Callable[[Arguments], Score], packages: Sequence[str]) -> None:
    """Score requests until the parent closes the pipe; `packages` are those whose versions matter."""

    def answers(arguments: Arguments) -> Answer:
        score = load(arguments)
        return lambda message: _timed(score, arguments.requests, message)

    serve_answers(answers, packages)


def serve_answers(load: Callable[[Arguments], Answer], packages: Sequence[str]) -> None:
    """Load, say so, and answer each message."""
    channel = _take_stdout()
    directory, requests, core, *options = sys.argv[1:]
    if int(core) >= 0 and hasattr(os, "sched_setaffinity"):
        # Before anything is imported that counts cores to size its pool.
        os.sched_setaffinity(0, {int(core)})
    started = time.perf_counter()
    texts = json.loads(Path(requests).read_text(encoding="utf-8"))
    answer = load(Arguments(Path(directory), texts, dict(option.split("=", 1) for option in options)))
    _say(channel, {"ready": True, "load_s": time.perf_counter() - started, "versions": _versions(packages)})
    for line in sys.stdin:
        try:
            answered = answer(json.loads(line))
        except Exception as error:
            # Whatever a contender raises is its result; the parent shows it in the table.
            answered = {"error": f"{type(error).__name__}: {error}"}
        _say(channel, answered)


def _timed(score: Score, requests: list[Message], message: Message) -> Message:
    request = requests[message["run"]]
    documents = request["documents"]
    if "documents" in message:
        documents = [documents[i] for i in message["documents"]]
    cpu, started = time.process_time(), time.perf_counter()
    scores = score(request["query"], documents, message.get("batch_size", 0))
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    return {"seconds": seconds, "cpu_s": cpu_s, "scores": [float(value) for value in scores]}


def _take_stdout() -> TextIO:
    """Keep standard output for the protocol: libraries that print must not break it."""
    channel = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _say(channel: TextIO, message: Message) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
