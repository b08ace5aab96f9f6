"""A real gateway process for tests: the command as its users run it, on a port of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from rerank_producer import RerankClient
from rerank_shared.settings import GATEWAY_PREFIX, Settings, to_environ
from support.commands import COMMAND
from support.fleet import TestFleet
from support.waiting import wait_until

_LISTENING = re.compile(r"gateway listening url=(http://\S+)")


@dataclass(frozen=True, slots=True)
class FrontedFleet:
    """A gateway, an HTTP client on it, and the fleet behind it with the project's own client."""

    gateway: TestGateway
    http: httpx.Client
    fleet: TestFleet
    client: RerankClient


class TestGateway:
    """`rerank-fleet gateway` on a fleet's settings; `variables` are its own, by the names of GatewaySettings."""

    __test__ = False

    def __init__(self, settings: Settings, log: Path, **variables: Any) -> None:
        self._log = log
        environ = {name: value for name, value in os.environ.items() if not name.startswith("RERANK_")}
        environ |= to_environ(settings) | {"RERANK_GATEWAY_PORT": "0"}
        environ |= {GATEWAY_PREFIX + name.upper(): str(value) for name, value in variables.items()}
        with log.open("wb") as out:
            self.process = subprocess.Popen([COMMAND, "gateway"], env=environ, stdout=out, stderr=subprocess.STDOUT)
        self.url = wait_until(self._listening, f"the gateway listens; see {log}", bound_s=60) or ""
        wait_until(self._answers, "the gateway answers", bound_s=60)

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client on its address."""
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """Return an asyncio HTTP client on its address."""
        return httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False, **options)

    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    def wait_ready(self) -> Self:
        """Wait until it says that it can answer."""
        with self.client() as client:
            wait_until(lambda: client.get("/readyz").status_code == 200, "the gateway is ready")
        return self

    def stop(self) -> int:
        """End it as an operator does; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def _listening(self) -> str | None:
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended with {self.process.returncode}: {self.log()}")
        found = _LISTENING.search(self.log())
        return found[1] if found else None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False
