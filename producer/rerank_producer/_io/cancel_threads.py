"""Cancel threads: the asyncio client cancels jobs through Celery, which blocks, in a few threads.

All event loops of a process share them. They are made on first use, and again on first use after `close()`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Concatenate, ParamSpec

from rerank_producer._io.cancel import Revoker
from rerank_shared.settings import Settings

P = ParamSpec("P")

#: Cancelling takes about 2 ms, most of it under the GIL: more threads would not cancel more.
_THREADS = 2


class Background:
    """A revoker with its own threads."""

    def __init__(self, settings: Settings) -> None:
        self._revoker = Revoker(settings)
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def submit(
        self, method: Callable[Concatenate[Revoker, P], None], *args: P.args, **kwargs: P.kwargs
    ) -> Future[None]:
        """Call a method of the revoker in one of the threads."""
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="rerank-revoke")
            return self._executor.submit(method, self._revoker, *args, **kwargs)

    def close(self) -> None:
        """Finish the submitted calls, end the threads and close the revoker. Blocks until that is done."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()
        self._revoker.close()
