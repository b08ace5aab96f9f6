"""The fleet's queue as a transport of Celery's: loses nothing when a process is killed, most urgent first, fair.

Importing this makes the URL schemes rerank://, reranks:// (TLS) and rerank+socket:// known to kombu; nothing else of
Celery's is changed, and the transport itself is loaded by whoever connects. See channel.py for what it does.

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
    """Return the broker's URL for Celery, by which it takes this transport. Its options go beside it."""
    scheme, _, rest = broker_url(settings).partition("://")
    return f"{_SCHEMES[scheme]}://{rest}"
