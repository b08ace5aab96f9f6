"""Target directory of an export: replaced as a whole, or not at all."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.manifest import MANIFEST_FILE


def check_target(directory: Path, *, force: bool) -> None:
    """Raise ConfigurationError if `directory` may not be written: only an artefact is replaced, with `force`."""
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    if not (directory / MANIFEST_FILE).is_file():
        raise ConfigurationError(f"{directory} exists and is no exported model: name another directory, or empty it")
    if not force:
        raise ConfigurationError(
            f"{directory} holds an exported model: name another directory, or replace it with --force"
        )


@contextmanager
def unfinished(directory: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a new directory beside `directory` that replaces it when the block ends, and is removed if it raises."""
    check_target(directory, force=force)
    directory.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex[:8]
    new, old = (directory.parent / f".{directory.name}.{mark}.{state}" for state in ("new", "old"))
    new.mkdir()
    try:
        yield new
        if directory.exists():
            directory.rename(old)
        new.rename(directory)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
