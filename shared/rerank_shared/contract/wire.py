"""The only place that knows bytes: msgpack, each message `[version, kind, fields]`.

A field that is added at the end with a default needs no new version, since readers pass over what they do not know;
anything else does. Readers refuse a version that they do not know with UnsupportedVersion, so that an old worker never
misreads a new client, and a field of a wrong type with MalformedMessage, so that nothing behind them has to look again.
A message is written in the oldest version that can say it, so that releases that differ still meet where they can.
"""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import msgpack

from rerank_shared.contract.checked import as_cache_scope, as_finite, as_job_class, as_list, as_text, as_whole
from rerank_shared.contract.messages import (
    DeadLetter,
    Heartbeat,
    Job,
    Outcome,
    PairClaim,
    Score,
    ScoringIdentity,
    Stages,
    StoredRequest,
)
from rerank_shared.contract.token_ids import Content, TokenIds
from rerank_shared.errors import (
    BY_CODE,
    InternalError,
    JobRevoked,
    MalformedMessage,
    Overloaded,
    QueueUnavailable,
    RerankError,
    UnsupportedVersion,
)
from rerank_shared.scheduling.cost import CostParameters

VERSION = 1
#: Documents as token ids, msgpack's bin beside its str; in jobs and claim checks that hold one.
VERSION_TOKEN_IDS = 2
#: Jobs whose scores are their tenant's alone: who does not know that would share them.
VERSION_CACHE_SCOPE = 3
_READ = (VERSION, VERSION_TOKEN_IDS, VERSION_CACHE_SCOPE)
T = TypeVar("T")

#: logit as float32, tokens as uint16, flags (bit 0: truncated).
_SCORE = struct.Struct("<fHB")
_TOKENS_MAX = 0xFFFF
#: What a job's later fields are where it was written before there were any: tokenizer_digest, tenant, partial,
#: pairs, tokens_longest, due_at, cache_scope.
_JOB_LATER = (None, "", True, 0, 0, 0.0, "fleet")
_JOB_FIELDS_AT_FIRST = 10


def encode_job(job: Job) -> bytes:
    """Return a job as the bytes that lie on the queue."""
    documents = None if job.documents is None else _content_fields(job.documents)
    fields = [
        job.job_id, job.job_class, job.model, job.query, documents, job.max_length,
        job.enqueued_at, job.deadline_at, job.attempt, job.tokens, job.tokenizer_digest,
        job.tenant, job.partial, job.pairs, job.tokens_longest, job.due_at, job.cache_scope,
    ]  # fmt: skip
    shared = job.cache_scope == "fleet"
    return _pack("job", fields, _version_for(job.documents or ()) if shared else VERSION_CACHE_SCOPE)


def decode_job(data: bytes) -> Job:
    """Read a job; raises UnsupportedVersion or MalformedMessage."""

    def build(fields: list[Any]) -> Job:
        first, later = fields[:_JOB_FIELDS_AT_FIRST], fields[_JOB_FIELDS_AT_FIRST:]
        job_id, job_class, model, query, documents, max_length, enqueued_at, deadline_at, attempt, tokens = first
        later += _JOB_LATER[len(later) :]
        tokenizer_digest, tenant, partial, pairs, tokens_longest, due_at, cache_scope, *_ = later
        return Job(
            job_id=as_text(job_id),
            job_class=as_job_class(job_class),
            model=as_text(model),
            query=as_text(query),
            documents=None if documents is None else _contents(documents),
            max_length=None if max_length is None else as_whole(max_length),
            enqueued_at=as_finite(enqueued_at),
            deadline_at=as_finite(deadline_at),
            attempt=as_whole(attempt),
            tokens=as_whole(tokens),
            tokenizer_digest=None if tokenizer_digest is None else as_text(tokenizer_digest),
            tenant=as_text(tenant),
            partial=bool(partial),
            pairs=as_whole(pairs),
            tokens_longest=as_whole(tokens_longest),
            due_at=as_finite(due_at),
            cache_scope=as_cache_scope(cache_scope),
        )

    return _unpack("job", data, build)


def encode_texts(documents: Sequence[Content]) -> bytes:
    """Return documents as the bytes of a claim check."""
    return _pack("texts", _content_fields(documents), _version_for(documents))


def decode_texts(data: bytes) -> tuple[Content, ...]:
    """Read the documents of a claim check."""
    return _unpack("texts", data, _contents)


def encode_score(score: Score) -> bytes:
    """Return a score as its 7 bytes in the cache; the token count saturates at 65,535."""
    return _SCORE.pack(score.logit, min(score.tokens, _TOKENS_MAX), score.truncated)


def decode_score(data: bytes) -> Score | None:
    """Read a cached score; None for bytes that are none, which counts as a miss."""
    if len(data) != _SCORE.size:
        return None
    logit, tokens, flags = _SCORE.unpack(data)
    return Score(logit, tokens, bool(flags & 1)) if math.isfinite(logit) else None


def outcome_to_plain(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as the plain data that a Celery result holds; `AsyncResult(id).get()` returns it."""
    return {
        "version": VERSION,
        "job_id": outcome.job_id,
        "logits": [None if s is None else s.logit for s in outcome.scores],
        "tokens": [None if s is None else s.tokens for s in outcome.scores],
        "truncated": [index for index, s in enumerate(outcome.scores) if s is not None and s.truncated],
        "complete": outcome.complete,
        "identity": _artefact_fields(outcome.identity),
        "worker": outcome.worker,
        "stages_ms": [
            outcome.stages.queue_ms, outcome.stages.tokenize_ms, outcome.stages.batch_ms, outcome.stages.run_ms,
        ],
        "batch_pairs": list(outcome.batch_pairs),
    }  # fmt: skip


def outcome_from_plain(plain: Any) -> Outcome:
    """Read an outcome from a Celery result; raises UnsupportedVersion or MalformedMessage."""
    if not isinstance(plain, dict):
        raise MalformedMessage(f"an outcome must be a map, not {type(plain).__name__}")
    _check_version(plain.get("version"))
    try:
        truncated = set(plain["truncated"])
        scores = tuple(
            None if logit is None else Score(as_finite(logit), as_whole(tokens), index in truncated)
            for index, (logit, tokens) in enumerate(zip(plain["logits"], plain["tokens"], strict=True))
        )
        return Outcome(
            job_id=as_text(plain["job_id"]),
            scores=scores,
            identity=_artefact(plain["identity"]),
            worker=as_text(plain["worker"]),
            stages=Stages(*map(as_finite, as_list(plain["stages_ms"])[: len(dataclasses.fields(Stages))])),
            batch_pairs=tuple(map(as_whole, as_list(plain["batch_pairs"]))),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedMessage(f"an outcome lacks or garbles a field: {error!r}") from None


def decode_record(data: bytes) -> tuple[str, Outcome | RerankError]:
    """Read a job's record, as the result backend stored it or announced it: its id, and its outcome or its error.

    Raises MalformedMessage only for bytes that are no record at all, since no job can be told about those.
    """
    try:
        meta = msgpack.unpackb(data, strict_map_key=False)
        job_id, status, result = as_text(meta["task_id"]), meta["status"], meta["result"]
    except (ValueError, TypeError, KeyError, msgpack.exceptions.UnpackException) as error:
        raise MalformedMessage(f"not a job's record: {error!r}") from None
    try:
        return job_id, outcome_from_plain(result) if status == "SUCCESS" else _error(status, result)
    except RerankError as error:
        return job_id, error


def encode_identity(identity: ScoringIdentity) -> bytes:
    """Return a scoring identity as workers announce it."""
    return _pack("identity", _artefact_fields(identity))


def decode_identity(data: bytes) -> ScoringIdentity:
    """Read an announced identity."""
    return _unpack("identity", data, _artefact)


def encode_heartbeat(beat: Heartbeat) -> bytes:
    """Return a heartbeat as a worker writes it."""
    fields = [
        beat.worker_id, beat.model, beat.host, beat.pid, beat.core, beat.started_at, beat.tokens_per_s,
        beat.held_jobs, beat.held_tokens, beat.pairs_per_batch,
    ]  # fmt: skip
    return _pack("heartbeat", fields)


def decode_heartbeat(data: bytes) -> Heartbeat:
    """Read a heartbeat."""

    def build(fields: list[Any]) -> Heartbeat:
        worker_id, model, host, pid, core, started_at, tokens_per_s, held_jobs, held_tokens, *later = fields
        return Heartbeat(
            worker_id=as_text(worker_id),
            model=as_text(model),
            host=as_text(host),
            pid=as_whole(pid),
            core=None if core is None else as_whole(core),
            started_at=as_finite(started_at),
            tokens_per_s=as_finite(tokens_per_s),
            held_jobs=as_whole(held_jobs),
            held_tokens=as_whole(held_tokens),
            pairs_per_batch=as_finite(later[0]) if later else 0.0,
        )

    return _unpack("heartbeat", data, build)


def encode_cost(cost: CostParameters) -> bytes:
    """Return cost parameters as workers share them."""
    return _pack("cost", cost.cost_fields())


def decode_cost(data: bytes) -> CostParameters:
    """Read cost parameters."""
    return _unpack("cost", data, CostParameters.from_fields)


def encode_pair_claim(claim: PairClaim) -> bytes:
    """Return a claim as it lies beside a pair in flight."""
    return _pack("claim", [claim.job_id, claim.until])


def decode_pair_claim(data: bytes) -> PairClaim:
    """Read a claim."""

    def build(fields: list[Any]) -> PairClaim:
        job_id, until, *_ = fields
        return PairClaim(as_text(job_id), as_finite(until))

    return _unpack("claim", data, build)


def encode_stored_request(request: StoredRequest) -> bytes:
    """Return a submitted request as collect() will read it."""
    hits = [[index, s.logit, s.tokens, s.truncated] for index, s in request.hits.items()]
    identity = None if request.identity is None else _artefact_fields(request.identity)
    fields = [
        request.job_id, request.job_class, request.model, request.ids, hits, request.misses, request.top_n,
        request.submitted_at, request.deadline_at, identity, request.tenant, request.entry,
    ]  # fmt: skip
    return _pack("submitted", fields)


def decode_stored_request(data: bytes) -> StoredRequest:
    """Read a submitted request."""

    def build(fields: list[Any]) -> StoredRequest:
        job_id, job_class, model, ids, hits, misses, top_n, submitted_at, deadline_at, identity, *later = fields
        tenant, entry, *_ = (*later, "", "")
        return StoredRequest(
            job_id=as_text(job_id),
            job_class=as_job_class(job_class),
            model=as_text(model),
            ids=tuple(None if id_ is None else as_text(id_) for id_ in as_list(ids)),
            hits={
                as_whole(index): Score(as_finite(logit), as_whole(tokens), bool(truncated))
                for index, logit, tokens, truncated in as_list(hits)
            },
            misses=tuple(map(as_whole, as_list(misses))),
            top_n=None if top_n is None else as_whole(top_n),
            submitted_at=as_finite(submitted_at),
            deadline_at=as_finite(deadline_at),
            identity=None if identity is None else _artefact(identity),
            tenant=as_text(tenant),
            entry=as_text(entry),
        )

    return _unpack("submitted", data, build)


def decode_dead(data: bytes) -> DeadLetter:
    """Read the record of a job that was set aside, which `lua/sweep.lua` packs."""

    def build(fields: list[Any]) -> DeadLetter:
        job_id, queue, message, deaths, owner, died_at, *_ = fields
        return DeadLetter(
            job_id=as_text(job_id),
            queue=as_text(queue),
            message=as_text(message),
            deaths=as_whole(deaths),
            owner=as_text(owner),
            # Written as text, so that no digit is lost on the way through Lua.
            died_at=as_finite(float(died_at)),
        )

    return _unpack("dead", data, build)


def _pack(kind: str, fields: list[Any], version: int = VERSION) -> bytes:
    return cast(bytes, msgpack.packb([version, kind, fields]))


def _version_for(documents: Sequence[Content]) -> int:
    return VERSION_TOKEN_IDS if any(isinstance(document, TokenIds) for document in documents) else VERSION


def _unpack(kind: str, data: bytes, build: Callable[[list[Any]], T]) -> T:
    try:
        message = msgpack.unpackb(data, strict_map_key=False)
        version, found, fields = message
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise MalformedMessage(f"not a message of Rerank Fleet: {error}") from None
    _check_version(version)
    if found != kind:
        raise MalformedMessage(f"expected a message of kind {kind!r}, found {found!r}")
    try:
        return build(as_list(fields))
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedMessage(f"a message of kind {kind!r} lacks or garbles a field: {error}") from None


def _check_version(version: Any) -> None:
    if version not in _READ:
        raise UnsupportedVersion(
            f"wire version {version!r} is not known here (this installation reads {' and '.join(map(str, _READ))}): "
            "run the same release of rerank-fleet on producers and workers"
        )


def _error(status: str, result: Any) -> RerankError:
    name, message, parts = "", "", None
    if isinstance(result, dict):
        name = str(result.get("exc_type", ""))
        parts = result.get("exc_message", "")
        message = " ".join(map(str, parts)) if isinstance(parts, list) else str(parts)
    if status == "REVOKED":
        return JobRevoked("the job was cancelled before it was scored")
    if name == Overloaded.__name__ and isinstance(parts, list):
        return _overloaded(parts)
    if name == QueueUnavailable.__name__ and isinstance(parts, list):
        return QueueUnavailable(*map(str, parts[:2]))
    if known := next((cls for cls in BY_CODE.values() if cls.__name__ == name), None):
        return known(message)
    return InternalError(f"a worker failed with {name or status}: {message}")


def _overloaded(parts: list[Any]) -> RerankError:
    try:
        message, wait_ms, retry_after_s = parts
        return Overloaded(as_text(message), as_finite(wait_ms), as_finite(retry_after_s))
    except (TypeError, ValueError) as error:
        return MalformedMessage(f"a refusal lacks or garbles a part: {error}")


def _artefact_fields(identity: ScoringIdentity) -> list[Any]:
    return [
        identity.model, identity.model_digest, identity.tokenizer_digest, identity.precision, identity.template,
        identity.max_length, identity.truncation, identity.activation,
    ]  # fmt: skip


def _artefact(fields: Any) -> ScoringIdentity:
    model, model_digest, tokenizer_digest, precision, template, max_length, truncation, activation, *_ = as_list(fields)
    return ScoringIdentity(
        model=as_text(model),
        model_digest=as_text(model_digest),
        tokenizer_digest=as_text(tokenizer_digest),
        precision=as_text(precision),
        template=as_text(template),
        max_length=as_whole(max_length),
        truncation=as_text(truncation),
        activation=as_text(activation),
    )


def _content_fields(documents: Sequence[Content]) -> list[str | bytes]:
    return [document if isinstance(document, str) else document.packed for document in documents]


def _contents(values: Any) -> tuple[Content, ...]:
    return tuple(TokenIds(value) if isinstance(value, bytes) else as_text(value) for value in as_list(values))
