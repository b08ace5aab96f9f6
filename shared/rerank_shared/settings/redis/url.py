"""The Redis URL: the one reader of it, for all that connect (broker, results, cache, clients, doctor).

An unusable URL is refused with the name of the option and the allowed values. No message holds a part of the URL that
may belong to a password.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit

from rerank_shared.settings.redis.options import Scheme, read_options, refused

_SCHEMES: dict[str, Scheme] = {
    "redis": "redis",
    "rediss": "rediss",
    "unix": "unix",
    "redis+socket": "unix",
    "redis+sentinel": "redis+sentinel",
    "rediss+sentinel": "rediss+sentinel",
}
_DEFAULT_PORT, _SENTINEL_PORT = 6379, 26379
_SECRETS = re.compile(r"((?:^|&)(?:ssl_|sentinel_)?password=)[^&]*", re.IGNORECASE)
_TRUST = {"cafile": "ssl_ca_certs", "capath": "ssl_ca_path", "cadata": "ssl_ca_data"}
_ENCODED = "a password with any of / ? # @ [ ] in it is written in percent-encoding, %23 for #"

Value = TypeVar("Value", int, str)


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The server's address and the way to connect to it; made by `parse`.

    `options` are keyword arguments of the connections; `max_connections` bounds a pool of them. Where Sentinels are
    asked for the primary, `host` and `port` are those of the first one, and `options` name them all.
    """

    scheme: Scheme
    host: str
    port: int
    #: The path of the socket, where `scheme` is unix.
    path: str
    db: int
    username: str | None
    password: str | None = field(repr=False)
    options: Mapping[str, Any] = field(repr=False)
    max_connections: int | None
    #: The URL as it was written, with its passwords hidden.
    masked: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL. Raises ConfigurationError."""
        parts, hosts = _split(text)
        scheme = _SCHEMES[parts.scheme]
        told = read_options(parts.query, scheme)
        path = parts.path
        if "sentinel" in scheme:
            service, path = _service(path)
            told |= {"service": service, "sentinels": [list(each) for each in hosts]}
        in_path = None if scheme == "unix" else _path_db(path)
        if scheme.startswith("rediss"):
            # The default of redis-py; kombu and Celery each have another.
            told.setdefault("ssl_cert_reqs", "required")
        return cls(
            scheme=scheme,
            host=hosts[0][0],
            port=hosts[0][1],
            path=_socket_path(parts) if scheme == "unix" else "",
            db=_agreed("db", told.pop("db", None), in_path) or 0,
            username=_agreed("username", told.pop("username", None), unquote(parts.username or "") or None),
            password=_agreed("password", told.pop("password", None), unquote(parts.password or "") or None),
            max_connections=told.pop("max_connections", None),
            options=told,
            masked=_masked(text, parts),
        )

    @property
    def tls(self) -> bool:
        """Whether the server is spoken to over TLS."""
        return self.scheme.startswith("rediss")

    @property
    def asks_sentinels(self) -> bool:
        """Whether Sentinels are asked for the primary."""
        return "sentinels" in self.options

    @property
    def has_secret(self) -> bool:
        """Whether the URL holds a user name or a password."""
        return self.username is not None or self.password is not None

    def connection_kwargs(self) -> dict[str, Any]:
        """Return the arguments of a redis-py connection, without its class."""
        place: dict[str, Any] = {"path": self.path} if self.scheme == "unix" else {"host": self.host, "port": self.port}
        who = {"username": self.username, "password": self.password}
        known = {name: value for name, value in who.items() if value is not None}
        return {**place, "db": self.db, **known, **self.options}

    def for_kombu(self) -> str:
        """Return the URL of the same server, user and database as kombu spells it. It has no place for options."""
        who = ":".join(quote(part or "", safe="") for part in (self.username, self.password))
        at = f"{who}@" if self.has_secret else ""
        if self.scheme == "unix":
            return f"redis+socket://{at}{quote(self.path)}?virtual_host={self.db}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{at}{host}:{self.port}/{self.db}"

    def refuse_unusable_files(self) -> None:
        """Raise ConfigurationError where this installation can't use the certificates or ciphers."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        told, trusted = self.options, {word: name for word, name in _TRUST.items() if name in self.options}
        if trusted:
            with _as_fault_of(" or ".join(trusted.values())):
                context.load_verify_locations(**{word: told[name] for word, name in trusted.items()})
        if "ssl_keyfile" in told and "ssl_certfile" not in told:
            raise refused("ssl_keyfile needs ssl_certfile, the certificate that it belongs to")
        if "ssl_certfile" in told:
            # Without a password OpenSSL would ask for one on the terminal.
            password = told.get("ssl_password", "")
            with _as_fault_of("ssl_certfile, ssl_keyfile or ssl_password"):
                context.load_cert_chain(told["ssl_certfile"], told.get("ssl_keyfile"), lambda: password)
        if "ssl_ciphers" in told:
            with _as_fault_of("ssl_ciphers"):
                context.set_ciphers(told["ssl_ciphers"])


def _split(text: str) -> tuple[SplitResult, list[tuple[str, int]]]:
    """Return the parts of a URL, and its hosts with their ports: several where they are Sentinels."""
    scheme, found, _ = text.partition("://")
    if not found or scheme not in _SCHEMES:
        raise refused(
            f"{_odd_scheme(scheme if found else '')}. Allowed are redis://, rediss:// (TLS), unix:///path, and "
            "redis+sentinel:// or rediss+sentinel:// with the hosts of the Sentinels"
        )
    if "#" in text:
        raise refused(f"it has a #; {_ENCODED}")
    try:
        parts = urlsplit(text)
        named = parts.netloc.rpartition("@")[2]
        several = "sentinel" in scheme
        port = _SENTINEL_PORT if several else _DEFAULT_PORT
        return parts, [_host(each, port) for each in (named.split(",") if several else [named])]
    except ValueError:
        raise refused(f"host and port can't be read; a port is a number from 1 to 65535, and {_ENCODED}") from None


def _host(text: str, port: int) -> tuple[str, int]:
    """Read `host:port`, either of which may be left out. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    if parts.port == 0 or parts.path:
        raise ValueError(text)
    return unquote(parts.hostname or "localhost"), parts.port or port


def _service(path: str) -> tuple[str, str]:
    """Return the name under which the Sentinels know the primary, and the rest of the path."""
    name, _, rest = path.removeprefix("/").partition("/")
    if re.fullmatch(r"[A-Za-z0-9._-]*[A-Za-z._-][A-Za-z0-9._-]*", name) is None:
        raise refused(
            "the name of the primary is missing; Sentinels are asked as in "
            "redis+sentinel://user:password@host:26379,host:26379/NAME/0"
        )
    return name, f"/{rest}"


def _odd_scheme(scheme: str) -> str:
    if "cluster" in scheme:
        return f"{scheme}:// is not supported: the queue needs all its keys on one server, so name one"
    # A text without a scheme may be anything, a password too.
    return f"{scheme}:// is not supported" if scheme.replace("+", "").isalnum() else "it has no scheme"


def _socket_path(parts: SplitResult) -> str:
    if parts.hostname or not parts.path.strip("/"):
        raise refused("a socket is written unix:///path/of/the.sock, with three slashes")
    return unquote(parts.path)


def _path_db(path: str) -> int | None:
    if not path.strip("/"):
        return None
    if re.fullmatch(r"/+[0-9]{1,9}/*", path) is None:
        raise refused(
            f"what follows host and port is no database; allowed is a number, as in redis://host:6379/0, and {_ENCODED}"
        )
    return int(path.strip("/"))


def _agreed(name: str, in_query: Value | None, before: Value | None) -> Value | None:
    if in_query is not None and before is not None and in_query != before:
        raise refused(f"{name} is given twice, as an option and before it, and they differ")
    return before if in_query is None else in_query


def _masked(text: str, parts: SplitResult) -> str:
    query, netloc = _SECRETS.sub(r"\1***", parts.query), parts.netloc
    if parts.password is not None:
        netloc = f"{parts.username or ''}:***@{netloc.rpartition('@')[2]}"
    if (netloc, query) == (parts.netloc, parts.query):
        return text
    # urlunsplit would leave out the slashes of a socket.
    return f"{parts.scheme}://{netloc}{parts.path}" + (f"?{query}" if query else "")


@contextmanager
def _as_fault_of(names: str) -> Iterator[None]:
    """Turn an error of OpenSSL or the system inside the block into a refusal of these options."""
    try:
        yield
    except (OSError, ValueError) as error:
        # Not each error of OpenSSL has a reason, and none has words in `strerror`.
        reason = getattr(error, "reason" if isinstance(error, ssl.SSLError) else "strerror", None)
        told = (reason or "it can't be read").replace("_", " ").lower()
        raise refused(f"{names} can't be used: {told}") from None
