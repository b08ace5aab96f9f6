"""The keyring: API keys from a file, which it follows while the file changes.

An unknown id, a wrong secret and a malformed key get the same answer after the same comparisons. A file that can't be
read any more leaves the keys as they were: a slip of an editor must not lock all callers out.
"""

from __future__ import annotations

import hmac
import logging
import os
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from starlette.datastructures import Headers

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.auth.keyfile import TOKEN, ApiKey, Entry, digest_of, parse
from rerank_shared.errors import ConfigurationError

__all__ = ["ApiKey", "Keyring"]

log = logging.getLogger(__name__)
#: The file is looked at this often, at most.
_LOOK_S = 1.0
#: Longer ones are not looked at; a key has 56 characters.
_MAX_HEADER_CHARS = 256
#: The digest that the secret of an unknown id is compared with; no known text has it.
_NO_DIGEST = bytes(32)
_SEND = "send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
_Version = tuple[int, int, int, int]


class Keyring:
    """The keys of one file. Not for threads: it belongs to an event loop."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        compare: Callable[[bytes, bytes], bool] = hmac.compare_digest,
    ) -> None:
        """Raises ConfigurationError if the file can't be read. A file without entries admits no caller."""
        self._path = path
        self._clock, self._now, self._compare = clock, now, compare
        self._entries: dict[str, Entry] = {}
        self._version: _Version | None = None
        self._look_at = clock() + _LOOK_S
        self._load()

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Return the keys of a file. Raises ConfigurationError as the constructor."""
        return cls(Path(path))

    def find(self, headers: Headers) -> ApiKey:
        """Return the key that a request carries. Raises Refused (401)."""
        self._follow()
        match = TOKEN.fullmatch(_token(headers))
        key_id, secret = match.groups() if match else ("", "")
        entry = self._entries.get(key_id)
        same = self._compare(digest_of(secret), _NO_DIGEST if entry is None else entry.digest)
        if entry is None or not same:
            raise _unauthorized("the API key is not valid here: unknown, revoked or mistyped", invalid=True)
        expires_at = entry.key.expires_at
        if expires_at is not None and self._now() >= expires_at:
            raise _unauthorized(f"the API key {entry.key.name!r} expired at {expires_at.isoformat()}", invalid=True)
        return entry.key

    def get(self, key_id: str) -> ApiKey | None:
        """Return the key of an id, None where it was revoked or has expired."""
        self._follow()
        entry = self._entries.get(key_id)
        if entry is None or (entry.key.expires_at is not None and self._now() >= entry.key.expires_at):
            return None
        return entry.key

    def _follow(self) -> None:
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        try:
            found = _version(os.stat(self._path))
        except OSError:
            # One value for a missing file, so that it is logged once.
            found = (0, 0, 0, 0)
        if found == self._version:
            return
        try:
            self._load()
            log.info("read API keys path=%s keys=%d", self._path, len(self._entries))
        except ConfigurationError as error:
            self._version = found
            log.error("keep the former API keys, the file can't be read: %s", error)

    def _load(self) -> None:
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                text = file.read().decode()
            entries = parse(text)
        except OSError as error:
            raise ConfigurationError(
                f"API keys {self._path}: {error.strerror}. Make one with `rerank-fleet keys create NAME --file "
                f"{self._path}`, or unset RERANK_GATEWAY_KEYS to let everybody in who reaches the port."
            ) from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"API keys {self._path}: no text in UTF-8") from None
        except ConfigurationError as error:
            raise ConfigurationError(f"API keys {self._path}: {error.message}") from None
        if status.st_mode & (stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
            mode = stat.filemode(status.st_mode)
            log.warning("others can read or change the API keys path=%s mode=%s, 0600 expected", self._path, mode)
        self._entries, self._version = {entry.key.key_id: entry for entry in entries}, _version(status)


def _token(headers: Headers) -> str:
    """Return the one key that the headers hold, in however many of them it stands. Raises Refused."""
    bearers, plain = headers.getlist("authorization"), headers.getlist("x-api-key")
    if not bearers and not plain:
        raise _unauthorized(f"an API key is needed; {_SEND}", invalid=False)
    if max(map(len, (*bearers, *plain))) > _MAX_HEADER_CHARS:
        return ""
    sent = {_of_bearer(value) for value in bearers} | {value.strip() for value in plain}
    if len(sent) > 1:
        raise _unauthorized(f"more than one API key was sent; {_SEND}", invalid=True)
    (token,) = sent
    return token


def _of_bearer(value: str) -> str:
    scheme, _, token = value.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise _unauthorized(f"this Authorization is no API key; {_SEND}", invalid=False)
    return token.strip()


def _unauthorized(message: str, *, invalid: bool) -> Refused:
    challenge = 'Bearer error="invalid_token"' if invalid else "Bearer"
    return Refused(Problem(401, "unauthorized", message, headers={"WWW-Authenticate": challenge}))


def _version(status: os.stat_result) -> _Version:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
