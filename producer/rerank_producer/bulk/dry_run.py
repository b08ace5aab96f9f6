"""A dry run: reads and checks every row, counts its tokens, and predicts the time. Nothing is scored or written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import islice

from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.bulk.asking.fleet import PatientFleet
from rerank_producer.bulk.asking.window import FleetSpeed
from rerank_producer.bulk.committed.chunking import BEGIN
from rerank_producer.bulk.spec import BulkSpec
from rerank_shared.contract.estimate import estimate_lengths
from rerank_shared.contract.schemas import RerankRequest
from rerank_shared.errors import QueueUnavailable, UnknownModel
from rerank_shared.scheduling.cost import Work
from rerank_shared.settings import Settings, load_settings

#: Failed rows whose reasons are kept.
_SHOWN = 10


@dataclass(slots=True)
class Forecast:
    """What a run would do. `reasons` are those of its first failed rows; `tokens` are estimated."""

    queries: int = 0
    failed_queries: int = 0
    reasons: list[str] = field(default_factory=list)
    pairs: int = 0
    work: Work = field(default_factory=Work)
    speed: FleetSpeed = field(default_factory=FleetSpeed)

    @property
    def tokens(self) -> int:
        """Estimated tokens of all pairs, none of them cached."""
        return round(self.work.tokens)

    @property
    def seconds(self) -> float | None:
        """Seconds on the fleet as it is now, or on one process while none is alive; None while its cost is unknown."""
        cost = self.speed.cost
        return None if cost is None else cost.predict_s(self.work) / max(1, self.speed.processes)


def dry_run(spec: BulkSpec, *, settings: Settings | None = None) -> Forecast:
    """Return what a run would do; the time is left out where the fleet is away.

    Raises InputRefused, ConfigurationError, OSError.
    """
    settings = settings or load_settings()
    forecast = Forecast()
    spec.format.survey()
    rows = (row for chunk in spec.format.read(BEGIN) for row in chunk.rows)
    for row in islice(rows, spec.limit_queries):
        forecast.queries += 1
        if row.request is None:
            forecast.failed_queries += 1
            if row.error is not None and len(forecast.reasons) < _SHOWN:
                forecast.reasons.append(f"row {row.number:,}: {row.error.message}")
        for request in row.requests:
            _count(forecast, request, settings)
    forecast.speed = asyncio.run(_speed(settings))
    return forecast


def _count(forecast: Forecast, request: RerankRequest, settings: Settings) -> None:
    lengths = estimate_lengths(request.query, request.contents(), request.max_length or settings.max_length)
    forecast.pairs += len(lengths)
    forecast.work += Work.of(lengths)


async def _speed(settings: Settings) -> FleetSpeed:
    async with AsyncRerankClient(settings) as client:
        try:
            return await PatientFleet(client).speed()
        except (QueueUnavailable, UnknownModel):
            return FleetSpeed()
