"""The contract between producers and workers: schemas, settings, keys, wire format, errors, cache, models.

Imports nothing else of Rerank Fleet, and neither onnxruntime nor a model.
"""

from rerank_shared.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    JobLost,
    JobRevoked,
    MalformedMessage,
    ModelDamaged,
    ModelUnavailable,
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
from rerank_shared.schemas import Document, ModelInfo, RerankRequest, RerankResponse, Result, Timings, Usage
from rerank_shared.settings import Settings, load_settings

__all__ = [
    "ConfigurationError",
    "DeadlineExceeded",
    "Document",
    "InternalError",
    "InvalidRequest",
    "JobLost",
    "JobRevoked",
    "MalformedMessage",
    "ModelDamaged",
    "ModelInfo",
    "ModelUnavailable",
    "QueueUnavailable",
    "RefusedContent",
    "RerankError",
    "RerankRequest",
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
    "load_settings",
]
