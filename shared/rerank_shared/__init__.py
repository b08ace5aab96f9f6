"""The contract between producers and workers: schemas, settings, keys, wire format, errors, cache, models.

Imports nothing else of Rerank Fleet, and neither onnxruntime nor a model.
"""

from rerank_shared.contract.schemas import Document, ModelInfo, RerankRequest, RerankResponse, Result, Timings, Usage
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
from rerank_shared.keys import JobClass
from rerank_shared.settings import Settings, load_settings
from rerank_shared.version import __version__

__all__ = [
    "ConfigurationError",
    "DeadlineExceeded",
    "DeadlineTooShort",
    "Document",
    "InternalError",
    "InvalidRequest",
    "JobClass",
    "JobLost",
    "JobPoisoned",
    "JobRevoked",
    "MalformedMessage",
    "ModelDamaged",
    "ModelInfo",
    "ModelRefused",
    "ModelUnavailable",
    "Overloaded",
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
    "__version__",
    "load_settings",
]
