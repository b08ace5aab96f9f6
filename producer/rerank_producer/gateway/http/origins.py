"""The origin policy: a gateway without keys refuses pages of other sites, whose visitors' browsers can reach it.

CORS keeps such a page from reading answers, not from sending requests: a form or a plain-text request needs no
permission. A key would keep it out. Without keys two headers do, which a browser sets and no script can change:

- `Sec-Fetch-Site` says whose page asks. Browsers leave it out on the way to a plain http name, and there `Origin` is
  held against `Host`.
- `Host` is the name that the browser knows the gateway by. A page may own a name and make it lead here (DNS
  rebinding), and is of the same origin then; so the name must be one that the gateway is known by.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Self
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from rerank_producer.apis.common.call import Problem
from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.http.headers import printable
from rerank_producer.gateway.settings import GatewaySettings

_OWN_PAGE = ("same-origin", "none")
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: Names that only the network itself hands out. An attacker who can forge them reaches the open port anyway.
_LOCAL_ENDINGS = (".local", ".internal", ".home.arpa")


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """The origins and host names that a gateway without keys answers.

    `origins` are as browsers send them, `hosts` are patterns of names in lower case. `networked` says that the gateway
    listens on more than loopback.
    """

    origins: frozenset[str]
    hosts: tuple[str, ...]
    networked: bool

    @classmethod
    def of(cls, settings: GatewaySettings) -> Self:
        """Return the policy of a gateway, with the names of this machine."""
        machine = socket.gethostname().lower()
        names = (*settings.hosts, settings.host.lower(), machine, f"{machine.partition('.')[0]}.local")
        networked = not (settings.host == "localhost" or _is_loopback(settings.host))
        return cls(frozenset(settings.cors_origins), names, networked)

    def check(self, headers: Headers) -> None:
        """Raise Refused (403) for a request of another origin's page, or by an unknown host name."""
        if "*" in self.origins:
            return
        hosts = headers.getlist("host")
        for host in hosts:
            if not self.knows(host):
                name = printable(_without_port(host))
                raise _forbidden(f"this gateway is not known as {name}; RERANK_GATEWAY_HOSTS lists its further names")
        origins = headers.getlist("origin")
        if origins and self.origins.issuperset(origins):
            return
        site = headers.get("sec-fetch-site")
        own = site in _OWN_PAGE if site is not None else all(_same(origin, hosts) for origin in origins)
        if not own:
            raise _forbidden("a page of another origin asks; RERANK_GATEWAY_CORS_ORIGINS names those that may")

    def knows(self, host: str) -> bool:
        """Whether a `Host` header has a name of this gateway: one of its own, loopback's, or an address, which no page
        can own."""
        name = _without_port(host).removesuffix(".").lower()
        if _is_address(name) or name == "localhost" or name.endswith(".localhost"):
            return True
        if self.networked and ("." not in name or name.endswith(_LOCAL_ENDINGS)):
            return True
        return any(fnmatchcase(name, pattern) for pattern in self.hosts)


def _without_port(host: str) -> str:
    host = host.strip()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name).is_loopback


def _same(origin: str, hosts: list[str]) -> bool:
    """Whether `Origin` equals `Host`; its scheme may differ, since a proxy may end TLS."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    default = f":{_DEFAULT_PORTS.get(parts.scheme, 0)}"
    own = parts.netloc.lower().removesuffix(default)
    return bool(own) and bool(hosts) and all(host.strip().lower().removesuffix(default) == own for host in hosts)


def _forbidden(message: str) -> Refused:
    return Refused(Problem(403, "forbidden", message))
