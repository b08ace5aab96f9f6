"""Published directories: files that one process of a host writes once, and that all read when they are whole."""

from __future__ import annotations

import json
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rerank_shared.contract.digest import file_digest

_DIGESTS = "digests.json"


@contextmanager
def scratch_for(final: Path) -> Iterator[Path]:
    """Give an empty directory beside `final`, to be filled and published; it is gone afterwards."""
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{final.name}-", dir=final.parent))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def publish(scratch: Path, final: Path) -> None:
    """Write the digests of the files in `scratch` and rename it, so that no process reads a partial directory.

    Another process may have published an intact one at the same time; that one stays.
    """
    digests = {path.name: file_digest(str(path)) for path in sorted(scratch.iterdir())}
    (scratch / _DIGESTS).write_text(json.dumps(digests), encoding="utf-8")
    # Otherwise only this user could read it: processes of other users may share the directory.
    scratch.chmod(stat.S_IMODE(final.parent.stat().st_mode))
    try:
        scratch.rename(final)
    except OSError:
        if is_whole(final):
            return
        # Renamed before it is deleted, so that no process reads a partial directory here either.
        broken = Path(tempfile.mkdtemp(prefix=f".{final.name}-broken-", dir=final.parent))
        try:
            final.rename(broken / final.name)
            scratch.rename(final)
        finally:
            shutil.rmtree(broken, ignore_errors=True)


def is_whole(directory: Path) -> bool:
    """Return whether the files in `directory` match their digests.

    After a power cut they may have their full length and hold zeros, and a model would score with those.
    """
    try:
        digests = json.loads((directory / _DIGESTS).read_bytes())
        return all(file_digest(str(directory / name)) == digest for name, digest in digests.items())
    except (OSError, ValueError):
        return False
