"""Fork server client: starts the fork server for the supervisor, requests forks, and watches forked workers like Popen.

The fork server (forkserver_main.py) is the workers' parent and reaps them. Signals go by pidfd, which never reaches
another process. A fork server may be killed at any time: its workers go on, their ends are seen by pidfd, and the next
worker is forked by a new fork server. No call blocks while a fork server loads its model.
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
#: Exit status of a process whose parent was gone, so that its real status is unknown.
EX_UNKNOWN = 255
_CLOSE_S = 5.0


def can_fork(settings: Settings) -> bool:
    """Return whether this system can fork workers with these settings. The fork server may still fail to fork."""
    if (
        not settings.preload
        or sys.platform != "linux"
        or settings.threads > 1
        or settings.device not in ("auto", "cpu")
    ):
        return False
    if not (hasattr(os, "pidfd_open") and hasattr(os, "P_PIDFD") and hasattr(signal, "pidfd_send_signal")):
        # This Python was built on an old system.
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        # Linux is older than 5.3, or a sandbox forbids pidfds.
        return False
    return True


@dataclass(slots=True)
class _Generation:
    """One fork server process and its command socket. `served`: one of its workers has sent its id."""

    process: subprocess.Popen[bytes]
    commands: socket.socket
    pidfd: int
    served: bool = False


class ForkServer:
    """Starts a fork server when one is needed, and has it fork workers. Used from one thread."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], inherited_fds: Sequence[int], wakeup: Wakeup
    ) -> None:
        """`environ` and `inherited_fds` are the environment and the descriptors that all workers share."""
        self._command = tuple(command)
        self._environ = environ
        self._inherited_fds = tuple(inherited_fds)
        self._wakeup = wakeup
        self._current: _Generation | None = None
        self._generations: list[_Generation] = []
        self._can_fork = True

    def fork(self, variables: Mapping[str, str]) -> ForkedWorker | None:
        """Have the running fork server, or a new one, fork a worker. Return None if fork servers can't fork.

        Returns at once, with a process whose id is not known yet. Raises OSError if the system refuses.
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
                # The fork server has just died. The supervisor chooses the wait before the next attempt.
                self._current = None
                raise
        return ForkedWorker(ours, generation, self._wakeup)

    def renew(self) -> None:
        """Use a new fork server for all later workers; the old one ends after the last of its workers."""
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
                    log.warning("workers share no memory: the fork server can't fork, its own log line says why")
                else:
                    level = logging.INFO if code in (0, -signal.SIGTERM) else logging.WARNING
                    log.log(level, "fork server ended pid=%d code=%d", generation.process.pid, code)

    def close(self) -> None:
        """End all fork servers; workers that are left go on."""
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
    """A worker process that a fork server was asked to fork."""

    def __init__(self, answers: socket.socket, generation: _Generation, wakeup: Wakeup) -> None:
        #: None until the process has sent it.
        self.pid: int | None = None
        self._answers = answers
        self._generation = generation
        self._wakeup = wakeup
        self._watched: int | None = None
        self._pidfd: int | None = None
        #: A signal to send when the process id is known.
        self._due: signal.Signals | None = None
        self._code: int | None = None
        answers.setblocking(False)
        self._watch(answers.fileno())

    def poll(self) -> int | None:
        """Read the messages since the last call; return the exit code once the process has ended, None before."""
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
                # The process was never forked. Its code is that of the fork server, which is about to end.
                self._end(self._generation.process.wait())
            else:
                self._watch(self._pidfd)
        if self._code is None and self._pidfd is not None and _is_readable(self._pidfd):
            self._end(_status(self._pidfd))
        return self._code

    def send_signal(self, signum: signal.Signals) -> None:
        """Send a signal to the process; if it is not forked yet, the signal is sent right after the fork."""
        if self._pidfd is not None:
            # A process that has been reaped needs no signal.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signum)
        elif self._code is None:
            self._due = signum
            if not self._generation.served:
                # The fork server still loads the model for workers that shall end, so it ends too.
                self._generation.process.send_signal(signum)

    def kill(self) -> None:
        """Send SIGKILL."""
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
        """Wake the supervisor when `fd` is readable, and stop watching the earlier descriptor."""
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
    """Return the exit code of an orphan that has ended. It is known only if this process adopted it, as process 1."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return EX_UNKNOWN
    if result is None:
        return EX_UNKNOWN
    return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
