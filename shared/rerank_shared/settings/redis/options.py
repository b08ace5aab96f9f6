"""The options of a Redis URL: their names, the allowed values, and redis-py's value for each.

They are the options that redis-py reads from a URL, without those that would change the values that the fleet reads
back (`decode_responses`, `encoding`, `legacy_responses`) and those that the fleet sets itself (`retry_on_error`,
`lib_name`).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from rerank_shared.errors import ConfigurationError
from rerank_shared.nearest import did_you_mean

Scheme = Literal["redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"]
#: The name that kombu and Celery use for the database of a socket.
_ALIASES = {"virtual_host": "db"}
_BOOLEANS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)
_REQUIREMENTS = {name: name for name in ("required", "optional", "none")}
_REQUIREMENTS |= {f"cert_{name}": name for name in _REQUIREMENTS}
#: Bounds far above any need, and below the values that a socket or the server can't read or memory can't hold.
_DAY_S = 86_400
_MOST_DB, _MOST_READ_BYTES, _MOST_CONNECTIONS = 999_999_999, 16 * 1024 * 1024, 100_000
_TLS_VERSIONS = {
    **{version.name.lower(): version for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)},
    **{str(int(version)): version for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)},
}


def refused(why: str) -> ConfigurationError:
    """Return the error of a URL that can't be used."""
    return ConfigurationError(f"RERANK_REDIS_URL: {why}")


@dataclass(frozen=True, slots=True)
class _Option:
    """An option; `read` raises ValueError or KeyError for a value that is not `allowed`."""

    read: Callable[[str], Any]
    allowed: str
    schemes: tuple[Scheme, ...] = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
    secret: bool = False


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not least <= (value := int(text)) <= most:
            raise ValueError(text)
        return value

    return read


def _seconds(text: str) -> float:
    if not 0 < (value := float(text)) <= _DAY_S:
        raise ValueError(text)
    return value


def _client_name(text: str) -> str:
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError(text)
    return text


def _verify_flags(text: str) -> list[ssl.VerifyFlags]:
    return [ssl.VerifyFlags[name.strip()] for name in text.strip("[]").split(",")]


_SENTINEL: tuple[Scheme, ...] = ("redis+sentinel", "rediss+sentinel")
_TCP: tuple[Scheme, ...] = ("redis", "rediss", *_SENTINEL)
_TLS: tuple[Scheme, ...] = ("rediss", "rediss+sentinel")
_BOOLEAN = "true or false"
_SECONDS = f"seconds above 0, {_DAY_S} at most"
_FLAGS = "names of ssl.VerifyFlags with commas between them"
_PATH, _SECRET = "a path", "any text"


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.lower()]


OPTIONS: dict[str, _Option] = {
    "db": _Option(_whole(0, _MOST_DB), f"a number from 0 to {_MOST_DB}"),
    "username": _Option(str, _SECRET),
    "password": _Option(str, _SECRET, secret=True),
    "protocol": _Option(lambda text: {"2": 2, "3": 3}[text], "2 or 3"),
    "socket_timeout": _Option(_seconds, _SECONDS),
    "socket_connect_timeout": _Option(_seconds, _SECONDS),
    "socket_keepalive": _Option(_boolean, _BOOLEAN, _TCP),
    "socket_read_size": _Option(_whole(1, _MOST_READ_BYTES), f"bytes, from 1 to {_MOST_READ_BYTES}"),
    "retry_on_timeout": _Option(_boolean, _BOOLEAN),
    "health_check_interval": _Option(_whole(0, _DAY_S), f"whole seconds from 0 to {_DAY_S}"),
    "max_connections": _Option(_whole(1, _MOST_CONNECTIONS), f"a number from 1 to {_MOST_CONNECTIONS}"),
    "client_name": _Option(_client_name, "printable ASCII without spaces"),
    "sentinel_username": _Option(str, _SECRET, _SENTINEL),
    "sentinel_password": _Option(str, _SECRET, _SENTINEL, secret=True),
    "sentinel_ssl": _Option(_boolean, _BOOLEAN, ("rediss+sentinel",)),
    "ssl_cert_reqs": _Option(lambda text: _REQUIREMENTS[text.lower()], "required, optional or none", _TLS),
    "ssl_ca_certs": _Option(str, _PATH, _TLS),
    "ssl_ca_path": _Option(str, _PATH, _TLS),
    "ssl_ca_data": _Option(str, "certificates in PEM", _TLS),
    "ssl_certfile": _Option(str, _PATH, _TLS),
    "ssl_keyfile": _Option(str, _PATH, _TLS),
    "ssl_password": _Option(str, _SECRET, _TLS, secret=True),
    "ssl_check_hostname": _Option(_boolean, _BOOLEAN, _TLS),
    "ssl_min_version": _Option(lambda text: _TLS_VERSIONS[text.lower().replace(".", "_")], "TLSv1.2 or TLSv1.3", _TLS),
    "ssl_ciphers": _Option(str, "a list of ciphers as OpenSSL writes it", _TLS),
    "ssl_include_verify_flags": _Option(_verify_flags, _FLAGS, _TLS),
    "ssl_exclude_verify_flags": _Option(_verify_flags, _FLAGS, _TLS),
}


def read_options(query: str, scheme: Scheme) -> dict[str, Any]:
    """Return the options that a URL's query gives, by redis-py's names. Raises ConfigurationError."""
    found: dict[str, Any] = {}
    # A plus stands for itself, as it does before the ?; parse_qsl would turn it into a space, as in forms.
    for written, text in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True):
        name = _ALIASES.get(written, written)
        if (option := OPTIONS.get(name)) is None or scheme not in option.schemes:
            # An unescaped & ends a password here; then this name may be the rest of the password, so it is not shown.
            shown = name if not any(OPTIONS[each].secret for each in found) else "that follows the password"
            raise refused(_unknown(shown, scheme))
        if name in found:
            raise refused(f"{name} is given twice")
        if not text:
            raise refused(f"{name} is empty; allowed is {option.allowed}")
        try:
            found[name] = option.read(text)
        except (ValueError, KeyError):
            shown = "its value" if option.secret else repr(text)
            raise refused(f"{name} can't be {shown}; allowed is {option.allowed}") from None
    return found


def _unknown(name: str, scheme: Scheme) -> str:
    allowed = [each for each, option in OPTIONS.items() if scheme in option.schemes]
    if name in OPTIONS:
        needs = " or ".join(f"{each}://" for each in OPTIONS[name].schemes)
        return f"the option {name} is for {needs}, not {scheme}://"
    hint = did_you_mean(name, allowed)
    return f"the option {name} is not known; those of {scheme}:// are {', '.join(allowed)}{hint}"
