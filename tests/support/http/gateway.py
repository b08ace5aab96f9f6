"""A real gateway process for tests: the command as its users run it, on a port of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from rerank_dev.bench.served import Served, gateway_environ
from rerank_producer import RerankClient
from rerank_shared.settings import Settings
from support.commands import COMMAND
from support.fleet import TestFleet
from support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class FrontedFleet:
    """A gateway, an HTTP client on it, and the fleet behind it with the project's own client."""

    gateway: TestGateway
    http: httpx.Client
    fleet: TestFleet
    client: RerankClient


class TestGateway(Served):
    """`rerank-fleet gateway` on a fleet's settings; `variables` are its own, by the names of GatewaySettings."""

    __test__ = False

    def __init__(self, settings: Settings, log: Path, **variables: Any) -> None:
        super().__init__([COMMAND, "gateway"], gateway_environ(settings, **variables), log)
        wait_until(self._answers, "the gateway answers", bound_s=60)

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client on its address."""
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """Return an asyncio HTTP client on its address."""
        return httpx.AsyncClient(base_url=self.url, timeout=60, trust_env=False, **options)

    def log(self) -> str:
        """What it has logged so far."""
        return self.log_path.read_text()

    def wait_ready(self) -> Self:
        """Wait until it says that it can answer."""
        with self.client() as client:
            wait_until(lambda: client.get("/readyz").status_code == 200, "the gateway is ready")
        return self

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False
