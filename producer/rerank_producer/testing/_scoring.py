"""Scoring by in-memory workers: the checks of a real worker, and a callable in place of the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rerank_producer.testing._jobs import plain_content
from rerank_shared.contract import wire
from rerank_shared.contract.digest import pair_digests
from rerank_shared.contract.messages import Job, Outcome, Score, ScoringIdentity, Stages
from rerank_shared.contract.token_ids import Content, TokenIds, refuse_foreign, refuse_undeclared
from rerank_shared.errors import DeadlineExceeded, InvalidRequest, RerankError, ScoringFailed, UnknownModel
from rerank_shared.settings import Settings

#: Stands for a model: takes a query and a document's text, and returns their logit, higher for more relevant.
ScorePair = Callable[[str, str], float]
#: Tokenizer digest of every in-memory model: 64 hexadecimal digits, as a SHA-256 has.
TOKENIZER_DIGEST = hashlib.sha256(b"in-memory tokenizer").hexdigest()
_SPECIAL_TOKENS = 3
_MAX_LENGTH = 512
#: The largest logit, which has 32 bits.
_LARGEST = 3.4e38


def word_overlap(query: str, document: str) -> float:
    """Return a logit from -4 to 4: the share of the query's words that the document has, in any case and order."""
    wanted = set(query.lower().split())
    shared = wanted & set(document.lower().split())
    return 8.0 * len(shared) / max(1, len(wanted)) - 4.0


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the in-memory fleet serves under one name."""

    identity: ScoringIdentity
    score: ScorePair

    @classmethod
    def of(cls, name: str, score: ScorePair, settings: Settings, version: int) -> Model:
        """Return a model; each `version` of a name has weights of its own, and so shares no scores with another."""
        digest = hashlib.sha256(f"{name} {version}".encode()).hexdigest()
        activation = settings.activation or "sigmoid"
        identity = ScoringIdentity(
            name, digest, TOKENIZER_DIGEST, "in-memory", "pair", _MAX_LENGTH, "longest_first", activation
        )
        return cls(identity, score)


@dataclass(frozen=True, slots=True)
class Answer:
    """A job's outcome, and the scores that go into the cache, by the digest of their pair."""

    outcome: Outcome
    cached: dict[bytes, Score]


def answer(
    job: Job, documents: Sequence[Content], model: Model | None, in_time: int, worker: str, stages: Stages
) -> Answer:
    """Return the answer to a job of which the first `in_time` documents were reached before its deadline.

    Raises UnknownModel, InvalidRequest, ScoringFailed, DeadlineExceeded if no document was reached; or any RerankError
    that the callable raises.
    """
    max_length = _checked(job, documents, model)
    assert model is not None
    if documents and in_time == 0:
        raise DeadlineExceeded(f"no document of job {job.job_id} was scored before its deadline")
    reached = documents[:in_time]
    scores = [_score(model, job, index, document, max_length) for index, document in enumerate(reached)]
    digests = pair_digests(model.identity, max_length, job.query, reached, cache_tenant=job.cache_tenant)
    outcome = Outcome(
        job_id=job.job_id,
        scores=(*scores, *[None] * (len(documents) - len(scores))),
        identity=model.identity,
        worker=worker,
        stages=stages,
        batch_pairs=(len(scores),),
    )
    return Answer(outcome, dict(zip(digests, scores, strict=True)))


def _checked(job: Job, documents: Sequence[Content], model: Model | None) -> int:
    """Check a job, and return the tokens that its pairs are cut to."""
    if model is None:
        raise UnknownModel(f"model: {job.model!r} is not served by this in-memory fleet")
    limit = model.identity.max_length
    if job.tokenizer_digest is None:
        refuse_undeclared(documents)
    else:
        refuse_foreign(job.tokenizer_digest, model.identity.tokenizer_digest, job.model)
    if job.max_length is not None and job.max_length > limit:
        raise InvalidRequest(f"max_length: {job.max_length} is beyond the {limit} tokens of {job.model!r}")
    return job.max_length or limit


def _score(model: Model, job: Job, index: int, document: Content, max_length: int) -> Score:
    plain = plain_content(document)
    text = plain if isinstance(plain, str) else " ".join(map(str, plain))
    try:
        logit = float(model.score(job.query, text))
    except RerankError:
        raise
    except Exception as error:
        raise ScoringFailed(f"the model failed on document {index} of the job's documents: {error!r}") from error
    if not abs(logit) <= _LARGEST:
        raise ScoringFailed(f"the model gave {logit} for document {index} of the job's documents")
    count = len(document) if isinstance(document, TokenIds) else len(text.split())
    tokens = _SPECIAL_TOKENS + len(job.query.split()) + count
    # Rounded to 32 bits as in the cache, so that a cached score equals the first one.
    score = Score(logit, min(tokens, max_length), truncated=tokens > max_length)
    return wire.decode_score(wire.encode_score(score)) or score
