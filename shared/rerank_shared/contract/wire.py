"""Wire format: the only place that knows bytes. A message is msgpack, `[version, kind, fields]`.

The fields are those of the message's dataclass in their order, each read as its annotation says. So a field added at
the end of a dataclass, with a default, needs no change here and no new version: readers ignore fields that they do not
know, and use the default for a field that an older release did not write. Any other change needs a new version.

Readers refuse an unknown version with UnsupportedVersion, so that an old worker never misreads a new client, and a
field of a wrong type with MalformedMessage, so that later code need not check again. A message is written in the oldest
version that can express it, so that different releases work together where they can.

The code is written by hand: msgspec has no type for a list of text and bytes, which documents are, and writes
dataclasses as maps.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast, get_type_hints

import msgpack

from rerank_shared.contract.checked import (
    as_cache_scope,
    as_contents,
    as_finite,
    as_first_stage_order,
    as_fusion_method,
    as_job_class,
    as_list,
    as_text,
    as_weight,
    as_whole,
    many,
    optional,
)
from rerank_shared.contract.messages import (
    DeadLetter,
    Deviations,
    Feedback,
    Fusion,
    Heartbeat,
    Job,
    Outcome,
    PairClaim,
    RouteRecord,
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
from rerank_shared.keys import CacheScope, FirstStageOrder, FusionMethod, JobClass
from rerank_shared.scheduling.cost import SharedCost

VERSION = 1
#: Documents as token ids, msgpack's bin beside its str; in jobs and claim checks that hold one.
VERSION_TOKEN_IDS = 2
#: Jobs whose scores are their tenant's alone: a release that does not know the scope would share them.
VERSION_CACHE_SCOPE = 3
#: Submitted requests whose first-stage scores count: a release that does not know fusion would order them without.
VERSION_FUSION = 4
_READ = (VERSION, VERSION_TOKEN_IDS, VERSION_CACHE_SCOPE, VERSION_FUSION)
T = TypeVar("T")
Check = Callable[[Any], Any]

#: logit as float32, tokens as uint16, flags (bit 0: truncated).
_SCORE = struct.Struct("<fHB")
_TOKENS_MAX = 0xFFFF


def encode_job(job: Job) -> bytes:
    """Return a job as the bytes that lie on the queue."""
    version = _version_for(job.documents or ()) if job.cache_scope == "fleet" else VERSION_CACHE_SCOPE
    return _pack("job", _fields(job), version)


def decode_job(data: bytes) -> Job:
    """Read a job; raises UnsupportedVersion or MalformedMessage."""
    return _unpack("job", data, lambda fields: _read(Job, fields))


def encode_texts(documents: Sequence[Content]) -> bytes:
    """Return documents as the bytes of a claim check."""
    return _pack("texts", documents, _version_for(documents))


def decode_texts(data: bytes) -> tuple[Content, ...]:
    """Read the documents of a claim check."""
    return _unpack("texts", data, as_contents)


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
        # Spelled as earlier releases spell it, here and where it is announced.
        "artefact": _fields(outcome.identity),
        "worker": outcome.worker,
        "stages_ms": _fields(outcome.stages),
        "batch_pairs": list(outcome.batch_pairs),
    }


def outcome_from_plain(plain: Any) -> Outcome:
    """Read an outcome from a Celery result; raises UnsupportedVersion or MalformedMessage."""
    if not isinstance(plain, dict):
        raise MalformedMessage(f"an outcome must be a map, not {type(plain).__name__}")
    _check_version(plain.get("version"))
    try:
        return Outcome(
            job_id=_checked("job_id", as_text, plain["job_id"]),
            scores=_checked("logits, tokens, truncated", _scores, plain),
            identity=_checked("artefact", _identity, plain["artefact"]),
            worker=_checked("worker", as_text, plain["worker"]),
            stages=_checked("stages_ms", _stages, plain["stages_ms"]),
            batch_pairs=_checked("batch_pairs", many(as_whole), plain["batch_pairs"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedMessage(f"an outcome lacks or garbles a field: {error}") from None


def encode_record(outcome: Outcome) -> bytes:
    """Return the record of a job that was answered, as the result backend stores it."""
    meta: dict[str, Any] = {"status": "SUCCESS", "result": outcome_to_plain(outcome), "traceback": None, "children": []}
    packed: bytes = msgpack.packb(meta | {"task_id": outcome.job_id})
    return packed


def decode_record(data: bytes) -> tuple[str, Outcome | RerankError]:
    """Read a job's record, as the result backend stored or announced it: the job's id, and its outcome or its error.

    Raises MalformedMessage only for bytes that are no record at all, since those name no job to give an error to.
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
    return _pack("artefact", _fields(identity))


def decode_identity(data: bytes) -> ScoringIdentity:
    """Read an announced identity."""
    return _unpack("artefact", data, _identity)


def encode_heartbeat(beat: Heartbeat) -> bytes:
    """Return a heartbeat as a worker writes it."""
    return _pack("heartbeat", _fields(beat))


def decode_heartbeat(data: bytes) -> Heartbeat:
    """Read a heartbeat."""
    return _unpack("heartbeat", data, lambda fields: _read(Heartbeat, fields))


def encode_cost(cost: SharedCost) -> bytes:
    """Return cost parameters as workers share them."""
    return _pack("cost", cost.cost_fields())


def decode_cost(data: bytes) -> SharedCost:
    """Read cost parameters."""
    return _unpack("cost", data, lambda fields: SharedCost.from_fields(as_list(fields)))


def decode_deviations(data: bytes) -> Deviations:
    """Read mean deviations, which `lua/learn_deviations.lua` writes as text. Raises MalformedMessage."""
    try:
        requests, logit, first_stage = data.split()
        found = Deviations(int(requests), as_finite(float(logit)), as_finite(float(first_stage)))
    except ValueError:
        raise MalformedMessage("deviations: three numbers expected") from None
    if min(found.requests, found.logit, found.first_stage) <= 0:
        raise MalformedMessage("deviations: numbers above 0 expected")
    return found


def encode_pair_claim(claim: PairClaim) -> bytes:
    """Return a pair claim as its bytes in Redis."""
    return _pack("claim", _fields(claim))


def decode_pair_claim(data: bytes) -> PairClaim:
    """Read a pair claim."""
    return _unpack("claim", data, lambda fields: _read(PairClaim, fields))


def encode_stored_request(request: StoredRequest) -> bytes:
    """Return a submitted request as the bytes that `collect()` reads."""
    hits = [[index, *_fields(score)] for index, score in request.hits.items()]
    return _pack("submitted", _fields(request, hits=hits), VERSION if request.fusion is None else VERSION_FUSION)


def decode_stored_request(data: bytes) -> StoredRequest:
    """Read a submitted request."""
    return _unpack("submitted", data, lambda fields: _read(StoredRequest, fields))


def decode_dead(data: bytes) -> DeadLetter:
    """Read a dead letter, which `lua/sweep.lua` packs."""
    # Lua writes the time as text, so that it loses no digit.
    return _unpack("dead", data, lambda fields: _read(DeadLetter, fields, died_at=lambda text: as_finite(float(text))))


def encode_route(record: RouteRecord) -> bytes:
    """Return a version of a route as it lies in Redis."""
    return _pack("route", _fields(record))


def decode_route(data: bytes) -> RouteRecord:
    """Read a version of a route."""
    return _unpack("route", data, lambda fields: _read(RouteRecord, fields))


def encode_feedback(feedback: Feedback) -> bytes:
    """Return a record of feedback as it lies in its stream."""
    return _pack("feedback", _fields(feedback))


def decode_feedback(data: bytes) -> Feedback:
    """Read a record of feedback."""
    return _unpack("feedback", data, lambda fields: _read(Feedback, fields))


def _pack(kind: str, fields: Sequence[Any], version: int = VERSION) -> bytes:
    return cast(bytes, msgpack.packb([version, kind, fields], default=_plain))


def _plain(value: Any) -> Any:
    """Return a value inside a message in the form that msgpack writes."""
    return value.packed if isinstance(value, TokenIds) else _fields(value)


def _version_for(documents: Sequence[Content]) -> int:
    return VERSION_TOKEN_IDS if any(isinstance(document, TokenIds) for document in documents) else VERSION


def _unpack(kind: str, data: bytes, build: Callable[[Any], T]) -> T:
    try:
        message = msgpack.unpackb(data, strict_map_key=False)
        version, found, fields = message
    except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
        raise MalformedMessage(f"not a message of Rerank Fleet: {error}") from None
    _check_version(version)
    if found != kind:
        raise MalformedMessage(f"expected a message of kind {kind!r}, found {found!r}")
    try:
        return build(fields)
    except (TypeError, ValueError) as error:
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


def _fields(message: Any, **instead: Any) -> list[Any]:
    """Return the fields of a message in the order of the wire; `instead` replaces the values of single fields."""
    return [instead[name] if name in instead else getattr(message, name) for name in _CHECKS[type(message)]]


def _read(cls: type[T], fields: Any, **instead: Check) -> T:
    """Return the message of these fields; `instead` replaces the checks of fields that are written in another form.

    Fields beyond the last one of the message are ignored, and a missing field gets its default.
    """
    known = zip((_CHECKS[cls] | instead).items(), as_list(fields), strict=False)
    return cls(**{name: _checked(name, check, value) for (name, check), value in known})


def _checked(name: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None


def _identity(fields: Any) -> ScoringIdentity:
    return _read(ScoringIdentity, fields)


def _stages(fields: Any) -> Stages:
    return _read(Stages, fields)


def _fusion(fields: Any) -> Fusion:
    return _read(Fusion, fields, weight=as_weight)


def _scores(plain: dict[str, Any]) -> tuple[Score | None, ...]:
    truncated = set(plain["truncated"])
    return tuple(
        None if logit is None else Score(as_finite(logit), as_whole(tokens), index in truncated)
        for index, (logit, tokens) in enumerate(zip(plain["logits"], plain["tokens"], strict=True))
    )


def _hits(rows: Any) -> dict[int, Score]:
    return {as_whole(index): _read(Score, score) for index, *score in as_list(rows)}


#: The check of a field, by its annotation.
_BY_TYPE: dict[Any, Check] = {
    str: as_text,
    int: as_whole,
    float: as_finite,
    bool: bool,
    JobClass: as_job_class,
    CacheScope: as_cache_scope,
    str | None: optional(as_text),
    int | None: optional(as_whole),
    float | None: optional(as_finite),
    FusionMethod: as_fusion_method,
    FirstStageOrder: as_first_stage_order,
    ScoringIdentity | None: optional(_identity),
    Fusion | None: optional(_fusion),
    tuple[Content, ...] | None: optional(as_contents),
    tuple[str, ...]: many(as_text),
    tuple[str | None, ...]: many(optional(as_text)),
    tuple[int, ...]: many(as_whole),
    tuple[float | None, ...]: many(optional(as_finite)),
    dict[int, Score]: _hits,
}
_OF_JOBS = (Job, Score, Stages, Fusion, StoredRequest, PairClaim, DeadLetter)
_OF_FLEETS = (ScoringIdentity, Heartbeat, RouteRecord, Feedback)
#: The checks of each message's fields, in the order of the wire.
_CHECKS: dict[type, dict[str, Check]] = {
    cls: {name: _BY_TYPE[hint] for name, hint in get_type_hints(cls).items()} for cls in (*_OF_JOBS, *_OF_FLEETS)
}
