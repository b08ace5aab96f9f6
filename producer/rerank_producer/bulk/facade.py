"""What callers in Python use: a run of a file by plain options."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from rerank_producer._io.cancelling import cancellable
from rerank_producer.bulk.bulk_run import Summary, carry_out
from rerank_producer.bulk.opening import BulkOptions, spec_of
from rerank_producer.bulk.progress import Progress
from rerank_shared.settings import Settings, load_settings


def run(
    source: str | Path,
    output: str | Path,
    *,
    settings: Settings | None = None,
    tell: Callable[[str], object] = lambda _: None,
    progress: Progress | None = None,
    **options: Unpack[BulkOptions],
) -> Summary:
    """Rerank the rows of a file, or go on with a run of it that was ended; return what became of it.

    "-" is standard input or output. `options` are described in BulkOptions. `tell` gets sentences for a person, for
    instance while the fleet is away; `progress` may be read meanwhile by another thread.

    Raises InputRefused, RunDiffers, OutputInUse, FleetGone, OSError; before anything is written InvalidRequest,
    UnknownModel, QueueUnavailable and ConfigurationError too.
    """
    return asyncio.run(cancellable(arun(source, output, settings=settings, tell=tell, progress=progress, **options)))


async def arun(
    source: str | Path,
    output: str | Path,
    *,
    settings: Settings | None = None,
    tell: Callable[[str], object] = lambda _: None,
    progress: Progress | None = None,
    **options: Unpack[BulkOptions],
) -> Summary:
    """Rerank the rows of a file; see `run`. A call that is cancelled goes on with the next one."""
    settings = settings or load_settings()
    # Opening reads a corpus that is new.
    spec = await asyncio.to_thread(spec_of, source, output, settings, options)
    return await carry_out(spec, settings=settings, tell=tell, progress=progress)
