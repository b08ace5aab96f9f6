"""`parquet`: rows come back with scores beside them, in the same bytes wherever a run is cut."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.bulk.formats.answering import answers
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.parquet.format import ParquetFormat
from rerank_producer.bulk.formats.rows import ReadOptions, Row, RowChunk, WriteOptions
from rerank_shared.errors import ConfigurationError, InputRefused

PLAIN = WriteOptions()
PAIRS = {"query": ["red fox"] * 2 + ["a dog"], "text": ["a", "red fox", "the dog"]}
LISTS = {"query": ["red fox", "a dog"], "documents": [["a", "red", "red fox"], ["the dog"]]}


def form(
    folder: Path,
    columns: Any,
    *,
    depth: int | None = None,
    write: WriteOptions = PLAIN,
    row_group: int | None = None,
    chunk_pairs: int = 2,
    **defaults: Any,
) -> ParquetFormat:
    path = folder / "input.parquet"
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, row_group_size=row_group)
    made = ParquetFormat(path, ReadOptions(defaults, depth), write)
    made.chunk_pairs = chunk_pairs
    return made


def rows(form: ParquetFormat) -> list[Row]:
    return [row for chunk in form.read(Position()) for row in chunk.rows]


def part_of(form: ParquetFormat, chunks: Sequence[RowChunk]) -> bytes:
    return b"".join(form.write(answers(chunk.rows), first=chunk.start == Position()) for chunk in chunks)


def table_of(form: ParquetFormat, folder: Path) -> pa.Table:
    """Return what a run writes."""
    part, target = folder / "out.part", folder / "out.parquet"
    part.write_bytes(part_of(form, list(form.read(Position()))))
    form.assemble(part, target)
    assert not part.exists()
    table = pq.read_table(target)
    target.unlink()
    return table


def test_pairs_come_back_with_scores(tmp_path: Path) -> None:
    ids = pa.array([7, None, 9], pa.int64())
    table = table_of(form(tmp_path, {"id": ids, **PAIRS}), tmp_path)
    assert table.column_names == ["id", "query", "text", "rerank_score", "rerank_rank", "rerank_error"]
    assert table.select(["id", "query", "text"]).to_pydict() == {"id": [7, None, 9], **PAIRS}
    assert table.select(["rerank_score", "rerank_rank", "rerank_error"]).to_pydict() == {
        "rerank_score": [-4.0, 4.0, 0.0],
        "rerank_rank": [2, 1, 1],
        "rerank_error": [None] * 3,
    }
    assert [field.type for field in table.schema][-3:] == [pa.float32(), pa.int32(), pa.string()]


def test_lists_come_back_with_lists(tmp_path: Path) -> None:
    lists = form(tmp_path, LISTS)
    assert lists.survey() == 2
    table = table_of(lists, tmp_path)
    assert table.select(["query", "documents"]).to_pydict() == LISTS
    assert table.column("rerank_score").to_pylist() == [[-4.0, 0.0, 4.0], [0.0]]
    assert table.column("rerank_rank").to_pylist() == [[3, 2, 1], [1]]


def test_rows_of_a_query_follow_each_other(tmp_path: Path) -> None:
    by_id = {"qid": [1, 1, 2, 1], "query": ["q"] * 4, "passage": ["a", "b", "c", "d"]}
    found = rows(form(tmp_path, by_id))
    assert [(row.number, row.request and row.request.contents()) for row in found] == [
        (1, ["a", "b"]),
        (3, ["c"]),
        (4, ["d"]),
    ]
    assert form(tmp_path, by_id).survey() is None
    assert [row.number for row in rows(form(tmp_path, PAIRS))] == [1, 3]


def test_scores_are_first_stage_scores(tmp_path: Path) -> None:
    scored = form(tmp_path, {**PAIRS, "score": [9.0, float("nan"), None]}, fusion="zscore", fusion_weight=2)
    first, second = rows(scored)
    assert first.request is not None
    assert second.request is not None
    assert (first.request.scores, second.request.scores) == ([9.0, None], [None])
    assert first.request.fusion == "zscore"
    lists = rows(form(tmp_path, {**LISTS, "scores": [[1, 2, 3], None]}))
    assert [row.request and row.request.scores for row in lists] == [[1.0, 2.0, 3.0], None]
    texts = rows(form(tmp_path, {**PAIRS, "score": ["a", "b", "c"]}))
    assert texts[0].request is not None
    assert texts[0].request.scores is None


def test_failed_rows_stay_with_their_error(tmp_path: Path) -> None:
    broken = {"qid": [1, 1, 2, 3], "query": ["q", "other", "q", None], "text": ["a", "b", "q", "d"]}
    found = form(tmp_path, broken)
    table = table_of(found, tmp_path)
    assert table.column("rerank_score").to_pylist() == [None, None, 4.0, None]
    assert table.column("rerank_rank").to_pylist() == [None, None, 1, None]
    first, second, third, fourth = table.column("rerank_error").to_pylist()
    assert first == second == "invalid_request: query: rows with one qid have different queries"
    assert (third, fourth) == (None, "invalid_request: query: it is null; a text expected")
    failed = [json.loads(line) for line in found.write_failed(answers(rows(found))).splitlines()]
    assert [(each["line"], each["rows"], each["input"]) for each in failed] == [
        (1, 2, {"query": "q", "documents": ["a", "b"]}),
        (4, 1, {"query": None, "documents": ["d"]}),
    ]


def test_lists_that_fail_have_null_for_lists(tmp_path: Path) -> None:
    broken = {"query": ["q"] * 4, "texts": [["q"], None, ["a", None], []], "scores": [[1.0, 2.0], None, None, None]}
    table = table_of(form(tmp_path, broken), tmp_path)
    assert table.column("rerank_score").to_pylist() == [None, None, None, []]
    messages = table.column("rerank_error").to_pylist()
    assert "scores: 2 for 1 documents" in messages[0]
    assert "texts: it is null" in messages[1]
    assert "texts: a text is null, the one of index 1" in messages[2]
    assert messages[3] is None


def test_depth_top_n_and_scores_alone(tmp_path: Path) -> None:
    deep = table_of(form(tmp_path, LISTS, depth=1), tmp_path)
    assert deep.column("rerank_score").to_pylist() == [[-4.0, None, None], [0.0]]
    assert deep.column("rerank_rank").to_pylist() == [[1, 2, 3], [1]]
    best = table_of(form(tmp_path, {"id": [1, 2, 3], **PAIRS}, write=WriteOptions(top_n=1, score_only=True)), tmp_path)
    assert best.to_pydict() == {
        "id": [2, 3],
        "rerank_score": [4.0, 0.0],
        "rerank_rank": [1, 1],
        "rerank_error": [None, None],
    }


def test_columns_of_any_type_come_back(tmp_path: Path) -> None:
    columns = {
        **PAIRS,
        "category": pa.array(["x", "y", "x"]).dictionary_encode(),
        "time": pa.array([1, 2, None], pa.timestamp("ns")),
        "day": pa.array([datetime.date(2026, 1, 2)] * 3),
        "vector": pa.array([[1.5, 2.5], None, []], pa.list_(pa.float32())),
        "times": pa.array([[1], [2], [3]], pa.list_(pa.timestamp("ns"))),
        "nested": [{"a": 1, "b": None}, None, {"a": None, "b": "x"}],
    }
    table = table_of(form(tmp_path, columns), tmp_path)
    for name in ("time", "day", "vector", "times", "nested"):
        assert table.column(name).equals(pa.chunked_array([pa.table(columns).column(name).combine_chunks()])), name
    assert table.column("category").to_pylist() == ["x", "y", "x"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a"]}, r"no text column is named query; its columns are text \(string\)"),
        (
            {"query": ["a"], "body": ["b"]},
            r"no documents are there: .*are query \(string\), body \(string\)",
        ),
        ({"query": [1], "text": ["b"]}, r"no text column is named query; its columns are query \(int64\)"),
        ({"query": ["a"], "text": ["b"], "rerank_rank": [1]}, "it has a column rerank_rank already"),
        (pa.Table.from_arrays([pa.array(["a"])] * 3, ["query", "text", "text"]), "two columns are named text"),
    ],
)
def test_other_columns_are_refused(tmp_path: Path, columns: Any, message: str) -> None:
    with pytest.raises(InputRefused, match=rf"input\.parquet: {message}"):
        form(tmp_path, columns).survey()


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "input.parquet"
    columns = {"question": ["q", "q"], "answer": ["a", "b"], "query": [1, 2], "text": ["x", "y"], "bm25": [2, 1]}
    pq.write_table(pa.table(columns), path)

    def rows_of(**named: str) -> list[Row]:
        return rows(ParquetFormat(path, ReadOptions(), PLAIN, named))

    (row,) = rows_of(query="question", text="answer", score="bm25")
    assert row.request is not None
    assert (row.request.query, row.request.contents(), row.request.scores) == ("q", ["a", "b"], [2.0, 1.0])
    assert len(rows_of(query="question", documents="answer", qid="bm25")) == 2
    for named, message in [
        ({"question": "question"}, "columns: 'question' is none that can be named; one of query, qid, text"),
        ({"query": "absent"}, "no column is named absent"),
        ({"query": "question", "text": "bm25"}, "a text column named bm25, or a column of lists"),
        ({"query": "question", "score": "text"}, "the column text is no number, but string"),
    ]:
        with pytest.raises(InputRefused, match=message):
            rows_of(**named)


def test_what_can_t_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "input.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    found = ParquetFormat(path, ReadOptions(), PLAIN)
    with pytest.raises(InputRefused, match="no Parquet file, or damaged"):
        list(found.read(Position()))
    with pytest.raises(InputRefused, match="standard input"):
        ParquetFormat(None, ReadOptions(), PLAIN)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'rerank-fleet\[bulk\]'"):
        found.survey()


def test_a_file_without_rows(tmp_path: Path) -> None:
    empty = pa.table({"query": pa.array([], pa.string()), "text": pa.array([], pa.string())})
    table = table_of(form(tmp_path, empty), tmp_path)
    assert (table.num_rows, table.column_names[-1]) == (0, "rerank_error")


def test_the_output_may_be_made_again(tmp_path: Path) -> None:
    found = form(tmp_path, PAIRS)
    part, target = tmp_path / "out.part", tmp_path / "out"
    data = part_of(found, list(found.read(Position())))
    part.write_bytes(data)
    found.assemble(part, target)
    whole = target.read_bytes()
    # As after a kill before the stream was removed; after one while the file was written; and after all was done.
    part.write_bytes(data)
    (tmp_path / "out.tmp").write_bytes(b"half")
    found.assemble(part, target)
    found.assemble(part, target)
    assert target.read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input.parquet", "out"]
    target.unlink()
    with pytest.raises(FileNotFoundError):
        found.assemble(part, target)


QIDS = st.lists(st.sampled_from([1, 2, 3]), max_size=14)


@settings(max_examples=30)
@given(qids=QIDS, row_group=st.integers(1, 6), size=st.integers(1, 5), lists=st.booleans())
def test_a_run_may_be_cut_behind_any_chunk(
    tmp_path_factory: pytest.TempPathFactory, qids: list[int], row_group: int, size: int, lists: bool
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    texts: Any = [["a", None][: qid % 3] for qid in qids] if lists else ["red" if qid % 2 else None for qid in qids]
    column = pa.array(texts, pa.list_(pa.string()) if lists else pa.string())
    table = pa.table(
        {
            "qid": pa.array(qids, pa.int64()),
            "query": pa.array([f"red {qid}" for qid in qids], pa.string()),
            "documents" if lists else "text": column,
            "note": pa.array([None if qid == 2 else {"n": qid} for qid in qids], pa.struct([("n", pa.int8())])),
        }
    )

    def made() -> ParquetFormat:
        return form(folder, table, row_group=row_group, chunk_pairs=size)

    def whole(data: bytes) -> bytes:
        (folder / "part").write_bytes(data)
        made().assemble(folder / "part", folder / "target")
        return (folder / "target").read_bytes()

    chunks = list(made().read(Position()))
    expected = whole(part_of(made(), chunks))
    assert sum(row.context.batch.num_rows for chunk in chunks for row in chunk.rows) == len(qids)
    for place, chunk in enumerate(chunks, start=1):
        following = list(made().read(chunk.end))
        assert [(each.start, each.end, each.digest) for each in following] == [
            (each.start, each.end, each.digest) for each in chunks[place:]
        ]
        assert whole(part_of(made(), chunks[:place]) + part_of(made(), following)) == expected


def test_a_chunk_s_digest_is_that_of_its_values(tmp_path: Path) -> None:
    def digests(**changed: Any) -> list[bytes]:
        return [chunk.digest for chunk in form(tmp_path, {**PAIRS, **changed}).read(Position())]

    assert digests() == digests()
    assert digests(text=["a", "red fox", "another"])[0] == digests()[0]
    assert digests(text=["a", "red fox", "another"])[1] != digests()[1]
    assert digests(note=["x", "y", "z"])[0] != digests(note=["x", "", "z"])[0]
