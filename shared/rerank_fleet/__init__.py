"""The fleet's Celery app under the name of the project: `celery -A rerank_fleet` finds it in celery.py."""
