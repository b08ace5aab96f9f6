"""One look through a run before anything is scored: are the lines of each query together, and how many queries are
there? Memory grows by eight bytes a query.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path

from rerank_producer.bulk.files.sources import open_source, shown
from rerank_producer.bulk.formats.runs.run_lines import Parse, query_bytes
from rerank_shared.errors import InputRefused, InvalidRequest

#: Digests of queries are sorted by parts, so that no sorting takes much memory.
_PARTS = 256


def survey(path: Path, parse: Parse) -> int:
    """Return the number of queries in a run.

    Raises InputRefused where its first line is none of a run, and where the lines of a query are not together.
    """
    digests = [array("Q") for _ in range(_PARTS)]
    count = 0
    for number, line, query in _queries(path):
        if count == 0:
            _check_first(path, number, line, parse)
        digest = _digest(query)
        digests[digest % _PARTS].append(digest)
        count += 1
    repeated = {digest for part in digests for digest in _repeated(part)}
    if repeated:
        _refuse_apart(path, repeated)
    return count


def _queries(path: Path) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the first line of each group of lines of one query: its number, itself and its query."""
    before = b""
    with open_source(path) as stream:
        for number, line in enumerate(stream, start=1):
            query = query_bytes(line)
            if query and query != before:
                yield number, line.rstrip(b"\r\n"), query
                before = query


def _check_first(path: Path, number: int, line: bytes, parse: Parse) -> None:
    try:
        parse(line)
    except InvalidRequest as error:
        raise InputRefused(f"{path}, line {number}: {error.message}; it reads {shown(line)}") from None


def _digest(query: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(query, digest_size=8).digest())


def _repeated(digests: array[int]) -> Iterator[int]:
    before = None
    for digest in sorted(digests):
        if digest == before:
            yield digest
        before = digest


def _refuse_apart(path: Path, repeated: set[int]) -> None:
    """Raise InputRefused for the first query that comes twice, if not only digests are the same."""
    first: dict[bytes, int] = {}
    for number, _, query in _queries(path):
        if _digest(query) not in repeated:
            continue
        if query in first:
            raise InputRefused(
                f"{path}: the lines of the query {query.decode(errors='replace')!r} are not together: it begins on "
                f"line {first[query]} and again on line {number}. Sort the run by its queries: sort -s -k1,1"
            )
        first[query] = number
