"""What is kept of a file and of a batch, as the JSON beside them. Times are epoch seconds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rerank_producer.gateway.auth.keyring import ApiKey
from rerank_shared.keys import CacheScope, FusionMethod

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
Ending = Literal["completed", "expired", "cancelled", "failed"]
Endpoint = Literal["/v1/rerank", "/v2/rerank", "/v1/score"]
#: A batch in one of these changes no more.
ENDED = ("failed", "completed", "expired", "cancelled")


class _Record(BaseModel):
    # Ignored: fields of a newer release.
    model_config = ConfigDict(frozen=True, extra="ignore")


class FileRecord(_Record):
    """A stored file."""

    id: str
    filename: str
    purpose: Literal["batch", "batch_output"]
    bytes: int
    created_at: int
    expires_at: int


class Terms(_Record):
    """What the key allows and sets for a batch, as it stood when the batch was made: its answers depend on it."""

    tenant: str = ""
    cache_scope: CacheScope = "fleet"
    fusion: FusionMethod | None = None
    fusion_weight: float | None = None
    max_documents: int | None = None
    line_bytes: int

    @classmethod
    def of(cls, key: ApiKey | None, most_body_bytes: int) -> Terms:
        """Return the terms of a key, None where no keys are set; no body may be larger than `most_body_bytes`."""
        if key is None:
            return cls(line_bytes=most_body_bytes)
        return cls(
            tenant=key.tenant,
            cache_scope=key.cache_scope,
            fusion=key.fusion,
            fusion_weight=key.fusion_weight,
            max_documents=key.max_documents,
            line_bytes=min(most_body_bytes, key.max_body_bytes or most_body_bytes),
        )


class Mistake(_Record):
    """Why a batch failed; `line` counts from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class BatchRecord(_Record):
    """A batch. The process that holds its lock writes it, and no other.

    - `keep_s`: how long its results are kept.
    - `model`: the one that scores; `max_length` is its limit.
    - `ending`: what it is about to become, once its results are published. Of its work files the first `output_bytes`
      and `error_bytes` count then. They answer the first `done_rows` lines of the input, `done_bytes` of it.
    """

    id: str
    owner: str
    endpoint: Endpoint
    input_file_id: str
    completion_window: str
    created_at: int
    expires_at: int
    keep_s: int
    metadata: dict[str, str] | None = None
    terms: Terms
    status: Status = "validating"
    model: str | None = None
    max_length: int | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    errors: tuple[Mistake, ...] = ()
    ending: Ending | None = None
    output_bytes: int = 0
    error_bytes: int = 0
    done_bytes: int = 0
    done_rows: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it changes no more."""
        return self.status in ENDED


class ExpiresAfter(BaseModel):
    """When a file goes: so many seconds after it was made."""

    model_config = ConfigDict(extra="forbid")

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3_600, le=315_360_000)
