"""The queue in Redis: its scripts, its records, and its Celery transport and result backend."""
