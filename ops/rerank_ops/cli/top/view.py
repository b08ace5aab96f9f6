"""What `rerank-fleet top` shows, at one moment. Its JSON is what --json prints; a figure that nobody knows is null."""

from __future__ import annotations

from pydantic import BaseModel, Field

from rerank_ops.mixin.alert import Severity
from rerank_producer.gateway.watch.autoscale import AutoscaleView
from rerank_producer.gateway.watch.fleet_view import FleetView


class Holding(BaseModel):
    """An alert of the table whose condition holds at this moment; Prometheus fires it once that lasts."""

    alert: str
    severity: Severity
    says: str


class ServerView(BaseModel):
    """The Redis server. Null where it refuses INFO."""

    used_bytes: int
    limit_bytes: int | None = Field(description="Its maxmemory; null without one.")
    policy: str
    evicted_keys: int = Field(description="Since the server started.")


class TopView(BaseModel):
    """The fleet, what autoscalers read, the server, and the alerts whose condition holds."""

    fleet: FleetView
    autoscale: AutoscaleView
    redis: ServerView | None
    hit_rate: float | None = Field(description="Share of pairs found in the cache, since it was last cleared.")
    alerts: list[Holding]
