"""The store: the part of Redis that clients need, as a dictionary of strings, hashes and sorted sets with life-times.

Names and values are bytes, as in Redis. A command that this lacks raises AttributeError.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from rerank_shared.contract import wire
from rerank_shared.contract.messages import Deviations
from rerank_shared.deviations import LEARN, joined
from rerank_shared.queue.backlog import READ, UNCOUNT, sums_of

Name = str | bytes
Bound = float | str


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


class Store:
    """The keys of one server. `clock` gives epoch seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._values: dict[bytes, Any] = {}
        self._ends: dict[bytes, float] = {}

    def pipeline(self) -> Pipeline:
        """Return a pipeline with redis-py's methods."""
        return Pipeline(self)

    def names(self, prefix: Name) -> list[bytes]:
        """Return the names of all keys that start with `prefix`."""
        return [name for name in self._values if name.startswith(_bytes(prefix))]

    def end(self, *names: Name) -> None:
        """Delete keys."""
        for name in map(_bytes, names):
            self._values.pop(name, None)
            self._ends.pop(name, None)

    def read(self, name: Name) -> Any:
        """Return the value under a name; None if there is none, or its time is over."""
        key = _bytes(name)
        if self._ends.get(key, self.clock() + 1) <= self.clock():
            self.end(key)
        return self._values.get(key)

    def write(self, name: Name, value: bytes, life_s: float | None = None) -> None:
        """Write a string under a name, for `life_s` seconds; None: without end."""
        self.end(name)
        self._values[_bytes(name)] = value
        if life_s is not None:
            self._ends[_bytes(name)] = self.clock() + life_s

    def live(self, name: Name, life_s: float) -> bool:
        """Let a key end in `life_s` seconds; return whether it exists."""
        if self.read(name) is None:
            return False
        self._ends[_bytes(name)] = self.clock() + life_s
        return True

    def table(self, name: Name) -> dict[bytes, Any]:
        """Return the hash or the sorted set under a name, a new one if there is none."""
        if self.read(name) is None:
            self._values[_bytes(name)] = {}
        return cast("dict[bytes, Any]", self._values[_bytes(name)])


class Pipeline:
    """Commands that run one after the other in `execute`.

    Those that write return Redis's answer where a caller in this package reads it, else None.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._commands: list[Callable[[], Any]] = []

    def execute(self) -> list[Any]:
        """Run the queued commands, and return the answers."""
        commands, self._commands = self._commands, []
        return [command() for command in commands]

    def get(self, name: Name) -> None:
        """Queue GET."""
        self._commands.append(lambda: self._store.read(name))

    def mget(self, names: Sequence[Name]) -> None:
        """Queue MGET."""
        self._commands.append(lambda: [self._store.read(name) for name in names])

    def set(self, name: Name, value: bytes, ex: float | None = None) -> None:
        """Queue SET."""
        self._commands.append(lambda: self._store.write(name, value, ex))

    def unlink(self, *names: Name) -> None:
        """Queue UNLINK."""
        self._commands.append(lambda: self._store.end(*names))

    def expire(self, name: Name, life_s: float) -> None:
        """Queue EXPIRE."""
        self._commands.append(lambda: self._store.live(name, life_s))

    def time(self) -> None:
        """Queue TIME."""
        self._commands.append(lambda: (int(self._store.clock()), int(self._store.clock() % 1 * 1e6)))

    def hset(self, name: Name, field: Name, value: bytes) -> None:
        """Queue HSET."""
        self._commands.append(lambda: self._store.table(name).update({_bytes(field): value}))

    def hgetall(self, name: Name) -> None:
        """Queue HGETALL."""
        self._commands.append(lambda: dict(self._store.read(name) or {}))

    def eval(self, script: str, keys: int, name: Name, *words: Any) -> None:
        """Queue EVAL of one of the scripts that clients run on a pipeline."""
        scripts: dict[str, Callable[..., Any]] = {
            LEARN.text: self._learn,
            UNCOUNT.text: self._uncount,
            READ.text: self._backlog,
        }
        run = scripts[script]
        self._commands.append(lambda: run(name, *words[keys - 1 :]))

    def _learn(self, name: Name, *words: Any) -> None:
        lesson = Deviations(int(words[0]), float(words[1]), float(words[2]))
        value = self._store.read(name)
        means = joined(None if value is None else wire.decode_deviations(value), lesson)
        text = f"{means.requests} {means.logit!r} {means.first_stage!r}"
        self._store.write(name, text.encode(), float(words[-1]))

    def _uncount(self, name: Name, member: Name) -> None:
        self._store.table(name).pop(_bytes(member), None)

    def _backlog(self, name: Name, now: float) -> dict[bytes, bytes]:
        for member in self._between(name, "-inf", now):
            del self._store.table(name)[member]
        return sums_of(self._store.table(name))

    def zadd(self, name: Name, scores: Mapping[Any, float]) -> None:
        """Queue ZADD."""
        self._commands.append(lambda: self._store.table(name).update({_bytes(m): s for m, s in scores.items()}))

    def zrem(self, name: Name, *members: Name) -> None:
        """Queue ZREM."""
        self._commands.append(lambda: [self._store.table(name).pop(_bytes(member), None) for member in members])

    def zscore(self, name: Name, member: Name) -> None:
        """Queue ZSCORE."""
        self._commands.append(lambda: (self._store.read(name) or {}).get(_bytes(member)))

    def zrange(self, name: Name, first: int, last: int) -> None:
        """Queue ZRANGE over the whole set, the only range that is asked for."""
        assert (first, last) == (0, -1)
        self.zrangebyscore(name, "-inf", "+inf")

    def zrangebyscore(self, name: Name, low: Bound, high: Bound) -> None:
        """Queue ZRANGEBYSCORE."""
        self._commands.append(lambda: self._between(name, low, high))

    def zcount(self, name: Name, low: Bound, high: Bound) -> None:
        """Queue ZCOUNT."""
        self._commands.append(lambda: len(self._between(name, low, high)))

    def zremrangebyscore(self, name: Name, low: Bound, high: Bound) -> None:
        """Queue ZREMRANGEBYSCORE."""

        def remove() -> int:
            members = self._between(name, low, high)
            for member in members:
                del self._store.table(name)[member]
            return len(members)

        self._commands.append(remove)

    def _between(self, name: Name, low: Bound, high: Bound) -> list[bytes]:
        scores = self._store.read(name) or {}
        found = [(score, member) for member, score in scores.items() if float(low) <= score <= float(high)]
        return [member for _, member in sorted(found)]
