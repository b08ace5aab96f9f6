"""A real server that speaks TLS on one port and plain Redis on another, with an authority of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from rerank_dev.ports import free_port
from support.waiting import wait_until

KEY_PASSWORD = "of the key"


@dataclass(frozen=True, slots=True)
class TlsServer:
    """Its ports, and the files that a client needs."""

    port: int
    plain_port: int
    #: Certificate of the authority that signed the server's.
    authority: Path
    #: Client certificate, its key, and the key under KEY_PASSWORD.
    certificate: Path
    key: Path
    locked_key: Path

    def url(self, *options: str) -> str:
        """Return the URL for a client that trusts the authority."""
        return f"rediss://localhost:{self.port}?" + "&".join([f"ssl_ca_certs={self.authority}", *options])


@contextmanager
def tls_server(binary: Path, directory: Path, *, ask_clients: bool = False) -> Iterator[TlsServer | None]:
    """Run a server; with `ask_clients` it takes only clients with a certificate. None where `binary` knows no TLS."""
    authority = trustme.CA()
    issued, client = authority.issue_cert("localhost"), authority.issue_cert("client@fleet.example")
    server = TlsServer(
        free_port(), free_port(), *(directory / name for name in ("ca.pem", "client.pem", "client.key", "locked.key"))
    )
    authority.cert_pem.write_to_path(server.authority)
    client.cert_chain_pems[0].write_to_path(server.certificate)
    client.private_key_pem.write_to_path(server.key)
    server.locked_key.write_bytes(_locked(client.private_key_pem.bytes()))
    issued.cert_chain_pems[0].write_to_path(directory / "server.pem")
    issued.private_key_pem.write_to_path(directory / "server.key")
    command = {
        "--bind": "127.0.0.1",
        "--port": str(server.plain_port),
        "--tls-port": str(server.port),
        "--tls-cert-file": str(directory / "server.pem"),
        "--tls-key-file": str(directory / "server.key"),
        "--tls-ca-cert-file": str(server.authority),
        "--tls-auth-clients": "yes" if ask_clients else "optional",
        "--save": "",
        "--dir": str(directory),
    }
    with (directory / "server.log").open("wb") as log:
        arguments = [part for pair in command.items() for part in pair]
        process = subprocess.Popen([str(binary), *arguments], stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: process.poll() is not None or _answers(server.plain_port), "the server answers")
        yield server if process.poll() is None else None
    finally:
        process.terminate()
        process.wait(10)


def _locked(key: bytes) -> bytes:
    lock = BestAvailableEncryption(KEY_PASSWORD.encode())
    return load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, lock)


def _answers(port: int) -> bool:
    with redis.Redis(port=port) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
