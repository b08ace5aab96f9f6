"""Files over real HTTP: what is stored is what was sent, for its owner alone, within bounds."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.batches.driving import BatchApi, jsonl, lines
from producer.conftest import Echo
from rerank_dev.bench.served import gateway_environ
from rerank_producer.gateway.app import create_app
from rerank_producer.gateway.settings import GatewaySettings
from rerank_shared.settings import load_settings
from support.commands import COMMAND
from support.http.clients import ApiKeys
from support.http.gateway import TestGateway
from support.queue.small_disk import started_on_small_disk
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("batches")]
MIB = 1024 * 1024
UNKNOWN = "file-" + "0" * 32


def left(root: Path) -> list[str]:
    """Return what is stored, without locks."""
    return sorted(each.name for each in (root / "files").rglob("*") if each.is_file() and each.name != ".turn")


def raw(gateway: TestGateway, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """Send bytes as they are; return the answer. Stops sending where the connection is closed."""
    address = urlsplit(gateway.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_s)
        except OSError:
            pass
        with connection.makefile("rb") as answer:
            return answer.read()


def head(keys: ApiKeys, *headers: str) -> bytes:
    lines = ["POST /v1/files HTTP/1.1", "host: localhost", f"authorization: Bearer {keys.plain}", "connection: close"]
    return "\r\n".join([*lines, "content-type: multipart/form-data; boundary=b", *headers, "", ""]).encode()


def test_what_is_stored_is_what_was_sent(api: BatchApi) -> None:
    content = jsonl(lines(50)) + b"\r\n--b\r\n\x00\xff no line break at the end"
    answer = api.upload(content, "requests.jsonl")
    assert answer.status_code == 200
    stored = answer.json()
    assert re.fullmatch(r"file-[0-9a-f]{32}", stored["id"])
    assert (stored["object"], stored["purpose"], stored["status"]) == ("file", "batch", "processed")
    assert (stored["filename"], stored["bytes"]) == ("requests.jsonl", len(content))
    assert stored["expires_at"] == stored["created_at"] + 30 * 86_400
    assert api.http.get(f"/v1/files/{stored['id']}").json() == stored
    assert api.content(stored["id"]) == content


def test_a_file_may_go_sooner(api: BatchApi) -> None:
    form = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    stored = api.upload(b"{}\n", **form).json()
    assert stored["expires_at"] == stored["created_at"] + 3_600
    wrong = api.upload(b"{}\n", **(form | {"expires_after[seconds]": "1"}))
    assert (wrong.status_code, wrong.json()["error"]["message"].split(":")[0]) == (400, "expires_after")


def test_files_are_listed_and_removed(api: BatchApi, batch_root: Path) -> None:
    made = [api.stored(b"{}\n") for _ in range(3)]
    listed = api.http.get("/v1/files", params={"purpose": "batch"}).json()
    assert {each["id"] for each in listed["data"]} == set(made)
    assert api.http.get("/v1/files", params={"purpose": "batch_output"}).json()["data"] == []
    assert len(api.http.get("/v1/files", params={"limit": 1, "after": listed["data"][0]["id"]}).json()["data"]) == 1
    for each in made:
        assert api.http.delete(f"/v1/files/{each}").json() == {"id": each, "object": "file", "deleted": True}
        assert api.http.delete(f"/v1/files/{each}").status_code == 404
    assert left(batch_root) == []


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "x"}, {"order": "up"}, {"purpose": "vision"}, {"after": "x"}]
)
def test_a_list_that_is_asked_for_wrongly_is_refused(api: BatchApi, query: dict[str, str]) -> None:
    answer = api.http.get("/v1/files", params=query)
    assert (answer.status_code, answer.json()["error"]["message"].split(":")[0]) == (400, next(iter(query)))


def test_a_file_belongs_to_its_key(api: BatchApi, stranger: httpx.Client) -> None:
    file_id = api.stored(b"{}\n")
    for path in (f"/v1/files/{file_id}", f"/v1/files/{file_id}/content"):
        assert stranger.get(path).status_code == 404
    assert stranger.delete(f"/v1/files/{file_id}").status_code == 404
    assert stranger.get("/v1/files").json()["data"] == []
    assert api.content(file_id) == b"{}\n"
    assert api.http.get("/v1/files", headers={"authorization": "Bearer nobody"}).status_code == 401


@pytest.mark.parametrize(
    "file_id",
    [
        UNKNOWN,
        "x",
        "..",
        "..%2f..%2fopen",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "file-" + "0" * 31 + "%2f",
        "file-" + "0" * 32 + "%0a",
        "%00",
        "file-" + "A" * 32,
        "f" * 4_000,
    ],
)
def test_an_id_from_a_url_leads_nowhere_else(api: BatchApi, file_id: str) -> None:
    assert api.http.get(f"/v1/files/{file_id}/content").status_code == 404
    assert api.http.delete(f"/v1/files/{file_id}").status_code in (404, 405)


@pytest.mark.parametrize("name", ["../../../etc/passwd", "..\\..\\passwd", "/etc/passwd"])
def test_a_file_s_name_is_shown_and_never_a_path(api: BatchApi, batch_root: Path, name: str) -> None:
    stored = api.upload(b"{}\n", name).json()
    assert stored["filename"] == "passwd"
    assert left(batch_root) == [f"{stored['id']}.data", f"{stored['id']}.json"]


FORMS: list[tuple[dict[str, Any], str]] = [
    ({"files": {"file": ("a", b"{}")}}, "purpose"),
    ({"files": {"file": ("a", b"{}")}, "data": {"purpose": "fine-tune"}}, "purpose"),
    ({"files": {"other": ("a", b"{}")}, "data": {"purpose": "batch"}}, "file"),
    ({"files": [("file", ("a", b"1")), ("file", ("b", b"2"))], "data": {"purpose": "batch"}}, "file"),
    ({"json": {"purpose": "batch"}}, "Content-Type"),
    ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, "Content-Type"),
    ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, "the body is no valid"),
    ({"content": b"", "headers": {"content-type": "multipart/form-data; boundary=b"}}, "the multipart form has no end"),
    (
        {
            "content": b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n{}',
            "headers": {"content-type": "multipart/form-data; boundary=b"},
        },
        "the multipart form has no end",
    ),
    ({"files": {"file": ("a", b"{}")}, "data": {"purpose": "b" * 70_000}}, "the form has more than 65,536 bytes"),
    ({"files": {"file": ("a", b"{}")}, "data": {f"f{n}": "x" for n in range(17)}}, "the form has more than 16 fields"),
]


@pytest.mark.parametrize(("request_options", "told"), FORMS, ids=[str(n) for n in range(len(FORMS))])
def test_a_form_that_is_none_is_refused_and_leaves_nothing(
    api: BatchApi, batch_root: Path, request_options: dict[str, Any], told: str
) -> None:
    answer = api.http.post("/v1/files", **request_options)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(told)
    assert left(batch_root) == []


def test_a_file_over_the_limit_is_refused_before_it_is_sent(
    batch_gateway: TestGateway, batch_keys: ApiKeys, batch_root: Path
) -> None:
    answer = raw(batch_gateway, head(batch_keys, f"content-length: {2 * MIB}"))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"1,048,576 bytes" in answer
    assert left(batch_root) == []


def test_a_file_that_hides_its_length_is_cut_off(api: BatchApi, batch_root: Path) -> None:
    def form() -> Iterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(40):
            yield b" " * 64 * 1024

    answer = api.http.post("/v1/files", content=form(), headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 413
    assert left(batch_root) == []


def test_a_key_stores_so_much(api: BatchApi) -> None:
    stored = [api.stored(b" " * (MIB - 1024)) for _ in range(3)]
    refused = api.upload(b" " * 100_000)
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, 413)
    assert "3,145,728 are the most; DELETE some" in refused.json()["error"]["message"]
    api.http.delete(f"/v1/files/{stored[0]}")
    assert api.upload(b" " * 100_000).status_code == 200


def test_a_compressed_body_is_refused(api: BatchApi) -> None:
    answer = api.http.post("/v1/files", content=b"x", headers={"content-encoding": "gzip"})
    assert answer.status_code == 415


def test_an_upload_that_stalls_is_ended(batch_gateway: TestGateway, batch_keys: ApiKeys, batch_root: Path) -> None:
    begin = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    assert raw(batch_gateway, head(batch_keys, "content-length: 1000"), begin).startswith(b"HTTP/1.1 408")
    assert left(batch_root) == []


def test_an_upload_that_trickles_is_ended(batch_gateway: TestGateway, batch_keys: ApiKeys, batch_root: Path) -> None:
    pieces = [b" " for _ in range(60)]
    begin = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    answer = raw(batch_gateway, head(batch_keys, "content-length: 100000"), begin, *pieces, pause_s=0.2)
    assert answer.startswith(b"HTTP/1.1 408") or answer == b""
    wait_until(lambda: left(batch_root) == [], "nothing of it is left")


def test_an_upload_whose_client_is_gone_leaves_nothing(
    batch_gateway: TestGateway, batch_keys: ApiKeys, batch_root: Path
) -> None:
    address = urlsplit(batch_gateway.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=30) as connection:
        begin = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
        connection.sendall(head(batch_keys, "content-length: 1000000") + begin + b" " * 300_000)
        wait_until(lambda: left(batch_root) != [], "some of it is there")
    wait_until(lambda: left(batch_root) == [], "nothing of it is left")


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/files"), ("POST", "/v1/files"), ("POST", "/v1/batches")])
async def test_where_it_is_off_it_says_how_to_turn_it_on(method: str, path: str) -> None:
    app = create_app(load_settings(), GatewaySettings())
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        answer = await http.request(method, path)
    assert answer.status_code == 404
    assert "RERANK_GATEWAY_BATCH_DIR" in answer.json()["error"]["message"]


def test_a_full_disk_is_told_and_passes(batch_echo: Echo, tmp_path: Path) -> None:
    environ = gateway_environ(batch_echo.settings, batch_dir=tmp_path / "disk" / "batches")
    log = tmp_path / "gateway.log"
    with log.open("wb") as out:
        process = started_on_small_disk([COMMAND, "gateway"], environ, tmp_path, log=out)
    try:
        found = wait_until(lambda: re.search(r"listening url=(http://\S+)", log.read_text()), "it listens")
        assert found is not None
        with httpx.Client(base_url=found[1], timeout=60, trust_env=False) as http:
            api = BatchApi(http)
            answer = api.upload(b" " * 900_000)
            assert answer.status_code == 507
            assert "disk" in answer.json()["error"]["message"]
            assert api.http.get("/v1/files").json()["data"] == []
            assert api.upload(b"{}\n").status_code == 200
    finally:
        process.terminate()
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
