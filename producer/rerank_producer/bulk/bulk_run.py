"""One bulk run from its first row to its last."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rerank_producer.aio_client import AsyncRerankClient
from rerank_producer.bulk.asking.fleet import PatientFleet
from rerank_producer.bulk.beginning import Beginning
from rerank_producer.bulk.committed.chunking import Done, retried, todo
from rerank_producer.bulk.committed.committed_run import CommittedRun
from rerank_producer.bulk.committed.fingerprint import Fingerprint
from rerank_producer.bulk.committed.journal import Totals
from rerank_producer.bulk.committed.lock import locked
from rerank_producer.bulk.committed.sinks import Sink, StandardOutput
from rerank_producer.bulk.progress import Progress
from rerank_producer.bulk.scoring import Chunk, Scoring
from rerank_producer.bulk.spec import BulkSpec
from rerank_shared.errors import OutputInUse
from rerank_shared.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of a run.

    - `totals`: counts of its whole output; `earlier`: of the part that was there before this command.
    - `identity`: what scored.
    - `was_complete`: there was nothing left to do.
    """

    totals: Totals
    earlier: Totals
    identity: Fingerprint
    ratio: float | None = None
    was_complete: bool = False


async def carry_out(
    spec: BulkSpec,
    *,
    settings: Settings | None = None,
    tell: Callable[[str], object] = lambda _: None,
    progress: Progress | None = None,
) -> Summary:
    """Carry out a run, or go on with one that was ended, and return what became of it; see `facade.run`.

    One that is cancelled goes on with the next call.
    """
    # Equal pairs that are in flight at once are scored once.
    settings = (settings or load_settings()).model_copy(update={"single_flight": True})
    progress = progress or Progress()
    with ExitStack() as stack:
        if spec.output is not None:
            _refuse_own_input(spec, spec.output)
            stack.enter_context(locked(spec.output))
        async with AsyncRerankClient(settings) as client:
            fleet = PatientFleet(client, tell, spec.patience_s, progress.asked)
            beginning = Beginning(spec, settings, fleet, progress)
            if spec.output is None:
                return await _to_standard_output(beginning, stack)
            claimed = CommittedRun.claim(spec.output, spec.failed_path, overwrite=spec.overwrite)
            stack.callback(claimed.close)
            return await _to_file(beginning, claimed)


async def _to_file(beginning: Beginning, run: CommittedRun) -> Summary:
    spec, progress = beginning.spec, beginning.progress
    if run.finished and not spec.overwrite:
        totals, notes = run.journal.totals(), run.journal.notes
        if not (spec.retry_failed and totals.failed_queries):
            beginning.check_finished(run)
            return Summary(totals, totals, notes["identity"], notes["ratio"], was_complete=True)
        await beginning.retry(run)
    fixed = await beginning.of(run)
    progress.input_bytes = spec.format.input_bytes()
    done = Done(run.journal, run.journal.last())
    progress.resume(run.journal.totals(), done.end)
    if not run.is_read:
        run.open_files()
        with ExitStack() as stack:
            if (previous := run.previous()) is not None:
                stack.callback(previous.close)
            chunks: Iterator[Chunk]
            if previous is not None and spec.format.appends:
                chunks = retried(spec.format, previous, done)
            else:
                limit = None if spec.limit_queries is None else spec.limit_queries - progress.earlier.queries
                chunks = todo(spec.format, done, verify_all=fixed.verify_all, limit=limit)
            await Scoring(spec, fixed, beginning.fleet, progress, run).all(chunks)
    totals = await asyncio.to_thread(_finished, run, beginning)
    return Summary(totals, progress.earlier, fixed.identity, fixed.fusion.ratio)


async def _to_standard_output(beginning: Beginning, stack: ExitStack) -> Summary:
    spec, progress = beginning.spec, beginning.progress
    fixed = await beginning.of_stream()
    failed = None if spec.failed is None else stack.enter_context(spec.failed.open("wb"))
    sink = StandardOutput(sys.stdout.buffer, failed)
    chunks = todo(spec.format, Done(), verify_all=False, limit=spec.limit_queries)
    await Scoring(spec, fixed, beginning.fleet, progress, sink).all(chunks)
    return Summary(_finished(sink, beginning), progress.earlier, fixed.identity, fixed.fusion.ratio)


def _finished(sink: Sink, beginning: Beginning) -> Totals:
    beginning.progress.stage = "putting the output in its place"
    return sink.finish(beginning.spec.format.assemble)


def _refuse_own_input(spec: BulkSpec, output: Path) -> None:
    for name, path in spec.format.inputs().items():
        for target in filter(None, (output, spec.failed_path)):
            if path is not None and target.exists() and target.samefile(path):
                raise OutputInUse(f"{target} is the {name} of this run: name another output")
