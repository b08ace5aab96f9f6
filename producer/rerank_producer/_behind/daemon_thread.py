"""A thread behind the callers of one client in one process. It ends with the client, or with the process.

A client may be dropped without `close()`: a thread that has had nothing to do for a while ends, too, and is started
again for the next work.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

#: A thread without work for so many seconds ends.
IDLE_S = 10.0


@dataclass(slots=True)
class DaemonThread:
    """Calls `run` on a thread of that name. `close` is called when the process ends, and has to end `run`."""

    name: str
    run: Callable[[], None]
    close: Callable[[], None]
    _pid: int = field(default_factory=os.getpid, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    @property
    def lost(self) -> bool:
        """Whether this process is a child that was forked, and so has no such thread."""
        return os.getpid() != self._pid

    def start(self) -> RuntimeError | None:
        """Start the thread unless it runs. Return why that is not possible, None where it is.

        A process may have too many threads, or be ending. The caller holds the lock of its own state.
        """
        if self._thread is not None:
            return None
        thread = threading.Thread(target=self.run, name=self.name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            return error
        self._thread = thread
        atexit.register(self.close)
        return None

    def end(self) -> None:
        """Forget the thread that calls this, which then returns from `run`; the caller holds the lock of its state."""
        self._thread = None
        atexit.unregister(self.close)

    def join(self, patience_s: float) -> None:
        """Wait until the thread has ended, for so many seconds at most."""
        if self._thread is not None:
            self._thread.join(patience_s)
            atexit.unregister(self.close)
