"""Rankings of a complete run, read from its files: each query's documents in first-stage order, and as they are now."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rerank_producer.bulk.files.sources import open_source
from rerank_producer.bulk.formats.rows import Format
from rerank_producer.bulk.formats.runs.run_lines import Parse, RunLine, first_stage_order, msmarco_line, trec_line
from rerank_shared.errors import InputRefused, InvalidRequest

_RUNS: dict[str, Parse] = {"trec": trec_line, "beir": trec_line, "msmarco": msmarco_line}


@dataclass(frozen=True, slots=True)
class Ranked:
    """A query's documents by id, best first."""

    query: str
    before: tuple[str, ...]
    after: tuple[str, ...]


def rankings(form: Format, output: Path, queries: Collection[str]) -> Iterator[Ranked]:
    """Yield those of some queries. Raises InputRefused for a format that names no queries or documents; OSError."""
    source = form.inputs()["input"]
    assert source is not None
    if form.name in _RUNS:
        before = dict(_of_run(source, _RUNS[form.name], queries))
        for name, ids in _of_run(output, trec_line, queries):
            yield Ranked(name, before[name], ids)
    elif form.name == "requests":
        yield from _of_requests(source, output, queries)
    elif form.name == "jsonl":
        yield from _of_jsonl(source, output, queries)
    else:
        raise InputRefused(f"format {form.name!r}: judgements need query and document ids, which its files do not have")


def _of_run(path: Path, parse: Parse, queries: Collection[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    with open_source(path) as lines:
        parsed = (line for line in _parsed(lines, parse) if line.query in queries)
        for name, group in groupby(parsed, key=lambda line: line.query):
            try:
                yield name, tuple(line.document for line in first_stage_order(list(group)))
            except InvalidRequest:
                # A query that failed in the run.
                continue


def _parsed(lines: Iterable[bytes], parse: Parse) -> Iterator[RunLine]:
    for line in lines:
        try:
            yield parse(line)
        except InvalidRequest:
            continue


def _of_requests(source: Path, output: Path, queries: Collection[str]) -> Iterator[Ranked]:
    """Lines of the output are those of the input that did not fail, so a query is found by its id."""
    before = {
        str(record["query"]["qid"]): tuple(str(each["docid"]) for each in record["candidates"])
        for record in _records(source)
        if isinstance(record.get("query"), dict) and str(record["query"].get("qid")) in queries
    }
    for record in _records(output):
        name = str(record["query"]["qid"])
        if name in before:
            yield Ranked(name, before[name], tuple(str(each["docid"]) for each in record["candidates"]))


def _of_jsonl(source: Path, output: Path, queries: Collection[str]) -> Iterator[Ranked]:
    judged = (record for record in _records(output) if str(record.get("id")) in queries)
    answered = {record["line"]: record for record in judged if "results" in record}
    with open_source(source) as lines:
        for number, line in enumerate(lines, start=1):
            if (record := answered.get(number)) is None:
                continue
            documents = json.loads(line)["documents"]
            ids = [str(each["id"]) for each in documents if isinstance(each, dict) and each.get("id") is not None]
            if len(ids) < len(documents):
                raise InputRefused(f"{source}, line {number}: judgements need an `id` of each document")
            after = tuple(ids[each["index"]] for each in record["results"])
            yield Ranked(str(record["id"]), tuple(ids), after)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    with open_source(path) as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record
