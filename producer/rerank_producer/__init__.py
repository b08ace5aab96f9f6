"""What callers import: a sync and an asyncio client for the fleet, and the errors they raise."""

from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.client import RerankClient
from rerank_producer.fusion import Candidate, fuse
from rerank_producer.handles import RerankHandle
from rerank_shared.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    JobLost,
    JobRevoked,
    QueueUnavailable,
    RerankError,
    ScoringFailed,
    UnknownModel,
)
from rerank_shared.schemas import Document, RerankResponse, Result
from rerank_shared.settings import Settings

__all__ = [
    "AsyncRerankClient",
    "Candidate",
    "ConfigurationError",
    "DeadlineExceeded",
    "Document",
    "InvalidRequest",
    "JobLost",
    "JobRevoked",
    "QueueUnavailable",
    "RerankClient",
    "RerankError",
    "RerankHandle",
    "RerankResponse",
    "Result",
    "ScoringFailed",
    "Settings",
    "UnknownModel",
    "fuse",
]
