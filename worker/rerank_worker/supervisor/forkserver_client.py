"""The supervisor's side of the fork server: starts it, asks it to fork, and watches each forked worker as Popen would.

The fork server (forkserver_main.py) is their parent and reaps them; signals go by pidfd, which never meets another
process. A fork server may be killed at any time: its processes go on, their ends are seen by pidfd, and the next one is
forked from a new fork server. Nothing here blocks on one that is loading its model.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from rerank_shared.settings import Settings
from rerank_worker.supervisor.forkserver import EX_CANT_FORK, MESSAGE_BYTES
from rerank_worker.supervisor.wakeup import Wakeup

log = logging.getLogger(__name__)
FORKSERVER_COMMAND = (sys.executable, "-m", "rerank_worker.supervisor.forkserver_main")
#: Status of a process that had no parent left to say how it ended.
EX_UNKNOWN = 255
_CLOSE_S = 5.0


def can_fork(settings: Settings) -> bool:
    """Return whether this system can fork workers with these settings. The fork server may still find that it can't."""
    if (
        not settings.preload
        or sys.platform != "linux"
        or settings.threads > 1
        or settings.device not in ("auto", "cpu")
    ):
        return False
    if not (hasattr(os, "pidfd_open") and hasattr(os, "P_PIDFD") and hasattr(signal, "pidfd_send_signal")):
        # A Python that was built on an old system.
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        # Linux before 5.3, or a sandbox.
        return False
    return True


@dataclass(slots=True)
class _Generation:
    """One fork server process and its command socket. `served`: one of its workers has said its id."""

    process: subprocess.Popen[bytes]
    commands: socket.socket
    pidfd: int
    served: bool = False


class ForkServer:
    """Starts fork servers when one is needed, and has them fork workers. Used from one thread."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], inherited_fds: Sequence[int], wakeup: Wakeup
    ) -> None:
        """`environ` is what all workers share, and so are the descriptors that they inherit."""
        self._command = tuple(command)
        self._environ = environ
        self._inherited_fds = tuple(inherited_fds)
        self._wakeup = wakeup
        self._current: _Generation | None = None
        self._generations: list[_Generation] = []
        self._can_fork = True

    def fork(self, variables: Mapping[str, str]) -> ForkedWorker | None:
        """Have the running fork server, or a new one, fork a worker; None where the fork server found that it can't.

        Returns at once, with a process whose id is not known yet. Raises OSError when the system refuses.
        """
        self.tend()
        if not self._can_fork:
            return None
        generation = self._current = self._current or self._start()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                socket.send_fds(generation.commands, [json.dumps(dict(variables)).encode()], [theirs.fileno()])
            except OSError:
                ours.close()
                # It died just now. The wait before the next attempt is the supervisor's to choose.
                self._current = None
                raise
        return ForkedWorker(ours, generation, self._wakeup)

    def renew(self) -> None:
        """Have all later workers forked from a new fork server; the old one ends after the last of its own."""
        if self._current is not None:
            self._current.commands.close()
            self._current = None

    def tend(self) -> None:
        """Reap fork servers that have ended."""
        for generation in list(self._generations):
            if (code := generation.process.poll()) is not None:
                self._forget(generation)
                if code == EX_CANT_FORK:
                    self._can_fork = False
                    log.warning("workers share no memory: the fork server can't fork, see its message above")
                else:
                    level = logging.INFO if code in (0, -signal.SIGTERM) else logging.WARNING
                    log.log(level, "fork server ended pid=%d code=%d", generation.process.pid, code)

    def close(self) -> None:
        """End all fork servers; their workers, should there be any left, go on."""
        for generation in list(self._generations):
            generation.process.terminate()
            try:
                generation.process.wait(_CLOSE_S)
            except subprocess.TimeoutExpired:
                generation.process.kill()
                generation.process.wait()
            self._forget(generation)

    def _start(self) -> _Generation:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, ExitStack() as on_error:
            on_error.callback(ours.close)
            process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=dict(self._environ),
                pass_fds=(theirs.fileno(), *self._inherited_fds),
                process_group=0,
            )
            on_error.callback(process.wait)
            on_error.callback(process.kill)
            generation = _Generation(process, ours, os.pidfd_open(process.pid))
            on_error.pop_all()
        self._wakeup.watch(generation.pidfd)
        self._generations.append(generation)
        log.info("fork server started pid=%d", process.pid)
        return generation

    def _forget(self, generation: _Generation) -> None:
        self._generations.remove(generation)
        self._wakeup.unwatch(generation.pidfd)
        os.close(generation.pidfd)
        generation.commands.close()
        if self._current is generation:
            self._current = None


class ForkedWorker:
    """A worker process that a fork server was told to fork."""

    def __init__(self, answers: socket.socket, generation: _Generation, wakeup: Wakeup) -> None:
        #: None until the process has said it.
        self.pid: int | None = None
        self._answers = answers
        self._generation = generation
        self._wakeup = wakeup
        self._watched: int | None = None
        self._pidfd: int | None = None
        #: A signal that came before the process did.
        self._due: signal.Signals | None = None
        self._code: int | None = None
        answers.setblocking(False)
        self._watch(answers.fileno())

    def poll(self) -> int | None:
        """Take note of what was said since the last call; return the exit code once the process has ended."""
        while self._watched is not None and self._watched != self._pidfd:
            try:
                message, fds, _, _ = socket.recv_fds(self._answers, MESSAGE_BYTES, 1)
            except BlockingIOError:
                return None
            if fds:
                self._meet(int(message), fds[0])
            elif message:
                self._end(int(message.split()[1]))
            elif self._pidfd is None:
                # There never was a process: it ended as the fork server did, which is as good as dead.
                self._end(self._generation.process.wait())
            else:
                self._watch(self._pidfd)
        if self._code is None and self._pidfd is not None and _is_readable(self._pidfd):
            self._end(_status(self._pidfd))
        return self._code

    def send_signal(self, signum: signal.Signals) -> None:
        """Signal the process; one that does not live yet gets the signal as its first."""
        if self._pidfd is not None:
            # One that has been reaped needs no signal.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signum)
        elif self._code is None:
            self._due = signum
            if not self._generation.served:
                # It loads the model, for workers that are told to end: that need not be waited for.
                self._generation.process.send_signal(signum)

    def kill(self) -> None:
        """End the process without its consent."""
        self.send_signal(signal.SIGKILL)

    def _meet(self, pid: int, pidfd: int) -> None:
        self.pid, self._pidfd = pid, pidfd
        self._generation.served = True
        if self._due is not None:
            self.send_signal(self._due)

    def _end(self, code: int) -> None:
        self._code = code
        self._watch(None)
        self._answers.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def _watch(self, fd: int | None) -> None:
        """Let the supervisor wake when there is something to read from `fd`, and from it alone."""
        if self._watched is not None:
            self._wakeup.unwatch(self._watched)
        if fd is not None:
            self._wakeup.watch(fd)
        self._watched = fd


def _is_readable(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(0))


def _status(pidfd: int) -> int:
    """Return the exit code of an orphan that has ended, where this process inherited it, as process 1 does."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return EX_UNKNOWN
    if result is None:
        return EX_UNKNOWN
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
