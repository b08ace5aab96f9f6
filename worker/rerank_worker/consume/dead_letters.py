"""Dead letters: answers the caller of a job that was set aside. The job stays for `rerank-fleet dead`."""

from __future__ import annotations

from celery import Celery
from celery.app.task import Context

from rerank_shared.contract.messages import DeadLetter
from rerank_shared.errors import JobPoisoned, WireError
from rerank_shared.keys import Keys
from rerank_shared.queue.backend import Completion
from rerank_shared.queue.backlog import backlog_member
from rerank_shared.queue.dead_letters import job_of, reply_to
from rerank_worker import metrics
from rerank_worker.consume.job_span import tell_set_aside


def answer_dead_letter(app: Celery, keys: Keys, letter: DeadLetter) -> None:
    """Record the job as failed, answer its caller and remove it from the backlog. Raises Redis's errors."""
    tell_set_aside(keys, letter)
    error = JobPoisoned(
        f"job {letter.job_id} was set aside: {letter.deaths} workers that took it died or fell silent, {letter.owner} "
        f"last. `rerank-fleet dead show {letter.job_id}` tells what it is, `rerank-fleet dead retry` sends it again."
    )
    request = Context(id=letter.job_id, reply_to=reply_to(letter), completion=_completion(keys, letter))
    app.backend.mark_as_failure(letter.job_id, error, request=request)
    metrics.JOBS_POISONED.inc()


def _completion(keys: Keys, letter: DeadLetter) -> Completion:
    try:
        job = job_of(letter)
    except WireError:
        # A job that can't be decoded has no backlog entry that could be named.
        return Completion(keys, letter.job_id)
    # The job's text stays in Redis, for `rerank-fleet dead retry`.
    return Completion(keys.of(job.pool), letter.job_id, job.job_class, backlog_member(job))
