"""Subscriptions: lets a consumer that is at work consume further queues, or some no longer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

#: A consumer that is reconnecting forgets what it was asked, so it is asked again this often.
_ASK_AGAIN_S = 1.0


def change_queues(
    consumer: Any, goes_on: Callable[[], bool], *, begin: Collection[str] = (), end: Collection[str] = ()
) -> None:
    """Let Celery's consumer consume the queues of `begin`, and those of `end` no longer.

    Blocks until it does, or until `goes_on` denies. Not for the consumer's own thread, which makes the change.
    """
    done = threading.Event()

    def change() -> None:
        if consumer.task_consumer is None or done.is_set():
            return
        for queue in begin:
            consumer.add_task_queue(queue, routing_key=queue)
        for queue in end:
            consumer.cancel_task_queue(queue)
        done.set()

    while goes_on():
        consumer.call_soon(change)
        if done.wait(_ASK_AGAIN_S):
            return
