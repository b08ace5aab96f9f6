"""The requests that a gateway without keys answers, by its host name and by the headers that a browser sets."""

from __future__ import annotations

import socket
from collections.abc import Mapping

import pytest
from starlette.datastructures import Headers

from rerank_producer.apis.common.problems import Refused
from rerank_producer.gateway.http.origins import OriginPolicy
from rerank_producer.gateway.settings import load_gateway_settings


def origin_policy(**settings: str) -> OriginPolicy:
    return OriginPolicy.of(load_gateway_settings(**settings))


def refused(known: OriginPolicy, headers: Mapping[str, str] | Headers) -> str:
    """What is told of a request with these headers, nothing where it passes."""
    try:
        known.check(headers if isinstance(headers, Headers) else Headers(headers))
    except Refused as told:
        return f"{told.problem.status} {told.problem.message}"
    return ""


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8080", "localhost.", "app.localhost:1", "127.0.0.1", "127.1.2.3:80", "[::1]:8080", "[::1]",
     "192.168.1.7:8080", "[fd00::1]", socket.gethostname(), f"{socket.gethostname().partition('.')[0]}.local:80"],
)  # fmt: skip
def test_loopback_addresses_and_its_own_names_are_known(host: str) -> None:
    assert origin_policy().knows(host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "evil-localhost", "1.2.3",
     "evil.local", "gateway", "", ":80", "[evil.example]", "127.0.0.1@evil.example"],
)  # fmt: skip
def test_others_are_not_where_only_this_machine_should_ask(host: str) -> None:
    assert not origin_policy().knows(host)


def test_what_listens_to_a_network_is_known_by_the_names_that_network_gives() -> None:
    networked = origin_policy(host="0.0.0.0")
    for host in ("gateway:8080", "gateway.local", "rerank.internal", "localhost", "10.0.0.3:8080"):
        assert networked.knows(host), host
    for host in ("evil.example", "gateway.evil.example", "rerank.internal.evil.example"):
        assert not networked.knows(host), host


def test_further_names_are_told_and_so_is_the_one_it_listens_on() -> None:
    known = origin_policy(hosts="rerank.example, *.svc.cluster.local")
    assert known.knows("Rerank.Example:443")
    assert known.knows("gateway.search.svc.cluster.local:8080")
    assert not known.knows("x.rerank.example")
    assert origin_policy(host="rerank.example").knows("rerank.example:8080")
    assert origin_policy(hosts="*").knows("evil.example")


def test_a_name_that_is_not_known_is_told_with_what_to_set() -> None:
    told = refused(origin_policy(), {"host": "evil.example\r\nx: y" + "z" * 1_000})
    assert "evil.example" in told
    assert "RERANK_GATEWAY_HOSTS" in told
    assert told.startswith("403 ")
    assert len(told) < 400
    twice = Headers(raw=[(b"host", b"localhost"), (b"host", b"evil.example")])
    assert refused(origin_policy(), twice)


@pytest.mark.parametrize(
    ("origin", "host", "passes"),
    [
        ("http://gw.lan:8080", "gw.lan:8080", True),
        ("http://GW.lan", "gw.lan:80", True),
        ("https://gw.lan", "gw.lan", True),
        ("https://gw.lan:443", "gw.lan", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://gw.lan:8081", "gw.lan:8080", False),
        ("http://gw.lan", "gw.lan:8080", False),
        ("http://evil.example:8080", "gw.lan:8080", False),
        ("http://gw.lan.evil.example:8080", "gw.lan:8080", False),
        ("null", "gw.lan:8080", False),
        ("", "gw.lan:8080", False),
        ("file://", "gw.lan", False),
        ("http://[", "gw.lan", False),
    ],
)
def test_where_a_browser_names_the_origin_alone_it_is_held_against_the_host(
    origin: str, host: str, passes: bool
) -> None:
    assert (refused(origin_policy(hosts="gw.lan"), {"origin": origin, "host": host}) == "") is passes


def test_what_a_browser_says_of_the_site_counts_more_than_what_it_says_of_the_origin() -> None:
    """A proxy may have put another name into Host."""
    behind = {"host": "127.0.0.1:8080", "origin": "https://rerank.example"}
    assert refused(origin_policy(), behind)
    assert not refused(origin_policy(), behind | {"sec-fetch-site": "same-origin"})
    for site in ("cross-site", "same-site", "", "something new"):
        assert refused(origin_policy(), behind | {"sec-fetch-site": site})
        assert refused(origin_policy(), {"host": "127.0.0.1", "sec-fetch-site": site})


def test_origins_that_were_named_may_ask() -> None:
    known = origin_policy(cors_origins="https://shop.example")
    asked = {"host": "127.0.0.1", "sec-fetch-site": "cross-site"}
    assert not refused(known, asked | {"origin": "https://shop.example"})
    assert refused(known, asked | {"origin": "https://evil.example"})
    assert refused(known, {"host": "evil.example", "origin": "https://shop.example"})
    assert not refused(origin_policy(cors_origins="*"), {"host": "evil.example", "origin": "https://evil.example"})


def test_who_is_no_browser_says_nothing_and_passes() -> None:
    assert not refused(origin_policy(), {"host": "localhost:8080"})
    assert not refused(origin_policy(), {})
