"""A plain Celery sender: a job put on the queue with `send_task`, awaited with AsyncResult, without the client.

The client does more: cache, shards, admission, sending again. This is for who has Celery and nothing else of ours.

python examples/celery_sender.py
"""

import time
import uuid

from celery.result import AsyncResult

from rerank_shared.contract.messages import Job
from rerank_shared.contract.wire import encode_job
from rerank_shared.keys import Keys
from rerank_shared.queue.celery_app import TASK_NAME, make_celery
from rerank_shared.settings import load_settings


def main() -> None:
    """Send one job and wait for its scores."""
    settings, now = load_settings(), time.time()
    job = Job(
        job_id=uuid.uuid4().hex,
        job_class="interactive",
        model=settings.model,
        query="How many people live in Berlin?",
        documents=("Bread is baked from flour and water.", "Berlin has 3,520,031 registered inhabitants."),
        max_length=None,
        enqueued_at=now,
        deadline_at=now + 60,
    )
    with make_celery(settings) as app:
        queue = Keys(settings.namespace).queue(job.job_class)
        app.send_task(TASK_NAME, (encode_job(job),), task_id=job.job_id, queue=queue)
        # Any process that knows the id may wait for it.
        outcome = AsyncResult(job.job_id, app=app).get(timeout=60)
    print("complete:", outcome["complete"])
    # In the order of the documents; a logit above 0 says that it is an answer.
    print("answers:", [logit > 0 for logit in outcome["logits"]])
    # Prints:
    # complete: True
    # answers: [False, True]


if __name__ == "__main__":
    main()
