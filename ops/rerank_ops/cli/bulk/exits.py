"""Exit statuses of `rerank-fleet bulk`. They are stable, so that a script can decide by them.

| status | meaning |
|---|---|
| 0 | every row is answered |
| 2 | wrong arguments |
| 3 | something is missing that the run needs: a fleet, a server, an extra, the output's lock |
| 4 | a file or a model does not exist |
| 5 | the input, or what was written before, is not what it should be |
| 6 | the fleet or the disk failed; the same command goes on |
| 7 | the run is complete, and some rows failed |
| 130, 143 | Ctrl-C, SIGTERM; the same command goes on |
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from rerank_ops.cli.console import err
from rerank_shared.errors import (
    ConfigurationError,
    InputRefused,
    InvalidRequest,
    OutputInUse,
    QueueUnavailable,
    RerankError,
    RunDiffers,
    UnknownModel,
)

COMPLETE, ARGUMENTS, PREREQUISITE, MISSING, VALIDATION, FAILED, PARTIAL = 0, 2, 3, 4, 5, 6, 7
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


def status_of(error: RerankError | OSError) -> int:
    """Return the status for what ended a run."""
    if isinstance(error, OSError):
        return MISSING if error.errno in _MISSING else FAILED
    if isinstance(error, UnknownModel):
        return MISSING
    if isinstance(error, ConfigurationError | QueueUnavailable | OutputInUse):
        return PREREQUISITE
    return VALIDATION if isinstance(error, InputRefused | RunDiffers | InvalidRequest) else FAILED


@contextmanager
def exits() -> Iterator[None]:
    """Print what ended the block, and exit with its status."""
    try:
        yield
    except BrokenPipeError:
        # Whoever read standard output has seen enough.
        raise typer.Exit(FAILED) from None
    except (RerankError, OSError) as error:
        err.print(f"error: {_text(error)}")
        raise typer.Exit(status_of(error)) from None


def _text(error: RerankError | OSError) -> str:
    if isinstance(error, RerankError):
        return error.message
    named = f"{error.filename}: " if error.filename else ""
    hint = ": make room and repeat the command, which goes on" if error.errno in _NO_ROOM else ""
    return f"{named}{error.strerror or error}{hint}"
