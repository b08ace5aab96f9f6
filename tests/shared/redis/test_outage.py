"""What each failure of a real server is called, and that no document's text is in it."""

from __future__ import annotations

import ssl
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu.exceptions import OperationalError

from rerank_ops.local.redis_server import EmbeddedServer
from rerank_shared.errors import QueueUnavailable
from rerank_shared.redis.connections import connect, outages_told
from rerank_shared.redis.outage import Outage, OutageKind, outage_of
from rerank_shared.settings import Settings, load_settings

pytestmark = pytest.mark.integration
SECRET = "bread city market"
WRITE = "return redis.call('SET', KEYS[1], ARGV[1])"


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start() as running:
        yield running


@pytest.fixture
def admin(settings: Settings) -> Iterator[Any]:
    with connect(settings) as client:
        yield client


def failure(url: str, *command: object) -> Outage:
    """Return what a command, alone and in a pipeline, is told to fail of."""
    with connect(load_settings(redis_url=url)) as client:
        with pytest.raises((redis.RedisError, OSError)) as alone:
            client.execute_command(*command)
        with pytest.raises((redis.RedisError, OSError)) as together:
            client.pipeline(transaction=False).execute_command(*command).execute()
    found = outage_of(alone.value)
    assert outage_of(together.value) == found
    for error in (alone.value, together.value):
        with pytest.raises(QueueUnavailable) as told, outages_told(load_settings(redis_url=url), "writing"):
            raise OperationalError(str(error)) from error
        assert told.value.reason == found.kind
        assert SECRET not in "".join(traceback.format_exception(told.value))
        assert found.says in told.value.message
    return found


@pytest.mark.parametrize("command", [("SET", "k", SECRET), ("EVAL", WRITE, 1, "k", SECRET)], ids=["plain", "script"])
def test_full_server_names_its_memory_limit(server: EmbeddedServer, admin: Any, command: tuple[object, ...]) -> None:
    admin.config_set("maxmemory", 1)
    found = failure(server.url, *command)
    assert found.kind == "out_of_memory"
    assert "maxmemory" in found.says
    assert not found.lasts


@pytest.mark.parametrize("command", [("SET", "k", SECRET), ("EVAL", WRITE, 1, "k", SECRET)], ids=["plain", "script"])
def test_replica_is_told(server: EmbeddedServer, admin: Any, command: tuple[object, ...]) -> None:
    admin.replicaof("127.0.0.1", 1)
    assert failure(server.url, *command).kind == "read_only"


def test_wrong_and_missing_passwords_are_told(server: EmbeddedServer, admin: Any) -> None:
    admin.config_set("requirepass", "right")
    assert failure(server.url, "PING").kind == "credentials"
    wrong = failure(server.url + "?password=wrong", "SET", "k", SECRET)
    assert (wrong.kind, wrong.lasts) == ("credentials", True)


@pytest.mark.parametrize(
    ("rules", "command", "says"),
    [
        (("~*", "&*", "+@all", "-eval"), ("EVAL", WRITE, 1, "k", SECRET), "to run EVAL"),
        (("~*", "&*", "+@all", "-set"), ("EVAL", WRITE, 1, "k", SECRET), "permit this user"),
        (("~other:*", "&*", "+@all"), ("SET", "k", SECRET), "for a key"),
        (("~*", "resetchannels", "+@all"), ("PUBLISH", "c", SECRET), "for a channel"),
    ],
    ids=["command", "in-script", "key", "channel"],
)
def test_missing_permissions_are_told(
    server: EmbeddedServer, admin: Any, rules: tuple[str, ...], command: tuple[object, ...], says: str
) -> None:
    admin.execute_command("ACL", "SETUSER", "few", "on", ">pw", *rules)
    found = failure(f"{server.url}?username=few&password=pw", *command)
    assert (found.kind, found.lasts) == ("permission", True)
    assert says in found.says


def test_missing_database_is_told(server: EmbeddedServer, admin: Any) -> None:
    assert failure(f"{server.url}?db=99", "PING").kind == "database"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        # As Redis 6.2 tells an error inside a script.
        ("Error running script (call to f_ab): @user_script:1: @user_script: 1: -OOM command", "out_of_memory"),
        ("Error running script (call to f_ab): @user_script:1: -READONLY You can't write", "read_only"),
        ("@user_script: 60: -OOM command not allowed when used memory > 'maxmemory'.", "out_of_memory"),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL", "loading"),
        ("unknown command 'XYZ', with args beginning with: 'OOM WRONGPASS'", "refused"),
    ],
)  # fmt: skip
def test_replies_without_a_class_of_their_own(text: str, kind: OutageKind) -> None:
    assert outage_of(redis.ResponseError(text)).kind == kind


@pytest.mark.parametrize(
    "error",
    [
        ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol"),
        ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "TLS/SSL connection has been closed (EOF)"),
        ssl.SSLSyscallError(ssl.SSL_ERROR_SYSCALL, "Some I/O error occurred"),
    ],
)
def test_a_lost_tls_connection_is_no_wrong_setting(error: ssl.SSLError) -> None:
    found = outage_of(error)
    assert (found.kind, found.lasts) == ("unreachable", False)


def test_document_can_not_choose_the_words() -> None:
    text = "Command # 1 (SET k of pipeline caused error: OOM x) of pipeline caused error: something else"
    assert outage_of(redis.ResponseError(text)) == Outage("refused", "refuses a command")
