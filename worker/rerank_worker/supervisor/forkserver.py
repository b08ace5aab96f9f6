"""Fork server protocol: forks a worker process for each command of the supervisor.

A command is one message with variables for the new process and a socket for answers. On that socket the new process
sends its id and a pidfd; later the fork server, its parent, sends its exit status. So the supervisor learns of every
process. If the fork server is killed meanwhile, the socket closes without a status.
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
#: Exit status of a fork server that can't fork: it has a second thread or a GPU.
EX_CANT_FORK = 69
#: Exit status of a worker that the system refused to fork.
EX_OSERR = 71
MESSAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class _Child:
    pid: int
    answers: socket.socket


def serve(commands: socket.socket) -> bool:
    """Fork a process for each command, until `commands` is closed and all forked processes have ended.

    Return True in each forked process, with its variables in os.environ, and False in the fork server.
    Raises SystemExit(EX_CANT_FORK) if a second thread exists.
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
                # The process is not reaped yet, so the id is still its own.
                pidfd = os.pidfd_open(pid)
                children[pidfd] = _Child(pid, answers)
                poller.register(pidfd, select.POLLIN)
    return False


def call_process(name: str) -> None:
    """Set the command name of this process, at most 15 characters, as `ps` and `top` show it."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name, encoding="ascii")


def _receive(commands: socket.socket) -> tuple[dict[str, str], socket.socket] | None:
    message, fds, _, _ = socket.recv_fds(commands, MESSAGE_BYTES, 1)
    return (json.loads(message), socket.socket(fileno=fds[0])) if message else None


def _fork(answers: socket.socket) -> int | None:
    """Return the child's id in the parent, 0 in the child, None if the system refuses."""
    if (threads := len(os.listdir("/proc/self/task"))) != 1:
        log.error("fork server can't fork: it has more than one thread threads=%d", threads)
        sys.exit(EX_CANT_FORK)
    try:
        return os.fork()
    except OSError as error:
        log.error("worker not forked error=%r", error)
        _answer(answers, 0, EX_OSERR)
        return None


def _leave(siblings: dict[int, _Child]) -> None:
    """Close the siblings' descriptors in a child: their sockets must close when the fork server dies."""
    for pidfd, sibling in siblings.items():
        os.close(pidfd)
        sibling.answers.close()


def _begin(variables: dict[str, str], answers: socket.socket) -> None:
    """Create a process group, set the environment and send the id. Raises SystemExit if the supervisor is gone."""
    # Ctrl-C must reach the supervisor alone, and a signal to one worker's group must reach that worker alone.
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
    # The supervisor may be gone; then no process needs the answer.
    with answers, suppress(OSError):
        answers.send(b"%d %d" % (pid, code))
