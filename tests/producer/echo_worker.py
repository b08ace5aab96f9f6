"""A worker without a model: a real Celery process that answers with made-up scores, as the query tells it to.

The query is words; those that it knows change what it does: `gate:NAME` waits until `open_gate` was called for that
name, `fail` raises ScoringFailed, `fail-until:NAME` does until that gate is open, `crash` raises an exception of its
own, `half` scores only the first half, `nan` scores with no number, `short` answers one score too few, `silent` never
answers, `silent-once` answers from the second attempt on, `other` has another identity. Started as a program, it serves
the fleet of its environment.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from typing import Any

from celery.exceptions import Ignore
from celery.signals import worker_ready

from rerank_shared import fleet
from rerank_shared.contract import wire
from rerank_shared.contract.messages import Heartbeat, Job, Outcome, Score, ScoringIdentity, Stages
from rerank_shared.contract.token_ids import Content
from rerank_shared.errors import ScoringFailed
from rerank_shared.keys import JOB_CLASSES, Keys
from rerank_shared.queue.backend import Completion
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.queue.celery_app import TASK_NAME, make_celery
from rerank_shared.redis.connections import connect
from rerank_shared.settings import Settings, load_settings

GATE_S = 30


def identity_of(settings: Settings, digest: str = "e" * 64) -> ScoringIdentity:
    """Return what the echo worker says that it serves."""
    return ScoringIdentity(settings.model, digest, "a" * 64, "echo", "pair", 512, "longest_first", "sigmoid")


def logit(query: str, text: str) -> float:
    """Return the made-up score of a pair: any of 512 values, so that ties happen."""
    return (zlib.crc32(f"{query}|{text}".encode()) % 512 - 256) / 32


def score(query: str, text: str) -> Score:
    """Return the made-up score with its token count."""
    return Score(logit(query, text), 3 + len(query.split()) + len(text.split()), truncated="long" in text)


def open_gate(client: Any, settings: Settings, name: str) -> None:
    """Let a job go on that waits at a gate, whenever it gets there."""
    key = _gate(settings, name)
    client.rpush(key, 1)
    client.expire(key, 60)


def _gate(settings: Settings, name: str) -> str:
    return f"{Keys(settings.namespace).prefix}gate:{name}"


def announce(client: Any, settings: Settings, *, digest: str = "e" * 64) -> None:
    """Announce the echo worker's identity and a heartbeat, for as long as a test may take."""
    keys, now = Keys(settings.namespace), time.time()
    pipe = client.pipeline(transaction=False)
    fleet.announce(pipe, keys, identity_of(settings, digest), now)
    fleet.beat(pipe, keys, Heartbeat("echo", settings.model, "here", 1, None, now, 1000.0, 0, 0), now)
    pipe.zadd(keys.workers, {"echo": now + 3600})
    # Else a sweep of the worker's own ends it after some seconds: it is written once.
    pipe.zrem(keys.lifetimes, keys.worker("echo"))
    pipe.execute()


def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings()
    client, keys = connect(settings), Keys(settings.namespace)
    app = make_celery(settings)

    @app.task(bind=True, name=TASK_NAME, throws=(ScoringFailed,))  # type: ignore[untyped-decorator]
    def echo(self: Any, payload: bytes) -> dict[str, Any]:
        job = wire.decode_job(payload)
        client.rpush(keys.prefix + f"seen:{job.job_id}", payload)
        client.expire(keys.prefix + f"seen:{job.job_id}", 60)
        self.request.completion = Completion.of(keys, job)
        documents = job.documents
        if documents is None:
            text: Any = client.get(keys.text(job.job_id))
            documents = wire.decode_texts(text)
        return wire.outcome_to_plain(_outcome(settings, client, job, documents))

    worker_ready.connect(lambda **_: announce(client, settings), weak=False)
    options = ["--pool=threads", "--concurrency=8", "--without-gossip", "--without-mingle", "--loglevel=WARNING"]
    options.append("--queues=" + ",".join(map(keys.queue, JOB_CLASSES)))
    app.worker_main(["worker", *options])


def _outcome(settings: Settings, client: Any, job: Job, documents: Sequence[Content]) -> Outcome:
    words = job.query.split()
    for word in words:
        if word.startswith("gate:"):
            client.connection_pool.connection_kwargs["socket_timeout"] = GATE_S + 5
            client.blpop([f"{settings.namespace}:{word}"], timeout=GATE_S)
    if "silent" in words:
        raise Ignore
    if "silent-once" in words and job.attempt == 1:
        # As a worker leaves a job whose caller seemed to be gone.
        client.zrem(Keys(settings.namespace).backlog(job.job_class), backlog_member(job))
        raise Ignore
    closed = [
        word for word in words if word.startswith("fail-until:") and not client.exists(_gate(settings, word[11:]))
    ]
    if "fail" in words or closed:
        raise ScoringFailed("the model could not score it")
    if "crash" in words:
        raise ZeroDivisionError("on purpose")
    texts = [each if isinstance(each, str) else f"{len(each)} ids" for each in documents]
    scores: list[Score | None] = [score(job.query, text) for text in texts]
    if "half" in words:
        scores[len(scores) // 2 :] = [None] * (len(scores) - len(scores) // 2)
    if "nan" in words:
        scores[0] = Score(float("nan"), 1, False)
    identity = identity_of(settings, "o" * 64) if "other" in words else identity_of(settings)
    return Outcome(
        job_id=job.job_id,
        scores=tuple(scores[1:] if "short" in words else scores),
        identity=identity,
        worker="echo",
        stages=Stages(1.0, 2.0, 3.0, 4.0),
        batch_pairs=(len(documents),),
    )


if __name__ == "__main__":
    main()
