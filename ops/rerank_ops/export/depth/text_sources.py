"""Texts to shorten a model on: files of requests, or BEIR directories; labels are never read.

    file        your requests: a JSON object a line with `query` and `documents`, best first, or with one `document`
    directory   corpus.jsonl, and queries.jsonl where there is one: BM25 finds the candidates

Queries with judgements are left for measuring. Where too few others are left, pseudo-queries are made of the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rerank_ops.demo.corpus import Passage
from rerank_ops.demo.first_stage import Bm25Index
from rerank_ops.export.depth.candidate_list import LONGEST, SHORTEST, CandidateList
from rerank_ops.judging.qrels import qrels_in, read_qrels
from rerank_ops.pseudo.queries import PseudoQuery, pseudo_queries
from rerank_ops.pseudo.titled import Titled
from rerank_producer.bulk.files.sources import open_source
from rerank_producer.bulk.formats.request_line import decoded, request_of, without_id
from rerank_producer.bulk.formats.runs.trec import file_in
from rerank_producer.bulk.texts.records import text_records, titled_records
from rerank_shared.errors import ConfigurationError, InvalidRequest

_SEED = 7


def read_lists(paths: Sequence[Path], wanted: int, tell: Callable[[str], None]) -> list[CandidateList]:
    """Return a list of candidates for each query of all `paths`, of its first path; a directory gives `wanted` at most.

    Raises ConfigurationError or InputRefused, with file and line, OSError.
    """
    found: dict[str, CandidateList] = {}
    for path in paths:
        tell(f"reading {path}")
        for each in _of_directory(path, wanted) if path.is_dir() else _of_requests(path):
            found.setdefault(each.query, each)
    return list(found.values())


def _of_directory(directory: Path, wanted: int) -> list[CandidateList]:
    corpus = file_in(directory, "corpus.jsonl")
    if corpus is None:
        raise ConfigurationError(f"{directory} has no corpus.jsonl, nor one that is compressed: no text to read")
    documents = {name: Titled(title, text) for _, name, title, text in titled_records(corpus)}
    index = Bm25Index([Passage(name, document.whole) for name, document in documents.items()])
    queries = _unjudged(directory)[:wanted]
    lists = [CandidateList(query, tuple(hit.text for hit in index.top(query, LONGEST))) for query in queries]
    made = pseudo_queries(documents, wanted - len(queries), seed=_SEED) if len(queries) < wanted else []
    lists += [_of_pseudo_query(each, index) for each in made]
    return [each for each in lists if each.documents]


def _unjudged(directory: Path) -> list[str]:
    """Return the queries that no judgement speaks of, in the order of their file."""
    file = file_in(directory, "queries.jsonl")
    if file is None:
        return []
    qrels = qrels_in(directory)
    judged: Mapping[str, object] = read_qrels(qrels) if qrels else {}
    return list(dict.fromkeys(text for _, name, text in text_records(file) if name not in judged and text.strip()))


def _of_pseudo_query(made: PseudoQuery, index: Bm25Index) -> CandidateList:
    """Return the list of a query that was made of a document, which stands in it without what the query took."""
    hits = index.top(made.text, LONGEST)
    return CandidateList(
        made.text, tuple(made.passage if hit.id == made.source else hit.text for hit in hits), made=True
    )


def _of_requests(path: Path) -> list[CandidateList]:
    """Return a list for each query of a file of requests, filled up where short; lines of one query are joined."""
    found: dict[str, dict[str, None]] = {}
    for query, documents in _requests(path):
        found.setdefault(query, {}).update(dict.fromkeys(documents))
    if not found:
        raise ConfigurationError(f"{path} has no request: a JSON object with query and documents a line expected")
    lists = [CandidateList(query, tuple(documents)[:LONGEST]) for query, documents in found.items()]
    if all(len(each.documents) >= SHORTEST for each in lists):
        return lists
    index = Bm25Index([Passage(text, text) for text in dict.fromkeys(t for each in found.values() for t in each)])
    return [_filled(each, index) for each in lists]


def _filled(short: CandidateList, index: Bm25Index) -> CandidateList:
    """Return a list with the documents of other requests behind its own that BM25 likes best for its query."""
    if len(short.documents) >= SHORTEST:
        return short
    more = (hit.text for hit in index.top(short.query, LONGEST))
    return CandidateList(short.query, tuple(dict.fromkeys((*short.documents, *more)))[:LONGEST])


def _requests(path: Path) -> Iterator[tuple[str, list[str]]]:
    with open_source(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield _request(line)
            except InvalidRequest as error:
                raise ConfigurationError(f"{path}, line {number}: {error.message}") from None


def _request(line: bytes) -> tuple[str, list[str]]:
    """Return query and documents of a line. Raises InvalidRequest."""
    _, fields = without_id(decoded(line, "`query` and `documents`"))
    if "document" in fields and "documents" not in fields:
        fields["documents"] = [fields.pop("document")]
    request = request_of(fields, {})
    if not request.documents:
        raise InvalidRequest("documents: empty; there is nothing to learn from")
    texts = [content for content in request.contents() if isinstance(content, str)]
    if len(texts) < len(request.documents):
        raise InvalidRequest("documents: texts expected, not token ids, which are another tokenizer's words elsewhere")
    return request.query, texts
