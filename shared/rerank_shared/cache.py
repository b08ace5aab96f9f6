"""The score cache: one MGET to look up, one script call to write back. Values are raw logits (wire.encode_score).

Look-ups happen on the producer before anything is enqueued; writes happen on the worker, in the same round trip as
the result. A cache that can't be read is a miss, never an error: only the queue decides whether a request can run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Score
from rerank_shared.contract.unreadable import read_amount
from rerank_shared.keys import Keys
from rerank_shared.redis.at_any_limit import write_if_room
from rerank_shared.redis.scripts import Script

#: A script call blocks the server; a thousand writes take it about 2 ms.
WRITES_PER_CALL = 1_000
_SCAN_COUNT = 1_000
#: Keys that a scrape looks at: where half of the keys are scores, nine of ten estimates are within an eighth.
SAMPLED_KEYS = 200
_WEIGHED = 10
#: Time between two writes of a client's counts: its look-ups, of which there may be hundreds, need not each write some.
_COUNTS_EVERY_S = 1.0

STORE_SCORES = Script("store_scores.lua")


@dataclass(frozen=True, slots=True)
class ScoreWrites:
    """Scores to write to the cache, by the digest of their pair."""

    scores: dict[bytes, Score]
    ttl_s: int

    def encoded(self, keys: Keys) -> tuple[list[bytes], list[bytes]]:
        """Return the keys and the values to write."""
        return [keys.score(digest) for digest in self.scores], [
            wire.encode_score(each) for each in self.scores.values()
        ]

    def add_to(self, pipe: Any, keys: Keys) -> None:
        """Queue the writes on a Redis pipeline, sync or asyncio; at the server's memory limit they are left out."""
        names, values = self.encoded(keys)
        for start in range(0, len(names), WRITES_PER_CALL):
            chunk = slice(start, start + WRITES_PER_CALL)
            STORE_SCORES.queue_on(pipe, names[chunk], self.ttl_s, *values[chunk])


def ask_counters(pipe: Any, keys: Keys) -> Any:
    """Ask, on a client or a pipeline, for the look-ups since the cache was cleared."""
    return pipe.hmget(keys.cache_counters, "hits", "misses")


def read_counters(answer: Sequence[bytes | None]) -> tuple[int, int]:
    """Return hits and misses from the answer to `ask_counters`."""
    hits, misses = (int(read_amount("count of look-ups", value)) for value in answer)
    return hits, misses


@dataclass(slots=True)
class LookupCounter:
    """Counts hits and misses, and writes them to Redis with a later look-up, so that counting costs no round trip."""

    keys: Keys
    hits: int = 0
    misses: int = 0
    clock: Callable[[], float] = time.monotonic
    _write_at: float = -math.inf

    def add_when_due(self, pipe: Any) -> None:
        """Do as `add_to`, but not within a second of the last time."""
        if (self.hits or self.misses) and (now := self.clock()) >= self._write_at:
            self._write_at = now + _COUNTS_EVERY_S
            self.add_to(pipe)

    def add_to(self, pipe: Any) -> None:
        """Queue the counts so far on a Redis pipeline, and reset them to zero."""
        hits, misses, self.hits, self.misses = self.hits, self.misses, 0, 0
        counts = {name: count for name, count in (("hits", hits), ("misses", misses)) if count}

        def fill(words: Any) -> None:
            for name, count in counts.items():
                words.hincrby(self.keys.cache_counters, name, count)

        # A full server must not turn its hits into misses.
        write_if_room(pipe, self.keys, fill)

    def read(self, values: Sequence[bytes | None]) -> list[Score | None]:
        """Decode the answer to MGET and count its hits and misses."""
        scores = [None if value is None else wire.decode_score(value) for value in values]
        found = sum(score is not None for score in scores)
        self.hits += found
        self.misses += len(scores) - found
        return scores


@dataclass(frozen=True, slots=True)
class Lookup:
    """One round trip that looks scores up and runs further commands; for sync and asyncio pipelines."""

    counter: LookupCounter
    digests: Sequence[bytes]

    def add_to(self, pipe: Any, fill: Callable[[Any], None]) -> int:
        """Queue the look-up, the commands of `fill`, and earlier counts if they are due.

        Return the number of answers that `read` needs.
        """
        if self.digests:
            pipe.mget([self.counter.keys.score(digest) for digest in self.digests])
        fill(pipe)
        needed = len(pipe)
        self.counter.add_when_due(pipe)
        return needed

    def read(self, answers: list[Any], needed: int) -> tuple[list[Score | None], list[Any]]:
        """Return the score of each digest, None for a miss, and the answers to the commands of `fill`.

        `answers` come from `execute(raise_on_error=False)`. The first error in them is raised, except one for the
        counts: a full server refuses the counts and still reads.
        """
        found = answers[:needed]
        for answer in found:
            if isinstance(answer, Exception):
                raise answer
        return (self.counter.read(found[0]), found[1:]) if self.digests else ([], found)


@dataclass(frozen=True, slots=True)
class CacheStats:
    """The cache as `rerank-fleet cache stats` shows it. `bytes_per_score` is a mean over a sample, key included."""

    scores: int
    bytes_per_score: float
    hits: int
    misses: int


def stats(client: Any, keys: Keys, sample: int = 100) -> CacheStats:
    """Count the cached scores by SCAN, which does not block the server, and weigh a sample of them."""
    count, weighed, weight = 0, 0, 0
    for key in client.scan_iter(match=_pattern(keys), count=_SCAN_COUNT):
        count += 1
        if weighed < sample and (size := client.memory_usage(key)):
            weighed, weight = weighed + 1, weight + size
    return CacheStats(count, weight / weighed if weighed else 0.0, *read_counters(ask_counters(client, keys)))


def ask_sample(pipe: Any) -> None:
    """Queue on a pipeline the questions that `sampled_bytes` reads the answers of; the server takes microseconds."""
    pipe.dbsize()
    for _ in range(SAMPLED_KEYS):
        pipe.randomkey()


def sampled_bytes(client: Any, keys: Keys, answers: Sequence[Any]) -> int | None:
    """Return an estimate of the bytes of all cached scores, keys included; None where the server tells too little.

    `answers` are those to `ask_sample`, errors among them. Asks for the memory of some of the keys: one round trip.
    """
    count, *sample = answers
    if not isinstance(count, int):
        return None
    drawn = [key for key in sample if isinstance(key, bytes)]
    scores = [key for key in drawn if key.startswith(keys.score_prefix)]
    if not scores:
        return 0 if drawn or not count else None
    pipe = client.pipeline(transaction=False)
    for key in scores[:_WEIGHED]:
        pipe.memory_usage(key)
    weights = [weight for weight in pipe.execute(raise_on_error=False) if isinstance(weight, int)]
    return round(count * len(scores) / len(drawn) * sum(weights) / len(weights)) if weights else None


def clear(client: Any, keys: Keys) -> int:
    """Delete every cached score and the counters; return the number of deleted scores. Other keys are not touched."""
    gone = 0
    scan = client.scan_iter(match=_pattern(keys), count=_SCAN_COUNT)
    while chunk := list(islice(scan, _SCAN_COUNT)):
        gone += client.unlink(*chunk)
    client.delete(keys.cache_counters)
    return gone


def _pattern(keys: Keys) -> bytes:
    # A namespace may hold '.', '-' and '_' only (settings), none of which a Redis glob treats specially outside [].
    return keys.score_prefix + b"*"
