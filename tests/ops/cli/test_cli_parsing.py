"""Arguments, files and settings as the command line reads them; no server and no process."""

from __future__ import annotations

import socket
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rerank_ops.cli.app import app
from rerank_ops.cli.rank.documents import from_bytes
from rerank_ops.cli.serve.server import Address, address_of
from rerank_ops.effective import effective_line, effective_settings
from rerank_shared.errors import ConfigurationError, InvalidRequest, ServerUnavailable
from rerank_shared.settings import Settings, load_settings


def test_the_version_is_printed() -> None:
    run = CliRunner().invoke(app, ["--version"])
    assert (run.exit_code, run.stdout) == (0, f"rerank-fleet {version('rerank-fleet')}\n")


def test_every_command_is_listed_and_helps() -> None:
    listed = CliRunner().invoke(app, ["--help"]).stdout
    for name in ("demo", "rerank", "up", "server", "worker", "doctor", "cache", "evaluate"):
        assert name in listed
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["query"],
        ["query", "text", "--documents", __file__],
        ["query", "text", "--class", "urgent"],
        ["query", "text", "--top-n", "0"],
        ["query", "text", "--fusion", "best"],
        ["query", "text", "--fusion", "rrf", "--fusion-weight", "-1"],
        ["query", "text", "--fusion", "rrf", "--first-stage-order", "up"],
        ["query", "--documents", "no/such/file"],
    ],
)
def test_wrong_usage_is_refused_before_anything_is_reached(arguments: list[str]) -> None:
    # An address that would fail otherwise; stdin is empty.
    run = CliRunner().invoke(app, ["rerank", *arguments, "--redis-url", "redis://127.0.0.1:1/0"])
    assert run.exit_code == 2
    assert run.stdout == ""


def test_documents_are_lines_or_objects() -> None:
    assert [d.text for d in from_bytes(b"one\r\n\n{two\n", "x.txt")] == ["one", "{two"]
    (found,) = from_bytes('\ufeff{"text": "a\u2028b", "id": "1", "metadata": {"n": 1}, "score": 2}'.encode(), "stdin")
    assert (found.text, found.id, found.metadata, found.score) == ("a\u2028b", "1", {"n": 1}, 2.0)
    assert [d.text for d in from_bytes(b'"a string"\n', "x.jsonl")] == ["a string"]
    # An object without text is text itself, unless the name promises documents.
    assert [d.text for d in from_bytes(b'{"body": 1}', "x.txt")] == ['{"body": 1}']


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b'{"text": "a"}\n\nplain', "f.txt", "f.txt, line 3 is not JSON"),
        (b'{"text": "a"}\n{"id": "b"}', "f.txt", "f.txt, line 2: document: either `text` or `token_ids` expected"),
        (b'{"body": "a"}', "f.jsonl", "f.jsonl, line 1: document: either `text` or `token_ids` expected"),
        (
            b'{"text": "a", "score": "high"}',
            "f.jsonl",
            "f.jsonl, line 1: score: a finite number expected; leave it out",
        ),
        (b'{"text": 1, "score": "high"}', "f.jsonl", "f.jsonl, line 1: text: Input should be a valid string"),
        (b"\xff", "f.txt", "f.txt is not UTF-8"),
    ],
)
def test_bad_documents_are_told_with_their_line(data: bytes, name: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message.replace(".", r"\.")):
        from_bytes(data, name)


def test_models_of_a_fleet_toml_have_it_for_their_origin(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text("[[models]]\nname = 'a'\n[[models]]\nname = 'b'\n")
    for settings, origin in (
        (load_settings(fleet_file=path), "fleet.toml"),
        (load_settings(fleet_file=path, model="a"), "argument"),
    ):
        shown = {setting.name: setting for setting in effective_settings(settings, {})}
        assert (shown["model"].value, shown["model"].origin) == ("a", origin)


def test_effective_settings_tell_their_origin_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"REDIS_URL": "redis://:sesame@host/0", "RERANK_PIN": "false"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(processes=3)
    shown = {setting.name: setting for setting in effective_settings(settings, environ)}
    url = shown["redis_url"]
    assert (url.variable, url.value, url.origin) == ("REDIS_URL", "redis://:***@host/0", "environment")
    assert (shown["pin"].value, shown["pin"].origin) == ("false", "environment")
    assert (shown["processes"].value, shown["processes"].origin) == ("3", "argument")
    assert (shown["model_digest"].value, shown["model_digest"].origin) == ("unset", "default")
    overridden = load_settings(redis_url="redis://other/0")
    assert effective_settings(overridden, environ)[0].origin == "argument"
    assert set(shown) == set(Settings.model_fields)
    assert "sesame" not in effective_line(settings)
    assert "redis_url=redis://:***@host/0 " in effective_line(settings)


def test_the_embedded_server_listens_where_settings_say() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert address_of(load_settings(redis_url=f"redis://localhost:{port}/2")) == Address(None, port)
    assert address_of(load_settings(redis_url="unix:///a%20b/redis.sock?db=1")) == Address(Path("/a b"), 0)


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis.example/0",
        "rediss://127.0.0.1/0",
        "redis://:sesame@127.0.0.1/0",
        "redis://127.0.0.1/0?password=sesame",
        "unix:///tmp/other.sock",
    ],
)
def test_the_embedded_server_refuses_other_addresses(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        address_of(load_settings(redis_url=url))
    assert "sesame" not in refusal.value.message


def test_the_embedded_server_refuses_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerUnavailable, match=f"RERANK_REDIS_URL=redis://127.0.0.1:{port + 1}/0"):
            address_of(load_settings(redis_url=f"redis://127.0.0.1:{port}/0"))
