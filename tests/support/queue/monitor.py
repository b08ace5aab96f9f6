"""What a server was asked, told apart by the names that connections gave themselves (`client_name` in the URL)."""

from __future__ import annotations

import re
import socket
import threading
from collections import defaultdict
from typing import Self

_LINE = re.compile(
    r'^\+[0-9.]+ \[\d+ (?P<who>[^\]]+)\] "(?P<command>[^"]*)"(?: "(?P<first>[^"]*)")?(?: "(?P<second>[^"]*)")?'
)
#: Commands whose second word says which; permitted apart from each other.
_CONTAINERS = {"client", "script", "pubsub", "acl", "config", "info", "memory", "command"} - {"info"}


class Monitor:
    """Reads MONITOR in a thread for the life of a block. `used` maps each name to the commands of its connections.

    Commands inside a script count for the connection that called it.
    """

    def __init__(self, port: int) -> None:
        self.used: defaultdict[str, set[str]] = defaultdict(set)
        self._names: dict[str, str] = {}
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(b"MONITOR\r\n")
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()

    def _read(self) -> None:
        caller = ""
        for raw in self._socket.makefile("rb"):
            if (found := _LINE.match(raw.decode(errors="replace"))) is None:
                continue
            command, first = found["command"].lower(), (found["first"] or "").lower()
            if found["who"] == "lua":
                self.used[self._names.get(caller, caller)].add(command)
                continue
            caller = found["who"]
            if (command, first) == ("client", "setname"):
                self._names[caller] = found["second"] or ""
            word = f"{command}|{first}" if command in _CONTAINERS else command
            self.used[self._names.get(caller, caller)].add(word)
