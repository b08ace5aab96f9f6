"""The fork server's protocol: forks a worker process for each command of the supervisor.

A command is one message with variables for the new process and a socket for answers. On that socket the new process
sends its id and a pidfd; later the fork server, its parent, sends its exit status. So the supervisor hears of every
process, even if the fork server is killed in that moment: the socket then closes without a status.
Standard library only. It refuses to fork while a second thread exists: the child would inherit that thread's locks.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)
#: Status of a fork server whose memory no process can share: there are threads, or a device.
EX_CANT_FORK = 69
#: Status of a worker that the system did not let be forked.
EX_OSERR = 71
MESSAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    answers: socket.socket


def serve(commands: socket.socket) -> bool:
    """Fork a process for each command, until nobody is left to command and all of them have ended.

    Returns True in each of them, with its variables in os.environ, and False in this one.
    Raises SystemExit(EX_CANT_FORK) where there are threads.
    """
    children: dict[int, _Child] = {}
    poller = select.poll()
    poller.register(commands, select.POLLIN)
    commanded = True
    while commanded or children:
        for fd, _ in poller.poll():
            if fd != commands.fileno():
                poller.unregister(fd)
                _tell_end(children.pop(fd), fd)
                continue
            if (command := _receive(commands)) is None:
                poller.unregister(commands)
                commanded = False
                continue
            variables, answers = command
            pid = _fork(answers)
            if pid == 0:
                _leave(children)
                _begin(variables, answers)
                return True
            if pid is not None:
                # It can't have been reaped yet, so the id is surely its own.
                pidfd = os.pidfd_open(pid)
                children[pidfd] = _Child(pid, answers)
                poller.register(pidfd, select.POLLIN)
    return False


def call_process(name: str) -> None:
    """Show `name`, of 15 characters at most, where a process's command is shown without its arguments."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name, encoding="ascii")


def _receive(commands: socket.socket) -> tuple[dict[str, str], socket.socket] | None:
    message, fds, _, _ = socket.recv_fds(commands, MESSAGE_BYTES, 1)
    return (json.loads(message), socket.socket(fileno=fds[0])) if message else None


def _fork(answers: socket.socket) -> int | None:
    """Return the child's id, 0 in the child, None where the system refuses."""
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        log.error("fork server can't fork threads=%d", threads)
        sys.exit(EX_CANT_FORK)
    try:
        return os.fork()
    except OSError as error:
        log.error("worker not forked error=%r", error)
        _answer(answers, 0, EX_OSERR)
        return None


def _leave(siblings: dict[int, _Child]) -> None:
    """Let go, in a child, of what belongs to the others: their sockets must close when the fork server dies."""
    for pidfd, sibling in siblings.items():
        os.close(pidfd)
        sibling.answers.close()


def _begin(variables: dict[str, str], answers: socket.socket) -> None:
    """Become a process of one's own, and say so. Raises SystemExit if the supervisor is gone."""
    # Ctrl-C must reach the supervisor alone, and whoever signals one worker's group means that worker.
    os.setpgid(0, 0)
    os.environ.update(variables)
    own = os.pidfd_open(os.getpid())
    try:
        with answers:
            socket.send_fds(answers, [b"%d" % os.getpid()], [own])
    except OSError:
        sys.exit(0)
    finally:
        os.close(own)


def _tell_end(child: _Child, pidfd: int) -> None:
    os.close(pidfd)
    _, status = os.waitpid(child.pid, 0)
    _answer(child.answers, child.pid, os.waitstatus_to_exitcode(status))


def _answer(answers: socket.socket, pid: int, code: int) -> None:
    # Whoever asked may be gone, and then nobody needs to know.
    with answers, suppress(OSError):
        answers.send(b"%d %d" % (pid, code))
