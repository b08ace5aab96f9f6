"""/metrics endpoint of a supervisor: serves the sums of its worker processes' counts, and other collectors.

Values are read at each scrape only. Health (health.py) has its paths on the same port.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rerank_shared.errors import ConfigurationError
from rerank_worker.supervisor.health import Health


class MetricsEndpoint:
    """An HTTP server on a thread of its own, listening from construction until `close()`.

    Raises ConfigurationError if it can't listen on the address.
    """

    def __init__(self, host: str, port: int, collectors: Sequence[Collector], health: Health) -> None:
        registry = CollectorRegistry()
        for collector in collectors:
            registry.register(collector)
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise ConfigurationError(
                f"/metrics can't listen on {host}:{port} ({error.strerror or error}): "
                "change RERANK_METRICS_PORT or RERANK_METRICS_HOST, or set the port to 0 to go without"
            ) from error
        self._server.set_app(health.beside(make_wsgi_app(registry)))

    def close(self) -> None:
        """Stop listening; returns when the thread has ended."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class HasProcesses(Protocol):
    """The part of a supervisor that SupervisorCollector needs."""

    restarts: int

    def pids(self) -> list[int]:
        """Return the ids of the running processes."""


class SupervisorCollector(Collector):
    """Collects a supervisor's own numbers: running processes and restarts."""

    def __init__(self, supervisor: HasProcesses) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        """Yield the supervisor's numbers."""
        running = len(self._supervisor.pids())
        yield GaugeMetricFamily("rerank_supervisor_processes", "Running worker processes.", running)
        restarts = self._supervisor.restarts
        yield CounterMetricFamily("rerank_supervisor_restarts", "Unrequested deaths of worker processes.", restarts)
