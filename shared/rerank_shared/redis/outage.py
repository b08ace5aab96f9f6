"""Outages: the one place that reads exceptions of redis-py and kombu, and turns each into an Outage.

The text of an exception is never passed on: it repeats the command, and so parts of documents. An Outage has its own
words, and says whether it can end by itself.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import redis

from rerank_shared.redis.sentinel import NoPrimary, NoSentinel, SilentSentinel

OutageKind = Literal[
    "unreachable",
    "silent",
    "tls",
    "credentials",
    "permission",
    "database",
    "cluster",
    "read_only",
    "out_of_memory",
    "loading",
    "refused",
]
#: Kinds that waiting does not end: a setting has to be changed, here or on the server.
LASTING: frozenset[OutageKind] = frozenset({"tls", "credentials", "permission", "database", "cluster"})
#: redis-py puts the command before the reply, and the command may hold anything.
_BEFORE_REPLY = "of pipeline caused error: "
#: Up to Redis 6.2 a script's error comes inside an error of the script, or, where the script passes it on, after the
#: script's line number.
_SCRIPT = re.compile(r"(?:Error running script .*?: ?|(?:@user_script: ?\d+: ?)+)-?(?=[A-Z]{3,} )")
_COMMAND = re.compile(r"run the '([a-z|_-]+)' command")

_REMEDIES: dict[OutageKind, str] = {
    "unreachable": "Start one with `rerank-fleet server`, or set RERANK_REDIS_URL.",
    "silent": "Look whether the server hangs, and whether RERANK_REDIS_URL names a Redis server.",
    "tls": "Set ssl_ca_certs, ssl_certfile and ssl_keyfile in RERANK_REDIS_URL to what the server asks for.",
    "credentials": "Set user name and password in RERANK_REDIS_URL: rediss://user:password@host:port/0.",
    "permission": "Allow the user what docs/redis.md lists.",
    "database": "Set the database in RERANK_REDIS_URL to one that the server has.",
    "cluster": "Set RERANK_REDIS_URL to a single server: the queue can't be spread over a cluster.",
    "read_only": "Set RERANK_REDIS_URL to the primary, or wait until this one is promoted.",
    "out_of_memory": "Raise maxmemory, or start more workers to drain the queue.",
    "loading": "Wait: it answers when it has loaded its data.",
    "refused": "Look into the server's log.",
}


_OF_SENTINELS: dict[OutageKind, str] = {
    "tls": "Set ssl_ca_certs in RERANK_REDIS_URL for the Sentinels too, or sentinel_ssl=no where they speak no TLS.",
    "credentials": "Set sentinel_username and sentinel_password in RERANK_REDIS_URL.",
    "permission": "Allow the user on the Sentinels what ops/redis/sentinel-users.acl has.",
    "refused": "Look whether RERANK_REDIS_URL names Sentinels.",
}
_LOOK_AT_SENTINELS = (
    "Look whether the Sentinels run, and whether RERANK_REDIS_URL names them; rediss+sentinel:// is for TLS, with "
    "sentinel_ssl=no where they alone speak none."
)


@dataclass(frozen=True, slots=True)
class Outage:
    """The reason why a command could not run. `says` continues "Redis at URL ...".

    `about`: what could not be used: the server, the Sentinels, or the name that they were asked for.
    """

    kind: OutageKind
    says: str
    about: Literal["server", "sentinels", "name"] = "server"

    @property
    def lasts(self) -> bool:
        """Whether it lasts until a setting is changed."""
        return self.kind in LASTING

    def remedy(self, *, tls: bool) -> str:
        """Return what to do, in a sentence or two; `tls` says whether the URL asks for TLS."""
        if self.about == "name":
            return "Set the name behind the hosts in RERANK_REDIS_URL to that of `sentinel monitor`."
        if self.about == "sentinels":
            return _OF_SENTINELS.get(self.kind, _LOOK_AT_SENTINELS)
        if tls and self in (_NO_TLS, _SILENT):
            return _SPEAKS_NONE
        if self == _NO_REDIS:
            return "Set RERANK_REDIS_URL to a Redis server."
        hint = (f"{_SPEAKS_NONE} {_ASKS_CLIENTS}" if tls else _SPEAKS_TLS) if self == _CLOSED else ""
        return hint + _REMEDIES[self.kind]


_CLOSED = Outage("unreachable", "can't be reached: it closed the connection")
_SILENT = Outage("silent", "does not answer in time")
_SPEAKS_NONE = "If the server does not speak TLS, RERANK_REDIS_URL starts with redis://, not rediss://."
_ASKS_CLIENTS = "If it asks for a client certificate, set ssl_certfile and ssl_keyfile in RERANK_REDIS_URL. "
_SPEAKS_TLS = "If it speaks TLS, RERANK_REDIS_URL starts with rediss://. "
_NO_REDIS = Outage("refused", "answers in a way that Redis does not")
_NO_TLS = Outage("tls", "does not speak TLS on this port")


def outage_of(error: BaseException) -> Outage:
    """Return the outage behind an exception of redis-py, kombu or the socket; never with text of a command in it."""
    chain = list(_chain(error))
    for each in chain:
        if isinstance(each, NoPrimary):
            return Outage("unreachable", each.says, "name")
        if isinstance(each, NoSentinel | SilentSentinel) and each.__cause__ is not None:
            inner = outage_of(each.__cause__)
            return Outage(inner.kind, f"can't be found: its Sentinel {each.place} {inner.says}", "sentinels")
        if isinstance(each, redis.RedisError) and (found := _told(each)) is not None:
            return found
    for each in chain:
        if isinstance(each, ssl.SSLError):
            return _tls(each)
    if any(isinstance(each, redis.TimeoutError | TimeoutError) for each in chain):
        return _SILENT
    for each in chain:
        if isinstance(each, OSError) and (found := _system(each)) is not None:
            return found
    if any(isinstance(each, redis.InvalidResponse) for each in chain):
        return _NO_REDIS
    if any(isinstance(each, redis.ConnectionError) for each in chain):
        return _CLOSED
    return Outage("refused", f"can't be used ({type(error).__name__})")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those it was raised from, 8 at most: kombu wraps those of redis-py."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def _told(error: redis.RedisError) -> Outage | None:
    """Return the outage behind a server's reply, None for an error that is no reply."""
    kind = next((kind for classes, kind in _CLASSES if isinstance(error, classes)), None)
    text = str(error.args[0]) if error.args else ""
    if _BEFORE_REPLY in text:
        text = text.rpartition(_BEFORE_REPLY)[2]
    if kind is None:
        kind = _by_words(text)
    if kind is None:
        return Outage("refused", "refuses a command") if isinstance(error, redis.ResponseError) else None
    return Outage(kind, _SAYS[kind] + (_forbidden(text) if kind == "permission" else ""))


def _by_words(text: str) -> OutageKind | None:
    if (inner := _SCRIPT.match(text)) is not None:
        text = text[inner.end() :]
    return next((kind for start, kind in _STARTS if text.startswith(start)), None)


def _forbidden(text: str) -> str:
    if (command := _COMMAND.search(text)) is not None:
        return f" to run {command[1].upper()}"
    for thing in ("channel", "key"):
        if thing in text:
            return f" for a {thing} of this namespace"
    return ""


def _tls(error: ssl.SSLError) -> Outage:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Outage("tls", f"has a certificate that is not trusted here: {error.verify_message.rstrip('.')}")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        # The settings may be right: a server at its maxclients, or a proxy without its server, ends the handshake this
        # way.
        return _CLOSED
    reason = getattr(error, "reason", None) or "unknown reason"
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return _NO_TLS
    return Outage("tls", f"can't agree on TLS with this client: {reason.replace('_', ' ').lower()}")


def _system(error: OSError) -> Outage | None:
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return _CLOSED
    if isinstance(error, socket.gaierror):
        return Outage("unreachable", "can't be reached: no address is known for its name")
    return Outage("unreachable", f"can't be reached: {error.strerror}") if error.strerror else None


_CLASSES: tuple[tuple[type[redis.RedisError] | tuple[type[redis.RedisError], ...], OutageKind], ...] = (
    ((redis.AuthenticationError, redis.exceptions.AuthenticationWrongNumberOfArgsError), "credentials"),
    ((redis.exceptions.NoPermissionError, redis.exceptions.AuthorizationError), "permission"),
    (redis.ReadOnlyError, "read_only"),
    (redis.OutOfMemoryError, "out_of_memory"),
    ((redis.BusyLoadingError, redis.exceptions.MasterDownError), "loading"),
    ((redis.exceptions.AskError, redis.exceptions.ClusterDownError, redis.exceptions.ClusterCrossSlotError), "cluster"),
)
#: Replies that have no class of their own, and those that a script wraps, by their first words.
_STARTS: tuple[tuple[str, OutageKind], ...] = (
    ("OOM ", "out_of_memory"),
    ("READONLY ", "read_only"),
    ("NOPERM ", "permission"),
    ("ACL failure in script", "permission"),
    ("The user executing the script", "permission"),
    ("LOADING ", "loading"),
    ("BUSY ", "loading"),
    ("NOAUTH ", "credentials"),
    ("WRONGPASS ", "credentials"),
    ("DENIED ", "credentials"),
    ("DB index is out of range", "database"),
    ("invalid DB index", "database"),
    ("Invalid Database", "database"),
)
_SAYS: dict[OutageKind, str] = {
    "credentials": "refuses the user name or password",
    "permission": "does not permit this user",
    "read_only": "is a read-only replica",
    "out_of_memory": "has reached its memory limit (maxmemory) and takes no more",
    "loading": "is loading its data or running a long script",
    "cluster": "is a cluster",
    "database": "has no such database",
}
