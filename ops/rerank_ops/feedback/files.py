"""Files of judgements: Parquet or JSONL with a row a judgement, or a directory in the layout of BEIR.

A file stands in its place only as a whole. `rerank-fleet evaluate --qrels` reads all three.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import groupby
from pathlib import Path
from typing import Any

from rerank_ops.feedback.judged import Judged
from rerank_producer.bulk.files.durable import whole_beside
from rerank_producer.bulk.files.parquet import arrow
from rerank_shared.errors import InputRefused

#: Key of the Parquet file's metadata, with the propensities and the options as JSON.
METADATA = b"rerank-fleet.feedback"
#: What no column of TREC's and BEIR's files can hold.
_WHITE = re.compile(r"\s")


def write_table(path: Path, rows: Sequence[Judged], about: Mapping[str, Any]) -> None:
    """Write a Parquet file, or JSONL, by the file's suffix. Raises InputRefused, ConfigurationError, OSError."""
    if path.suffix not in (".parquet", ".jsonl"):
        raise InputRefused(f"{path}: a file that ends in .parquet or .jsonl expected; --beir DIR writes a directory")
    with whole_beside(path) as part:
        if path.suffix == ".jsonl":
            part.write_text("".join(f"{json.dumps(asdict(row), ensure_ascii=False)}\n" for row in rows), "utf-8")
        else:
            _write_parquet(part, rows, about)


def write_beir(directory: Path, rows: Sequence[Judged]) -> dict[str, int]:
    """Write queries, corpus, qrels/test.tsv and shown.trec, the order as shown; return what was left out, by reason.

    Raises InputRefused where no texts are known, or something is in the directory; OSError.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputRefused(f"{directory}: it is there already; name a new directory")
    left_out = {"ids with white space": sum(not _plain(row) for row in rows)}
    rows = [row for row in rows if _plain(row)]
    left_out["pairs without a text"] = sum(row.query is None or row.text is None for row in rows)
    rows = [row for row in rows if row.query is not None and row.text is not None]
    if not rows:
        raise InputRefused(
            "no query and document have texts: set RERANK_FEEDBACK_TEXTS, or write a file and name your own texts to "
            "`rerank-fleet evaluate --queries FILE --corpus FILE --qrels FILE`"
        )
    (directory / "qrels").mkdir(parents=True)
    _write_jsonl(directory / "queries.jsonl", {row.query_id: row.query for row in rows})
    _write_jsonl(directory / "corpus.jsonl", {row.document_id: row.text for row in rows})
    with (directory / "shown.trec").open("w", encoding="utf-8") as file:
        file.writelines(_run_lines(rows))
    # The last one: without it the directory is no labelled set.
    with whole_beside(directory / "qrels" / "test.tsv") as part:
        lines = (f"{row.query_id}\t{row.document_id}\t{row.grade}\n" for row in rows)
        part.write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), "utf-8")
    return {reason: count for reason, count in left_out.items() if count}


def _run_lines(rows: Iterable[Judged]) -> Iterator[str]:
    for _, of_query in groupby(rows, key=lambda row: row.query_id):
        for rank, row in enumerate(sorted(of_query, key=lambda row: row.rank), start=1):
            yield f"{row.query_id} Q0 {row.document_id} {rank} {-rank} shown\n"


def _write_jsonl(path: Path, texts: Mapping[str, str | None]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for name, text in texts.items():
            file.write(json.dumps({"_id": name, "text": text}, ensure_ascii=False) + "\n")


def _write_parquet(part: Path, rows: Sequence[Judged], about: Mapping[str, Any]) -> None:
    pa = arrow(part)
    import pyarrow.parquet

    types = {"grade": pa.int32(), "weight": pa.float64(), "clicks": pa.int64(), "impressions": pa.int64()}
    types["rank"] = pa.float64()
    schema = pa.schema(
        [(each.name, types.get(each.name, pa.string())) for each in fields(Judged)],
        metadata={METADATA: json.dumps(about).encode()},
    )
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    pyarrow.parquet.write_table(table, part, compression="zstd")


def _plain(row: Judged) -> bool:
    return not (_WHITE.search(row.query_id) or _WHITE.search(row.document_id))
