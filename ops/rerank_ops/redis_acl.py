"""Access rules: the Redis user of each role of a fleet, with the commands, keys and channels that the role needs.

What runs inside scripts is read from the scripts. What is sent beside them stands here. A test runs the work of each
role under its user: it finds a command that is missing, and one that nothing uses.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Literal

from kombu.transport.redis import REFRESH_BINDING

from rerank_shared.keys import JOB_CLASSES, Keys

Role = Literal["client", "worker", "gateway", "metrics", "operator"]

_CALL = re.compile(r"redis\.p?call\('([A-Z]+)'(?:, '([A-Z]+)')?")
#: Commands of which a role may run a part alone.
_OF_PARTS = {"memory"}
_LUA = resources.files("rerank_shared").joinpath("lua")
#: Redis lets everybody run AUTH and HELLO. SELECT is for databases other than 0, CLIENT SETNAME for `client_name`.
_CONNECT = "select client|setname"
_SCRIPTS = "ping eval evalsha"
#: The state of a fleet: backlog, heartbeats, costs.
_STATE = "eval llen zrangebyscore zcount hgetall get"
_READ_BACKLOG = ("backlog", "read_backlog")
#: Sending by plain Celery, and Celery's broadcasts.
_SEND = "hlen lpush sadd publish"
#: Consuming by kombu: its queues of remote control, and its books of what it delivered.
_CONSUME = "multi exec brpop srem hget hset hdel zadd zrem del set script|exists script|load psubscribe subscribe"
#: What a worker, `up`, `bulk` and `doctor` try before they begin; see rerank_shared/redis/access.py.
_TRIAL = "set get unlink brpop script|load time publish subscribe psubscribe pubsub|numsub info"
#: The signal for autoscalers and what else /metrics shows; see rerank_shared/collectors/.
_WATCH = "time hmget zcard xlen info dbsize randomkey memory|usage"
_SHOW = "scan zrevrange"
#: Reading feedback and deleting it.
_FEEDBACK = "xrange xrevrange xdel xtrim"
#: Leading a rollout: both models score a sample.
_ROLL_OUT = "mget hincrby unsubscribe zscore"
#: What workers alone do: their end of remote control, results of plain senders, activity, a wake-up that is put back.
_ALONE = "punsubscribe smembers setex zscore rpush hincrbyfloat"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a role needs: scripts by their files, and commands beside them.

    `writes`: patterns of keys beside those of jobs. None is every key and every channel of the namespace.
    """

    scripts: Sequence[str]
    commands: Sequence[str]
    writes: Sequence[str] | None = ()


_CLIENT = Needs(
    (
        *_READ_BACKLOG,
        "queue",
        "enqueue",
        "put",
        "uncount",
        "learn_deviations",
        "at_any_limit",
        "feedback",
        "keep_worst",
    ),
    (
        _CONNECT,
        _SCRIPTS,
        _STATE,
        _SEND,
        "set del unlink subscribe unsubscribe time zadd zrem zscore mget hincrby expire info",
    ),
)
NEEDS: dict[Role, Needs] = {
    "client": _CLIENT,
    # A client as well: `up` answers `rerank`, and `bulk --up` asks and scores under one URL.
    "worker": Needs(
        (
            *_CLIENT.scripts,
            "take",
            "give_back",
            "finish",
            "sweep",
            "file",
            "refile",
            "renew",
            "expire",
            "store_scores",
            "set_route",
        ),
        (*_CLIENT.commands, _CONSUME, _TRIAL, _WATCH, _ALONE),
        None,
    ),
    "gateway": Needs(
        (*_CLIENT.scripts, "bucket", "set_route"),
        (*_CLIENT.commands, _WATCH),
        ("bucket:*", "latency:*", "routes", "route:*"),
    ),
    "metrics": Needs(_READ_BACKLOG, (_CONNECT, _STATE, _WATCH, _SHOW)),
    "operator": Needs(
        (
            *_READ_BACKLOG,
            "queue",
            "put",
            "enqueue",
            "uncount",
            "purge",
            "at_any_limit",
            "replace_feedback",
            "set_route",
            "keep_worst",
        ),
        (_CONNECT, _SCRIPTS, _STATE, _SEND, _CONSUME, _TRIAL, _WATCH, _SHOW, _FEEDBACK, _ROLL_OUT),
        None,
    ),
}


@dataclass(frozen=True)
class User:
    """The rules of one role in one namespace and database."""

    role: Role
    keys: Keys
    db: int = 0

    @property
    def name(self) -> str:
        """The user's name: namespace and role."""
        return f"{self.keys.namespace}-{self.role}"

    @cached_property
    def commands(self) -> list[str]:
        """Return all commands, those inside scripts too, in order."""
        needs = NEEDS[self.role]
        found = set(" ".join(needs.commands).split()) | {
            name for file in needs.scripts for name in script_commands(file)
        }
        if "script|load" in found:
            # kombu registers this script.
            found |= _called(REFRESH_BINDING)
        return sorted(found)

    @property
    def rules(self) -> list[str]:
        """Return the rules as ACL SETUSER takes them, without state and password."""
        return [
            "resetkeys",
            *self._keys(),
            "resetchannels",
            *self._channels(),
            "-@all",
            *(f"+{c}" for c in self.commands),
        ]

    def line(self, password: str) -> str:
        """Return the user as a line of an ACL file. `password` is a rule: `>secret`, or `#` and a SHA-256."""
        return " ".join(["user", self.name, "on", password, *self.rules])

    def _keys(self) -> list[str]:
        prefix, writes = self.keys.prefix, NEEDS[self.role].writes
        if writes is None:
            return [f"~{prefix}*"]
        jobs = _counted(self.keys) if self.role == "metrics" else _of_jobs(self.keys)
        return [f"%R~{prefix}*", *(f"~{name}" for name in jobs), *(f"~{prefix}{pattern}" for pattern in writes)]

    def _channels(self) -> list[str]:
        control = self.keys.control_channel(self.db)
        if self.role == "metrics":
            return []
        if NEEDS[self.role].writes is None:
            # A pattern is permitted only as it is written, not by a wider one.
            events = control.replace("celery.pidbox", "celeryev/*")
            return [f"&{self.keys.prefix}*", f"&{control}", f"&{events}"]
        return [f"&{self.keys.reply('*')}", f"&{self.keys.result('*')}", f"&{self.keys.trial('*')}", f"&{control}"]


def _counted(keys: Keys) -> list[str]:
    """Return the patterns of what reading a fleet's state prunes and sums up, in all pools."""
    return [f"{name(job_class)}*" for job_class in JOB_CLASSES for name in (keys.backlog, keys.backlog_sums)]


def _of_jobs(keys: Keys) -> list[str]:
    """Return the patterns of what a client writes: all that belongs to jobs, but no score and no worker's heartbeat."""
    prefix = keys.prefix
    queues = [f"{start}*" for start in keys.queue_prefixes]
    tables = [keys.unacked, keys.leases, keys.lease_owners, keys.dead, keys.dead_index, keys.lifetimes]
    tables.append(keys.feedback)
    of_job = [keys.deaths("*"), keys.text("*"), keys.request("*"), keys.result("*"), keys.trial("*")]
    kinds = ("flight:*", "deviations:*", "routed:*", "shadowed:*", "shadow_worst:*", "_kombu.binding*")
    more = [f"{prefix}{kind}" for kind in kinds]
    return [*_counted(keys), *queues, *tables, *of_job, *more, keys.cache_counters]


def script_commands(file: str) -> set[str]:
    """Return the commands that a script calls by name."""
    return _called(_LUA.joinpath(f"{file}.lua").read_text())


def _called(text: str) -> set[str]:
    found = ((name.lower(), part.lower()) for name, part in _CALL.findall(text.replace('"', "'")))
    return {f"{name}|{part}" if name in _OF_PARTS else name for name, part in found}


def new_password() -> tuple[str, str]:
    """Return a new password, and the rule that knows only its hash."""
    password = secrets.token_urlsafe(24)
    return password, f"#{hashlib.sha256(password.encode()).hexdigest()}"


def users(keys: Keys, roles: Iterable[Role] = tuple(NEEDS), db: int = 0) -> list[User]:
    """Return the users of these roles."""
    return [User(role, keys, db) for role in roles]
