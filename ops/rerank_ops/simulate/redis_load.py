"""Load on one Redis: computes a fleet's commands, connections and bytes, and the limit that it meets first as it grows.

The counts are read from the code, each with its source file; a test compares them with a real server. They are weighed
by server time in units of one plain command of a busy connection. So one measured figure, the plain commands a second
that a server does, gives the largest fleet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rerank_shared.contract.estimate import CHARS_PER_TOKEN
from rerank_shared.scheduling.admission import LOAD_REMEMBERED_S
from rerank_shared.scheduling.sharding import shard_count

Per = Literal["process second", "request", "job"]

#: Server time in units of a plain command from one of 50 busy connections (3.1 us on a 2.5 GHz core), measured on
#: Valkey 9.1 by the server's own CPU time. A command in a pipeline takes 0.46 us, in a script 0.56 us, a key of MGET
#: 0.14 us, a member of an answer 0.046 us, a delivery to a subscriber 1.4 us.
PIPELINED, SCRIPTED, KEY, MEMBER, DELIVERY = 0.15, 0.18, 0.045, 0.015, 0.45
#: Bytes of a line of the backlog in an answer: a second, and what is due within it.
LINE_BYTES = 58
#: Redis's default limit of connections.
MAX_CLIENTS = 10_000


@dataclass(frozen=True, slots=True)
class Operation:
    """One exchange with the server.

    `commands` go in one round trip; `calls` are commands inside a script. An operation without `commands` is part of
    another operation's exchange. `bytes_in` and `bytes_out` leave out the text of pairs.
    """

    name: str
    per: Per
    commands: int
    calls: int
    bytes_in: int
    bytes_out: int
    source: str
    times: float = 1.0

    @property
    def cost(self) -> float:
        """Server time of one operation, in plain commands."""
        exchange = 1.0 + PIPELINED * (self.commands - 1) if self.commands else 0.0
        return exchange + SCRIPTED * self.calls


#: An idle worker process a second: 1 BRPOP, 2 EVALSHA and one pipeline, 3.2 kB in and 0.5 kB out.
OPERATIONS = (
    Operation("heartbeat", "process second", 1, 18, 2_400, 40, "worker/rerank_worker/heartbeat.py"),
    Operation("leases renewed", "process second", 2, 4, 300, 60, "worker/rerank_worker/heartbeat.py"),
    Operation("cost shared", "process second", 1, 2, 220, 10, "shared/rerank_shared/fleet.py"),
    Operation("announcement read", "process second", 1, 0, 60, 250, "worker/rerank_worker/heartbeat.py"),
    Operation("wake-up polled", "process second", 1, 0, 90, 5, "shared/rerank_shared/queue/transport/channel.py"),
    Operation("take, nothing there", "process second", 1, 23, 510, 5, "shared/rerank_shared/lua/take.lua"),
    Operation("sweep", "process second", 1, 5, 620, 20, "shared/rerank_shared/lua/sweep.lua"),
    Operation("look", "request", 5, 1, 300, 32, "producer/rerank_producer/_dispatch/lookup.py"),
    Operation("enqueue", "request", 1, 4, 600, 4, "shared/rerank_shared/lua/enqueue.lua"),
    Operation("job enqueued", "job", 0, 9, 1_300, 0, "shared/rerank_shared/lua/enqueue.lua"),
    Operation("wake-up popped", "job", 1, 0, 90, 90, "shared/rerank_shared/queue/transport/channel.py"),
    Operation("take", "job", 1, 27, 620, 1_600, "shared/rerank_shared/lua/take.lua"),
    Operation("finished", "job", 1, 12, 1_400, 5, "shared/rerank_shared/lua/finish.lua"),
)
#: What a client asks of a busy pool: a script a class; beside it come the lines of the answer.
BACKLOG_READ = Operation("backlog read", "request", 2, 8, 5_000, 30, "shared/rerank_shared/lua/read_backlog.lua")
#: Only idle processes poll an empty queue; only processes that hold a job renew leases and share their cost.
_IDLE_ONLY, _BUSY_ONLY = {"wake-up polled", "take, nothing there"}, {"leases renewed", "cost shared"}
#: Connections of a process: BRPOP, broadcast, commands of the broker, result backend, presence and one spare. Those of
#: a client: its reply channel and its pool.
CONNECTIONS, CLIENT_CONNECTIONS = 6, 4
#: Bytes of a look-up's key and of its answer, of a written score, and of a score in an answer.
_KEY_IN, _KEY_OUT, _WRITE_IN, _SCORE_OUT = 70, 13, 90, 24
#: Limit of a client's reads of the backlog a second, and bytes of a broadcast.
_BACKLOG_READS_PER_S, _BROADCAST_BYTES = 1 / LOAD_REMEMBERED_S, 400
_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """The requests of a fleet.

    `request_s` is the time of one process for a request, `load` the busy share of the fleet. `jobs` is the number of
    jobs a request (None: as clients split it with the rest of the fleet idle). `clients` is the number of callers'
    processes. `cancelled` is the share of cancelled requests, each of which is broadcast to all workers.
    """

    request_s: float
    load: float = 0.7
    pairs: float = 50.0
    tokens: float = 100.0
    jobs: float | None = None
    clients: int = 50
    cancelled: float = 0.001


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one server: plain commands a second without pipelining, connections, Gbit/s each way."""

    commands_per_s: float = 100_000.0
    connections: int = MAX_CLIENTS
    gbit_per_s: float = 10.0


@dataclass(frozen=True, slots=True)
class RedisLoad:
    """The load on one server. `used` is the used share of each limit; `commands_per_s` are weighed, by purpose."""

    processes: int
    requests_per_s: float
    jobs_a_request: float
    commands_per_s: Mapping[str, float]
    heartbeat_bytes_per_s: float
    backlog_entries: float
    backlog_bytes_per_s: float
    deliveries_per_s: float
    bytes_in_per_s: float
    bytes_out_per_s: float
    connections: int
    used: Mapping[str, float]

    @property
    def first(self) -> tuple[str, float]:
        """The nearest limit and its used share."""
        return max(self.used.items(), key=lambda item: item[1])


def redis_load(processes: int, shape: Shape, limits: Limits) -> RedisLoad:
    """Return the load of `processes` worker processes on one Redis."""
    rps = shape.load * processes / shape.request_s
    jobs = _jobs(processes, shape)
    # Little's law: the jobs that run, and as many that wait or are on their way, at any number of shards.
    entries = 2 * rps * shape.request_s
    reads = min(rps, shape.clients * _BACKLOG_READS_PER_S)
    # A line for each second in which an unanswered job is due.
    lines = min(entries, 2 * shape.request_s + 1)
    deliveries = rps * (jobs + 1 + shape.cancelled * processes)
    commands = _commands(processes, rps, jobs, shape)
    commands["backlog read"] = reads * (BACKLOG_READ.cost + 2 * MEMBER * lines)
    commands["deliveries"] = deliveries * DELIVERY
    bytes_in, bytes_out = _bytes(processes, rps, jobs, shape)
    bytes_in += reads * BACKLOG_READ.bytes_in
    bytes_out += reads * lines * LINE_BYTES + rps * shape.cancelled * processes * _BROADCAST_BYTES
    connections = CONNECTIONS * processes + CLIENT_CONNECTIONS * shape.clients
    return RedisLoad(
        processes=processes,
        requests_per_s=rps,
        jobs_a_request=jobs,
        commands_per_s=commands,
        heartbeat_bytes_per_s=sum(o.bytes_in * _rate(o, processes, rps, jobs, shape) for o in OPERATIONS[:3]),
        backlog_entries=entries,
        backlog_bytes_per_s=reads * lines * LINE_BYTES,
        deliveries_per_s=deliveries,
        bytes_in_per_s=bytes_in,
        bytes_out_per_s=bytes_out,
        connections=connections,
        used={
            "commands": sum(commands.values()) / limits.commands_per_s,
            "connections": connections / limits.connections,
            "network": max(bytes_in, bytes_out) * 8 / (limits.gbit_per_s * 1e9),
        },
    )


def reach(shape: Shape, limits: Limits) -> dict[str, int]:
    """Return the number of processes that each limit allows."""
    found = {}
    for name in redis_load(1, shape, limits).used:
        low, high = 0, 1
        while redis_load(high, shape, limits).used[name] <= 1 and high < _MOST:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if redis_load(middle, shape, limits).used[name] <= 1 else (low, middle)
        found[name] = low
    return found


def _jobs(processes: int, shape: Shape) -> float:
    if shape.jobs is not None:
        return shape.jobs
    idle = int((1 - shape.load) * processes)
    return float(shard_count(run_s=shape.request_s, pairs=round(shape.pairs), processes=idle))


def _rate(operation: Operation, processes: int, rps: float, jobs: float, shape: Shape) -> float:
    """Return the operations of this kind a second."""
    if operation.per == "process second":
        idle = 1 - shape.load if operation.name in _IDLE_ONLY else 1.0
        return processes * (shape.load if operation.name in _BUSY_ONLY else idle)
    return rps * (jobs if operation.per == "job" else 1.0)


def _commands(processes: int, rps: float, jobs: float, shape: Shape) -> dict[str, float]:
    groups = {"heartbeats": 0.0, "polling": 0.0, "sweeps": 0.0, "requests": 0.0, "jobs": 0.0}
    for operation in OPERATIONS:
        if operation.per == "process second":
            known = {"sweep": "sweeps", "wake-up polled": "polling", "take, nothing there": "polling"}
            group = known.get(operation.name, "heartbeats")
        else:
            group = f"{operation.per}s"
        groups[group] += operation.cost * _rate(operation, processes, rps, jobs, shape)
    groups["requests"] += rps * KEY * shape.pairs
    groups["jobs"] += rps * SCRIPTED * shape.pairs
    return groups


def _bytes(processes: int, rps: float, jobs: float, shape: Shape) -> tuple[float, float]:
    rates = [(operation, _rate(operation, processes, rps, jobs, shape)) for operation in OPERATIONS]
    bytes_in = sum(operation.bytes_in * rate for operation, rate in rates)
    bytes_out = sum(operation.bytes_out * rate for operation, rate in rates)
    text = shape.tokens * CHARS_PER_TOKEN
    pairs = rps * shape.pairs
    # The text goes in once and out once; so do the scores, in the announcement to the caller.
    bytes_in += pairs * (text + _KEY_IN + _WRITE_IN + _SCORE_OUT)
    return bytes_in, bytes_out + pairs * (text + _KEY_OUT + _SCORE_OUT)
