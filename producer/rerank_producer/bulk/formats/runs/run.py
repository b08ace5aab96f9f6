"""A run of a first stage, with the texts of its queries and documents in files of their own; the output is a TREC run.

    qid Q0 docno rank score tag

Evaluators sort by score and break ties by document id, so scores of a query are written strictly decreasing. Documents
behind the depth stand below the reranked ones, in their order. The score is the fused one where first-stage scores
count, else the logit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from rerank_producer.bulk.files.sources import plain_bytes
from rerank_producer.bulk.formats.answers import order_score
from rerank_producer.bulk.formats.chunks import Chunk, Position
from rerank_producer.bulk.formats.files import chunks_in, failed_lines, move
from rerank_producer.bulk.formats.rows import Answered, ReadOptions, Row, RowChunk, WriteOptions
from rerank_producer.bulk.formats.runs.run_lines import Parse, RunLine, first_stage_order, query_bytes, some
from rerank_producer.bulk.formats.runs.survey import survey
from rerank_producer.bulk.formats.runs.trec_scores import spelled, to_the_end
from rerank_producer.bulk.texts.text_store import TextStore
from rerank_shared.contract.schemas import RerankRequest, parse_request
from rerank_shared.errors import ConfigurationError, InputRefused, InvalidRequest, RerankError

#: Each line is a pair, so a chunk of lines is worth many times as much time as one of requests.
RUN_CHUNK_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class RunTexts:
    """The texts that a run speaks of by id."""

    queries: TextStore
    corpus: TextStore


@dataclass(frozen=True, slots=True)
class _Query:
    """A query's id, and its documents in first-stage order; the first of them are asked for."""

    id: str
    documents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """The lines of a query: the number of the first, their bytes, and what stands in them or why that can't be read."""

    number: int
    source: bytes
    ranked: list[RunLine]
    error: RerankError | None = None


class RunFormat:
    """A run in, a run out. `parse` reads a line, and `name` is what `--format` calls that."""

    appends = True
    chunk_bytes = RUN_CHUNK_BYTES

    def __init__(
        self, name: str, parse: Parse, path: Path | None, texts: RunTexts, options: ReadOptions, write: WriteOptions
    ) -> None:
        if path is None:
            raise InputRefused(f"standard input: a run is read twice, so give a file (format {name})")
        if len(write.tag.split()) != 1 or write.tag != write.tag.strip():
            raise ConfigurationError(f"tag: one word without blanks expected, not {write.tag!r}")
        self.name, self._parse, self._path, self._texts = name, parse, path, texts
        self._options, self._write = options, write

    def inputs(self) -> Mapping[str, Path | None]:
        """Return the run and the files of its texts."""
        return {"input": self._path, "queries": self._texts.queries.source, "corpus": self._texts.corpus.source}

    def input_bytes(self) -> int | None:
        """Return the size of a file that is not compressed."""
        return plain_bytes(self._path)

    def survey(self) -> int | None:
        """Return the number of queries. Raises InputRefused where the lines of one are not together."""
        return survey(self._path, self._parse)

    def read(self, start: Position) -> Iterator[RowChunk]:
        """Yield the chunks from `start` on, a row for each query. Raises InputRefused, OSError, ConfigurationError."""
        for chunk in chunks_in(self._path, start, self._options.chunk_bytes or self.chunk_bytes, _by_query()):
            groups = [self._group(number, lines) for number, lines in _groups(chunk)]
            queries = self._texts.queries.get_many(group.ranked[0].query for group in groups if group.ranked)
            corpus = self._texts.corpus.get_many(
                line.document for group in groups for line in group.ranked[: self._options.depth]
            )
            rows = tuple(self._row(group, queries, corpus) for group in groups)
            yield RowChunk(chunk.start, chunk.end, chunk.digest, rows)

    def _group(self, number: int, lines: Sequence[tuple[int, bytes]]) -> _Group:
        source = b"\n".join(line for _, line in lines)
        parsed: list[RunLine] = []
        for place, line in lines:
            try:
                parsed.append(self._parse(line))
            except InvalidRequest as error:
                return _Group(number, source, [], InvalidRequest(f"line {place}: {error.message}"))
        try:
            return _Group(number, source, first_stage_order(parsed))
        except InvalidRequest as error:
            return _Group(number, source, [], error)

    def _row(self, group: _Group, queries: Mapping[str, str], corpus: Mapping[str, str]) -> Row:
        if group.error is not None:
            return Row(group.number, group.source, None, group.error)
        try:
            request = self._request(group.ranked, queries, corpus)
        except InvalidRequest as error:
            return Row(group.number, group.source, None, error)
        context = _Query(group.ranked[0].query, tuple(line.document for line in group.ranked))
        return Row(group.number, group.source, request, context=context)

    def _request(
        self, ranked: Sequence[RunLine], queries: Mapping[str, str], corpus: Mapping[str, str]
    ) -> RerankRequest:
        """Return the request of a query. Raises InvalidRequest."""
        query, asked = ranked[0].query, ranked[: self._options.depth]
        if query not in queries:
            raise InvalidRequest(f"the query {query!r} is not in {self._texts.queries.source}")
        missing = [line.document for line in asked if line.document not in corpus]
        if missing:
            raise InvalidRequest(
                f"{len(missing)} of {len(asked)} documents are not in {self._texts.corpus.source}: {some(missing)}"
            )
        documents = [{"id": line.document, "text": corpus[line.document], "score": line.score} for line in asked]
        return parse_request(queries[query], documents, **self._options.defaults)

    def write(self, answered: Sequence[Answered], *, first: bool) -> bytes:
        """Return the lines of each query that has an answer."""
        return "".join(line for each in answered for line in self._lines(each)).encode()

    def _lines(self, each: Answered) -> Iterator[str]:
        if isinstance(each.answer, RerankError):
            return
        context: _Query = each.row.context
        documents = [context.documents[result.index] for result in each.answer.results]
        written = set(documents)
        documents += [name for name in context.documents if name not in written]
        texts = spelled(
            to_the_end(map(order_score, each.answer.results), len(documents)), keep_ties=self._write.keep_ties
        )
        best = list(zip(documents, texts, strict=True))[: self._write.top_n]
        for rank, (name, text) in enumerate(best, start=1):
            yield f"{context.id} Q0 {name} {rank} {text} {self._write.tag}\n"

    def write_failed(self, answered: Sequence[Answered]) -> bytes:
        """Return a line of JSON for each query that failed, with its lines of the run."""
        return failed_lines(answered)

    def assemble(self, part: Path, target: Path) -> None:
        """Move the output to its name."""
        move(part, target)


def _by_query() -> Callable[[bytes], bytes]:
    """Return what gives the query of each line, line after line. A blank line belongs to the query before it."""
    before = b""

    def group(line: bytes) -> bytes:
        nonlocal before
        before = query_bytes(line) or before
        return before

    return group


def _groups(chunk: Chunk) -> Iterator[tuple[int, list[tuple[int, bytes]]]]:
    """Yield the lines of each query of a chunk with their numbers, and the number of the first."""
    numbered = enumerate(chunk.lines, start=chunk.start.row + 1)
    filled = ((number, line) for number, line in numbered if line.strip())
    for _, group in groupby(filled, key=lambda each: query_bytes(each[1])):
        lines = list(group)
        yield lines[0][0], lines
