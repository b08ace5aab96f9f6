"""The fleet's queue as a Celery transport: loses no job when a process is killed; most urgent first, fair to tenants.

Importing this registers the URL schemes rerank://, reranks:// (TLS) and rerank+socket:// with kombu. Nothing else of
Celery changes, and the transport itself is loaded by the first connection. channel.py describes its behaviour.

celery-redis-plus (MIT) closes the same hole in kombu's Redis transport, but knows priority and age only, no tenants and
no deadlines, and needs Python 3.13 and Redis 7.
"""

from __future__ import annotations

from kombu.transport import TRANSPORT_ALIASES

from rerank_shared.redis.connections import broker_url
from rerank_shared.settings import Settings

_TRANSPORT = "rerank_shared.queue.transport.channel:FleetTransport"
_SCHEMES = {"redis": "rerank", "rediss": "reranks", "redis+socket": "rerank+socket"}

TRANSPORT_ALIASES |= {"rerank": _TRANSPORT, "reranks": _TRANSPORT}


def fleet_broker_url(settings: Settings) -> str:
    """Return the broker's URL for Celery, whose scheme selects this transport. Options are passed beside it."""
    scheme, _, rest = broker_url(settings).partition("://")
    return f"{_SCHEMES[scheme]}://{rest}"
