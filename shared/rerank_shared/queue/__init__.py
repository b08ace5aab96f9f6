"""The queue in Redis: its scripts, its books, and how Celery reaches it."""
