"""Bare loops: one pinned process a core that runs pairs through the engine that a worker would open, and nothing else.

The pairs are tokenized and sorted by length beforehand.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection

from rerank_shared.settings import Settings
from rerank_worker.loading import load
from rerank_worker.process import set_up_logging
from rerank_worker.tokenizing import EncodedPair

#: A question and its documents.
Asked = tuple[str, list[str]]


class BareLoops:
    """The processes, from construction until the end of the block; their engine is that of workers with `settings`."""

    def __init__(self, settings: Settings, cores: tuple[int, ...], requests: Sequence[Asked]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for number, core in enumerate(cores):
            ours, theirs = context.Pipe()
            share = requests[number :: len(cores)]
            process = context.Process(target=_loop, args=(theirs, settings, core, share), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def per_s(self) -> tuple[float, float]:
        """Run all pairs once, on all cores at once; return pairs and tokens a second, of all cores together.

        Each core counts for its own time: a share that is shorter than the others leaves no core waiting.
        """
        for pipe in self._pipes:
            pipe.send(True)
        found: list[tuple[int, int, float]] = [pipe.recv() for pipe in self._pipes]
        pairs_per_s = sum(pairs / seconds for pairs, _, seconds in found)
        return pairs_per_s, sum(tokens / seconds for _, tokens, seconds in found)

    def __enter__(self) -> BareLoops:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.send(False)
        for process in self._processes:
            process.join()


def _loop(pipe: Connection, settings: Settings, core: int, requests: Sequence[Asked]) -> None:
    set_up_logging(settings)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    model = load(settings)
    pairs: list[EncodedPair] = []
    for query, documents in requests:
        pairs += model.scorer.encode(query, documents, model.identity.max_length)
    pairs.sort(key=lambda pair: pair.tokens)
    tokens = sum(pair.tokens for pair in pairs)
    pipe.send(True)
    while pipe.recv():
        started = time.perf_counter()
        for pair in pairs:
            model.scorer.score([pair])
        pipe.send((len(pairs), tokens, time.perf_counter() - started))
