"""A command on a terminal of its own, read as a person sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from support.waiting import wait_until

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
#: What a terminal is told when a program takes the whole screen, and when it gives it back.
WHOLE_SCREEN, GIVEN_BACK = "\x1b[?1049h", "\x1b[?1049l"


class Terminal:
    """Runs a command on a new pseudo-terminal of some size, and ends it with the block."""

    def __init__(self, command: list[str], environ: Mapping[str, str], *, columns: int, rows: int) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.set_blocking(self._ours, False)
        # The size is the terminal's to tell.
        told = {name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES")}
        told |= {"TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            command, env=told, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self.written = ""

    def wait_for(self, text: str) -> str:
        """Wait until it has shown a text since the last call, and return what it has shown since then."""

        def shown() -> str:
            self._read()
            seen = _ESCAPES.sub("", self.written[begun:])
            assert text in seen or self.process.poll() is None, f"ended early: {seen}"
            return seen if text in seen else ""

        begun = len(self.written)
        return wait_until(shown, f"{text!r} on the terminal")

    def interrupt(self) -> int:
        """Do as Ctrl-C does, and return the exit status."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=30)
        self._read()
        return status

    def _read(self) -> None:
        try:
            while found := os.read(self._ours, 65_536):
                self.written += found.decode(errors="replace")
        except OSError:
            # Nothing more now; or, on Linux, the other side has been closed.
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)
