"""The Redis URL: what it may say, what each user of it gets, and how the rest is refused. Nothing connects here."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from kombu import Connection

from rerank_producer import AsyncRerankClient, RerankClient
from rerank_shared.errors import ConfigurationError
from rerank_shared.settings import load_settings
from rerank_shared.settings.redis.options import OPTIONS
from rerank_shared.settings.redis.url import RedisUrl


def test_a_url_says_where_and_who() -> None:
    url = RedisUrl.parse("rediss://us%40er:p%2Fw%23@db.example:6380/3")
    assert url.connection_kwargs() == {
        "host": "db.example",
        "port": 6380,
        "db": 3,
        "username": "us@er",
        "password": "p/w#",
        "ssl_cert_reqs": "required",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://", {"host": "localhost", "port": 6379, "db": 0}),
        ("redis://h", {"host": "h", "port": 6379, "db": 0}),
        # As redis-py and Celery read it.
        ("redis://h//1/", {"host": "h", "port": 6379, "db": 1}),
        ("redis://[::1]:7/2", {"host": "::1", "port": 7, "db": 2}),
        ("redis://h/?db=3", {"host": "h", "port": 6379, "db": 3}),
        ("redis://h/3?db=3", {"host": "h", "port": 6379, "db": 3}),
        ("redis://:pw@h", {"host": "h", "port": 6379, "db": 0, "password": "pw"}),
        ("redis://h?password=a%26b&db=1", {"host": "h", "port": 6379, "db": 1, "password": "a&b"}),
        (
            "redis+sentinel://u:pw@a,b:7,[::1]/fleet-1/2",
            {"host": "a", "port": 26379, "db": 2, "username": "u", "password": "pw",
             "sentinels": [["a", 26379], ["b", 7], ["::1", 26379]], "service": "fleet-1"},
        ),
        ("unix:///run/a%20b.sock", {"path": "/run/a b.sock", "db": 0}),
        ("unix://u:pw@/run/r.sock?db=1", {"path": "/run/r.sock", "db": 1, "username": "u", "password": "pw"}),
        ("redis+socket:///run/r.sock?virtual_host=4", {"path": "/run/r.sock", "db": 4}),
    ],
)  # fmt: skip
def test_database_user_and_password_stand_in_either_place(text: str, expected: dict[str, object]) -> None:
    assert RedisUrl.parse(text).connection_kwargs() == expected


@pytest.mark.parametrize(
    "text",
    [
        "redis://a+b:c+%2B%20d@h",
        "redis://h?username=a+b&password=c+%2B%20d",
        "redis://a+b:c+%2B%20d@h?username=a+b&password=c+%2B%20d",
    ],
)
def test_a_plus_is_a_plus_in_either_place(text: str) -> None:
    url = RedisUrl.parse(text)
    assert (url.username, url.password) == ("a+b", "c++ d")


#: A value that each option may have, and what redis-py gets for it.
GOOD: dict[str, tuple[str, object]] = {
    "db": ("3", 3),
    "username": ("someone", "someone"),
    "password": ("hush", "hush"),
    "protocol": ("2", 2),
    "socket_timeout": ("10", 10.0),
    "socket_connect_timeout": ("0.5", 0.5),
    "socket_keepalive": ("no", False),
    "socket_read_size": ("4096", 4096),
    "retry_on_timeout": ("True", True),
    "health_check_interval": ("30", 30),
    "max_connections": ("5", 5),
    "client_name": ("app-1", "app-1"),
    "sentinel_username": ("someone", "someone"),
    "sentinel_password": ("hush", "hush"),
    "sentinel_ssl": ("no", False),
    "ssl_cert_reqs": ("CERT_NONE", "none"),
    "ssl_ca_certs": ("/ca.pem", "/ca.pem"),
    "ssl_ca_path": ("/etc/ca", "/etc/ca"),
    "ssl_ca_data": ("-----BEGIN", "-----BEGIN"),
    "ssl_certfile": ("/c.pem", "/c.pem"),
    "ssl_keyfile": ("/k.pem", "/k.pem"),
    "ssl_password": ("hush", "hush"),
    "ssl_check_hostname": ("false", False),
    "ssl_min_version": ("TLSv1.3", ssl.TLSVersion.TLSv1_3),
    "ssl_ciphers": ("HIGH", "HIGH"),
    "ssl_include_verify_flags": ("VERIFY_X509_STRICT", [ssl.VerifyFlags.VERIFY_X509_STRICT]),
    "ssl_exclude_verify_flags": ("[VERIFY_X509_STRICT]", [ssl.VerifyFlags.VERIFY_X509_STRICT]),
}
#: A value that none of these may have. All others take any text.
BAD = {
    "db": "-1",
    "protocol": "4",
    "socket_timeout": "0",
    "socket_connect_timeout": "inf",
    "socket_keepalive": "perhaps",
    "socket_read_size": "0",
    "retry_on_timeout": "2",
    "health_check_interval": "0.5",
    "max_connections": "0",
    "client_name": "a b",
    "sentinel_ssl": "perhaps",
    "ssl_cert_reqs": "maybe",
    "ssl_check_hostname": "x",
    "ssl_min_version": "1",
    "ssl_include_verify_flags": "VERIFY_NOTHING",
    "ssl_exclude_verify_flags": "",
}
#: The most that each number may be, and more than that: a socket can't take it, memory can't hold it.
LARGEST = {
    "db": ("999999999", "1000000000"),
    "socket_timeout": ("86400", "1e10"),
    "socket_connect_timeout": ("86400", "86400.1"),
    "socket_read_size": ("16777216", "99999999999999999999"),
    "health_check_interval": ("86400", "1" + 400 * "0"),
    "max_connections": ("100000", "100001"),
}


def test_every_option_is_tried_here() -> None:
    assert GOOD.keys() == OPTIONS.keys()
    assert BAD.keys() < OPTIONS.keys()
    assert LARGEST.keys() < OPTIONS.keys()


def with_option(name: str) -> str:
    """Return a URL that may have an option."""
    return "rediss+sentinel://h/fleet" if name.startswith("sentinel_") else "rediss://h"


@pytest.mark.parametrize("name", GOOD)
def test_each_option_is_read(name: str) -> None:
    text, value = GOOD[name]
    url = RedisUrl.parse(f"{with_option(name)}?{name}={text}")
    read = url.max_connections if name == "max_connections" else url.connection_kwargs()[name]
    assert read == value
    assert "hush" not in url.masked + repr(url)


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_value_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        load_settings(redis_url=f"{with_option(name)}?{name}={BAD[name]}")
    assert name in told.value.message
    assert OPTIONS[name].allowed in told.value.message


@pytest.mark.parametrize("name", LARGEST)
def test_a_number_that_is_too_large_is_refused_with_the_most_that_is_allowed(name: str) -> None:
    most, more = LARGEST[name]
    RedisUrl.parse(f"redis://h?{name}={most}")
    with pytest.raises(ConfigurationError) as told:
        load_settings(redis_url=f"redis://h?{name}={more}")
    assert name in told.value.message
    assert most in told.value.message


def test_the_longest_time_is_one_that_a_socket_takes() -> None:
    with socket.socket() as tried:
        tried.settimeout(float(LARGEST["socket_timeout"][0]))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("redis://h/abc", "no database"),
        ("redis://h/1/2", "no database"),
        ("redis://h:abc/0", "port"),
        ("redis://h:0/0", "port"),
        ("redis://h:65536/0", "port"),
        ("redis://[::1/0", "port"),
        ("http://h", "Allowed are redis://"),
        ("h:6379", "no scheme"),
        ("", "no scheme"),
        ("sentinel://h:26379/primary", "redis+sentinel:// or rediss+sentinel://"),
        ("redis+sentinel://h/0", "the name of the primary is missing"),
        ("redis+sentinel://h", "the name of the primary is missing"),
        ("redis+sentinel://h,g:0/fleet", "port"),
        ("redis+sentinel://h/fleet/x", "no database"),
        ("redis+sentinel://h/fleet?sentinel_ssl=yes", "sentinel_ssl is for rediss+sentinel://"),
        ("redis://h?sentinel_password=pw", "sentinel_password is for redis+sentinel:// or rediss+sentinel://"),
        ("redis-cluster://h", "needs all its keys on one server"),
        ("redis://h/1?db=2", "db is given twice"),
        ("redis://a@h?username=b", "username is given twice"),
        ("redis://h?db=1&db=1", "db is given twice"),
        ("redis://h?password=", "password is empty"),
        ("redis://h?ssl_ca_certs=/ca.pem", "ssl_ca_certs is for rediss://"),
        ("unix:///r.sock?socket_keepalive=yes", "socket_keepalive is for redis://"),
        ("redis://h?decode_responses=yes", "those of redis:// are db, username"),
        ("redis://h?socket_timout=5", "did you mean socket_timeout?"),
        ("unix://h/r.sock", "three slashes"),
        ("unix:///", "three slashes"),
        ("rediss://h?ssl_keyfile=/k.pem", "needs ssl_certfile"),
        ("rediss://h?ssl_ca_certs=/nowhere.pem", "ssl_ca_certs can't be used: no such file"),
        ("rediss://h?ssl_certfile=/nowhere.pem", "ssl_certfile, ssl_keyfile or ssl_password can't be used"),
        ("rediss://h?ssl_ca_data=nonsense", "ssl_ca_data can't be used"),
        ("rediss://h?ssl_ciphers=nonsense", "ssl_ciphers can't be used"),
    ],
)  # fmt: skip
def test_what_can_not_be_used_is_refused_as_a_client_is_made(text: str, says: str) -> None:
    for make in (load_settings, RerankClient, AsyncRerankClient):
        with pytest.raises(ConfigurationError) as told:
            make(redis_url=text)
        assert told.value.message.startswith("RERANK_REDIS_URL: ")
        assert says in told.value.message


@pytest.mark.parametrize(
    "text",
    [
        "redis://:hush/y@h/0",
        "redis://:1/hush@h",
        "redis://:hu#sh@h",
        "redis://:hush[@h",
        "redis+sentinel://:hush@a,b:x/fleet",
        "redis+sentinel://:hu/sh@a,b/fleet",
        "redis://h?password=a&hush=b",
        "redis://:hush@h?password=other",
        "redis://h?password=hush&password=hush",
        "user:hush@h:6379",
    ],
)
def test_no_refusal_shows_a_password(text: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        load_settings(redis_url=text)
    assert "hu" not in told.value.message.replace("hung", "")


def test_certificates_that_can_not_be_read_are_told_by_their_option(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ConfigurationError, match="ssl_ca_certs can't be used"):
        load_settings(redis_url=f"rediss://h?ssl_ca_certs={tmp_path / 'empty.pem'}")


@pytest.mark.parametrize(
    "text",
    [
        "redis://u%40:p%2Fw@h:7/2",
        "rediss://:pw@[::1]/3?protocol=2",
        "redis://u@h",
        "redis://h",
        "rediss+sentinel://u:p%2Fw@a:7,b:8/fleet/2",
    ],
)
def test_kombu_reads_the_same_of_its_spelling(text: str) -> None:
    url = RedisUrl.parse(text)
    kombu = Connection(url.for_kombu())
    assert (kombu.hostname, kombu.port, kombu.virtual_host) == (url.host, url.port, str(url.db))
    assert (kombu.userid, kombu.password) == (url.username, url.password)
