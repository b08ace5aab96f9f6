"""Settings of clients: the bounds of a request, and how it is put on the queue."""

from __future__ import annotations

from pydantic import Field

from rerank_shared.keys import FusionMethod
from rerank_shared.settings.group import SettingsGroup


class ClientSettings(SettingsGroup):
    """Read by clients, in app servers and in the gateway: the bounds of a request, and how it is put on the queue."""

    max_documents: int = Field(
        10_000,
        ge=1,
        description="Documents one request may carry; more is refused. As large as your most patient caller needs.",
    )
    default_deadline_ms: int = Field(
        30_000,
        ge=1,
        description="Deadline of an interactive request that names none. Set it to the time that your user would wait.",
    )
    bulk_deadline_ms: int = Field(
        3_600_000,
        ge=1,
        description="The same for class bulk. As long as a backlog may take.",
    )
    inline_bytes: int = Field(
        16_384,
        ge=0,
        description="Text above this size travels beside the queue under its own key, because the broker carries a "
        "message's body across the wire three times.",
    )
    shard: bool = Field(
        True,
        description="Clients split a request over as many processes as are idle, where it is large enough to pay. Off: "
        "one job a request.",
    )
    single_flight: bool = Field(
        False,
        description="Clients leave a pair to the request that has it in flight already, anywhere in the fleet, and "
        "wait for that request's score. Worth it where equal requests come at once; each pair costs two more keys.",
    )
    failover_s: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="How long a request that finds the server away tries again, its deadline at most, before it fails "
        "with QueueUnavailable. Unset: 15 where the URL names Sentinels, else 0. Set it above the time that your "
        "server takes to fail over.",
    )
    fusion: FusionMethod = Field(
        "none",
        description="How first-stage scores count in the order of requests that carry some and ask for no method: "
        "none, weighted, zscore or rrf, as in docs/fusion.md. Measure it on your own queries: `rerank-fleet fusion "
        "tune`.",
    )
    fusion_weight: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="How much the first stage counts against the model, where the request does not say. 1: as much.",
    )
    shadow_deadline_ms: int = Field(
        10_000,
        ge=1,
        description="How long a route's shadow may take for a request, behind its caller; what comes later is dropped. "
        "docs/shadow.md.",
    )
    shadow_texts: bool = Field(
        False,
        description="Keep the beginnings of texts with the queries on which a shadow agrees least: of the query, and "
        "of the document that each model puts first. Off: a digest of the query. Whoever reads the server reads them.",
    )
    trace_content: bool = Field(
        False,
        description="Put queries, documents and their ids into traces (docs/tracing.md). Whoever reads the traces "
        "reads them.",
    )
