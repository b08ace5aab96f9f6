"""The pilot of a run with `weighted` fusion: its first rows are scored, and the ratio is measured on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing
from itertools import islice
from pathlib import Path

from rerank_producer.bulk.asking.fleet import PatientFleet
from rerank_producer.bulk.asking.fusing import PILOT_ROWS, measured_ratio
from rerank_producer.bulk.asking.stream import Stream
from rerank_producer.bulk.asking.window import Window
from rerank_producer.bulk.committed.chunking import BEGIN
from rerank_producer.bulk.formats.rows import Format
from rerank_producer.bulk.iterating import read_in_thread
from rerank_shared.contract.schemas import RerankRequest, RerankResponse
from rerank_shared.errors import InvalidRequest
from rerank_shared.keys import FirstStageOrder


async def measure_ratio(form: Format, fleet: PatientFleet, order: FirstStageOrder | None, window: Window) -> float:
    """Return the ratio by the first rows of an input that have scores. They are cached, so that no work is lost.

    Raises InvalidRequest where the rows tell no ratio, or can be read only once.
    """
    if form.inputs().get("input", Path()) is None:
        raise InvalidRequest("fusion: no ratio can be measured on standard input. Give --fusion-ratio")
    answers = []
    stream = Stream[RerankRequest](fleet, lambda request: request, window)
    async with (
        aclosing(read_in_thread(islice(_with_scores(form), PILOT_ROWS))) as requests,
        aclosing(stream.answers(requests)) as asked,
    ):
        async for request, answer in asked:
            if isinstance(answer, RerankResponse):
                answers.append((request, answer))
    return measured_ratio(answers, order)


def _with_scores(form: Format) -> Iterator[RerankRequest]:
    for chunk in form.read(BEGIN):
        for row in chunk.rows:
            if row.request is not None and any(score is not None for score in row.request.first_stage_scores()):
                yield row.request.model_copy(update={"fusion": "none"})
