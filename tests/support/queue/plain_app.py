"""A user's module: tasks of their own in an app of the fleet's, for a Celery worker of their own.

celery --app support.queue.plain_app worker
"""

from __future__ import annotations

import time
from typing import Any

from rerank_shared.queue.celery_app import make_celery
from rerank_shared.redis.connections import connect
from rerank_shared.settings import load_settings

settings = load_settings()
app = make_celery(settings)


@app.task
def add(x: int, y: int) -> int:
    """Return the sum."""
    return x + y


@app.task
def fail() -> None:
    """Raise."""
    raise ValueError("on purpose")


@app.task(bind=True)
def long(self: Any, seconds: float) -> None:
    """Count this run, then take so long."""
    with connect(settings) as client:
        client.incr(f"{settings.namespace}-runs-{self.request.id}")
    time.sleep(seconds)
