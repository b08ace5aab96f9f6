"""Wake-up: a sleep that threads, signals and descriptors can end early.

Signals write to it through `signal.set_wakeup_fd`, because a signal that the kernel delivers to another thread does not
interrupt the main thread.
"""

from __future__ import annotations

import selectors
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class Wakeup:
    """A pair of sockets, one to sleep on and one to wake it. A wake before the sleep ends that sleep at once."""

    def __init__(self) -> None:
        self._sleeper, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._sleeper.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._sleeper, selectors.EVENT_READ)

    def fileno(self) -> int:
        """Return the descriptor for `signal.set_wakeup_fd`."""
        return self._waker.fileno()

    def wake(self) -> None:
        """End the sleep. Any thread may call it; harmless after `close()`."""
        # A full buffer has ended the sleep already; a closed socket has no sleep to end.
        with suppress(OSError):
            self._waker.send(b"\0")

    def sleep(self, timeout_s: float | None) -> None:
        """Sleep until woken, or for `timeout_s`; None: without limit."""
        if self._selector.select(timeout_s):
            with suppress(BlockingIOError):
                while self._sleeper.recv(4096):
                    pass

    def watch(self, fd: int) -> None:
        """End `sleep` whenever `fd` is readable. The caller reads from it."""
        self._selector.register(fd, selectors.EVENT_READ)

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor. Call before it is closed."""
        self._selector.unregister(fd)

    def close(self) -> None:
        """Release the sockets."""
        self._selector.close()
        self._sleeper.close()
        self._waker.close()


@contextmanager
def caught_signals(handler: Callable[[int, FrameType | None], None], wakeup: Wakeup) -> Iterator[None]:
    """Send SIGTERM, SIGINT and SIGHUP to `handler` inside the block, and let them end a sleep.

    A signal that was ignored before (by nohup, or for a shell's background job) stays ignored. Main thread only.
    """
    before_fd = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    replaced = []
    try:
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if (before := signal.getsignal(signum)) is not signal.SIG_IGN:
                replaced.append((signum, before))
                signal.signal(signum, handler)
        yield
    finally:
        for signum, before in replaced:
            # None: the handler was not set by Python, so Python can't restore it.
            signal.signal(signum, signal.SIG_DFL if before is None else before)
        signal.set_wakeup_fd(before_fd)
