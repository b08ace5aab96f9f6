"""Public names: a sync and an asyncio client for the fleet, what they take and return, and all their errors."""

from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.client import RerankClient
from rerank_producer.fusion import Candidate, Documents, fuse
from rerank_producer.handles import JobState, JobStatus, RerankHandle
from rerank_producer.request_options import RequestOptions
from rerank_shared.contract.schemas import Document, FusionInfo, ModelInfo, RerankResponse, Result, Timings, Usage
from rerank_shared.errors import (
    ConfigurationError,
    DeadlineExceeded,
    DeadlineTooShort,
    InternalError,
    InvalidRequest,
    JobLost,
    JobPoisoned,
    JobRevoked,
    MalformedMessage,
    ModelDamaged,
    ModelRefused,
    ModelUnavailable,
    Overloaded,
    QueueUnavailable,
    RefusedContent,
    RerankError,
    ScoringFailed,
    ServerUnavailable,
    UnknownModel,
    UnknownSetting,
    UnsupportedVersion,
    WireError,
)
from rerank_shared.keys import CacheScope, FirstStageOrder, FusionMethod, JobClass
from rerank_shared.settings import Settings
from rerank_shared.version import __version__

__all__ = [
    "AsyncRerankClient",
    "CacheScope",
    "Candidate",
    "ConfigurationError",
    "DeadlineExceeded",
    "DeadlineTooShort",
    "Document",
    "Documents",
    "FirstStageOrder",
    "FusionInfo",
    "FusionMethod",
    "InternalError",
    "InvalidRequest",
    "JobClass",
    "JobLost",
    "JobPoisoned",
    "JobRevoked",
    "JobState",
    "JobStatus",
    "MalformedMessage",
    "ModelDamaged",
    "ModelInfo",
    "ModelRefused",
    "ModelUnavailable",
    "Overloaded",
    "QueueUnavailable",
    "RefusedContent",
    "RequestOptions",
    "RerankClient",
    "RerankError",
    "RerankHandle",
    "RerankResponse",
    "Result",
    "ScoringFailed",
    "ServerUnavailable",
    "Settings",
    "Timings",
    "UnknownModel",
    "UnknownSetting",
    "UnsupportedVersion",
    "Usage",
    "WireError",
    "__version__",
    "fuse",
]
