"""The fleet's Celery app for `celery -A rerank_fleet`: inspect, control, events and Flower.

It reads the RERANK_ variables as every other part does. `rerank-fleet worker` starts workers, not Celery.
"""

from __future__ import annotations

import sys

from celery import Celery

from rerank_shared.errors import RerankError
from rerank_shared.queue.celery_app import make_celery
from rerank_shared.settings import load_settings


def _app() -> Celery:
    try:
        return make_celery(load_settings())
    except RerankError as error:
        # The command `celery` would hide any other exception behind an error of its own.
        sys.exit(f"rerank-fleet: {error.message}")


app = _app()
