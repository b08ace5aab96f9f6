"""The command `rerank-fleet`. Importing this package needs no extra; running the command needs the extra `cli`.

Every expected failure ends as one line on stderr and an exit status: 1 for an error, 2 for wrong usage, 130 for
Ctrl-C. A bug keeps its trace.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import NoReturn

#: Packages that the extra `cli` installs.
_EXTRA = ("typer", "rich")
#: Errors of a disk in the middle of a write; they name no file.
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
    """Run the command line; never returns."""
    if os.getpid() == 1:
        # The kernel keeps from process 1, as a container's command is, every signal that it has no handler for. Before
        # all slow imports, since a platform may stop what it has just started.
        signal.signal(signal.SIGTERM, _end)
    from rerank_shared.errors import RerankError

    # ONNX Runtime for Linux sends usage data from a thread of its own since 1.29, unless this variable is set.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        from rerank_ops.cli.app import app
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        _fail(f"the command line needs {package}: pip install 'rerank-fleet[cli]'")
    try:
        app(prog_name="rerank-fleet")
    except RerankError as error:
        _fail(error.message)
    except OSError as error:
        if error.filename is not None:
            _fail(f"{error.filename}: {error.strerror}")
        if error.errno in _OF_DISKS:
            _fail(f"a file could not be written ({error.strerror}): make room on its disk, or name another place")
        # An error that names a file is about an argument; any other is a bug and keeps its trace.
        raise
    except KeyboardInterrupt:
        sys.exit(130)


def _end(signum: int, _: object) -> NoReturn:
    sys.exit(128 + signum)


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(1)
