"""The fleet's Celery app under the name that `celery -A` took before `rerank_fleet`."""

from rerank_fleet.celery import app

__all__ = ["app"]
