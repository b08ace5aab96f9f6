"""Runs: read in first-stage order, refused where they are not what they say, and written as every evaluator reads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ir_measures
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.bulk.formats.answering import check_resumed, output
from rerank_producer.bulk.formats.chunks import Position
from rerank_producer.bulk.formats.rows import Answered, ReadOptions, Row, WriteOptions
from rerank_producer.bulk.formats.runs.run import RunFormat, RunTexts
from rerank_producer.bulk.formats.runs.trec import beir, beir_files, msmarco, opened_texts, trec
from rerank_shared.contract.schemas import ModelInfo, RerankResponse, Result, Timings, Usage
from rerank_shared.errors import ConfigurationError, InputRefused, InvalidRequest

CORPUS = {f"d{number}": f"{'fox ' * (number % 3)}and {number}" for number in range(30)}
QUERIES = {"q1": "fox", "q2": "and fox", "q3": "7"}
PLAIN = WriteOptions()


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> RunTexts:
    folder = tmp_path_factory.mktemp("texts")
    for name, held in (("queries.tsv", QUERIES), ("corpus.tsv", CORPUS)):
        (folder / name).write_text("".join(f"{id}\t{text}\n" for id, text in held.items()))
    return opened_texts(folder / "queries.tsv", folder / "corpus.tsv", folder / "cache")


def form(
    folder: Path,
    texts: RunTexts,
    *lines: str,
    kind: Any = trec,
    depth: int | None = None,
    write: WriteOptions = PLAIN,
    **defaults: Any,
) -> RunFormat:
    (folder / "run").write_text("".join(f"{line}\n" for line in lines))
    made = kind(folder / "run", texts, ReadOptions(defaults, depth), write)
    assert isinstance(made, RunFormat)
    return made


def rows(form: RunFormat) -> list[Row]:
    return [row for chunk in form.read(Position()) for row in chunk.rows]


def lines_of(form: RunFormat) -> list[list[str]]:
    written, failed = output(form, list(form.read(Position())))
    assert failed == b""
    return [line.split(" ") for line in written.decode().splitlines()]


def test_a_run_is_reranked(tmp_path: Path, texts: RunTexts) -> None:
    run = form(tmp_path, texts, "q1 Q0 d1 1 9.5 bm25", "q1\tQ0\td3\t2\t8\tbm25", "q2 Q0 d2 1 1 x", "q2 Q0 d3 2 7 x")
    found = lines_of(run)
    assert [line[:4] for line in found] == [
        ["q1", "Q0", "d1", "1"], ["q1", "Q0", "d3", "2"], ["q2", "Q0", "d2", "1"], ["q2", "Q0", "d3", "2"],
    ]  # fmt: skip
    assert [line[4:] for line in found[:2]] == [["4", "rerank-fleet"], ["-4", "rerank-fleet"]]
    assert run.survey() == 2


def test_the_first_stage_s_order_is_by_score_and_then_by_line(tmp_path: Path, texts: RunTexts) -> None:
    run = form(tmp_path, texts, *(f"q1 Q0 d{n} 1 {score} x" for n, score in [(1, 2), (5, 3), (4, 2), (7, -1), (2, 3)]))
    (row,) = rows(run)
    assert row.request is not None
    assert [each.id for each in row.request.documents if not isinstance(each, str)] == ["d5", "d2", "d1", "d4", "d7"]
    assert row.request.first_stage_scores() == [3.0, 3.0, 2.0, 2.0, -1.0]
    assert row.number == 1


def test_documents_behind_the_depth_stand_below(tmp_path: Path, texts: RunTexts) -> None:
    # What is not reranked needs no text.
    lines = ["q1 Q0 d3 1 9 x", "q1 Q0 d1 2 8 x", "q1 Q0 absent 3 7 x", "q1 Q0 d2 4 6 x"]
    found = lines_of(form(tmp_path, texts, *lines, depth=2))
    assert [line[2] for line in found] == ["d1", "d3", "absent", "d2"]
    scores = [float(line[4]) for line in found]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4
    cut = lines_of(form(tmp_path, texts, *lines, depth=2, write=WriteOptions(top_n=3, tag="mine")))
    assert [line[2:4] + line[5:] for line in cut] == [["d1", "1", "mine"], ["d3", "2", "mine"], ["absent", "3", "mine"]]


def test_fused_scores_are_written(tmp_path: Path, texts: RunTexts) -> None:
    lines = ["q1 Q0 d1 1 1 x", "q1 Q0 d3 2 90 x"]
    found = lines_of(form(tmp_path, texts, *lines, fusion="zscore", fusion_weight=9))
    assert [line[2] for line in found] == ["d3", "d1"]
    assert float(found[0][4]) > 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 Q0 absent 1 1 x", r"1 of 2 documents are not in .*corpus.tsv: 'absent'"),
        ("q1 Q0 d1 1 1 x", "the document 'd1' stands twice for the query 'q1'"),
        ("q1 Q0 d2 1 high x", "line 2: score: a finite number expected, not 'high'"),
        ("q1 Q0 d2 1 nan x", "line 2: score: a finite number"),
        ("q1 Q0 d2 1 1 x y", "line 2: `qid Q0 docno rank score tag` expected, not 7 fields"),
        (f"q1 Q0 {'d' * 2_000} 1 1 x", "documents are not in"),
    ],
)
def test_a_query_that_can_t_be_asked_is_told(tmp_path: Path, texts: RunTexts, line: str, message: str) -> None:
    run = form(tmp_path, texts, "q1 Q0 d1 1 2 x", line, "q2 Q0 d2 1 2 x")
    bad, good = rows(run)
    assert isinstance(bad.error, InvalidRequest)
    assert bad.request is None
    assert good.error is None
    written, failed = output(run, list(run.read(Position())))
    assert written.startswith(b"q2 Q0 d2 1 ")
    (told,) = map(json.loads, failed.splitlines())
    assert told["line"] == 1
    assert told["input"] == f"q1 Q0 d1 1 2 x\n{line}"
    assert re.search(message, told["error"]["message"])


def test_what_is_missing_is_named_with_its_count(tmp_path: Path, texts: RunTexts) -> None:
    run = form(tmp_path, texts, *(f"q1 Q0 {name} 1 1 x" for name in ("a", "d1", "b", "c", "e", "f")), "q9 Q0 d1 1 1 x")
    documents, query = rows(run)
    assert str(documents.error) == f"5 of 6 documents are not in {texts.corpus.source}: 'a', 'b', 'c' and 2 more"
    assert str(query.error) == f"the query 'q9' is not in {texts.queries.source}"


def test_lines_of_a_query_that_are_not_together_are_refused(tmp_path: Path, texts: RunTexts) -> None:
    run = form(tmp_path, texts, "q1 Q0 d1 1 1 x", "", "q1 Q0 d2 1 1 x", "q2 Q0 d1 1 1 x", "q1 Q0 d3 1 1 x")
    with pytest.raises(InputRefused, match=r"query 'q1' are not together.* line 1 and again on line 5.*sort -s -k1,1"):
        run.survey()


def test_a_file_that_is_no_run_is_refused(tmp_path: Path, texts: RunTexts) -> None:
    with pytest.raises(InputRefused, match=r"run, line 1: .*expected, not 2 fields; it reads b'\{\"query\": 1\}'"):
        form(tmp_path, texts, '{"query": 1}').survey()
    assert form(tmp_path, texts).survey() == 0


def test_a_run_comes_from_a_file_and_has_a_tag(tmp_path: Path, texts: RunTexts) -> None:
    with pytest.raises(InputRefused, match="standard input: a run is read twice"):
        trec(None, texts, ReadOptions(), PLAIN)
    with pytest.raises(ConfigurationError, match="tag: one word"):
        form(tmp_path, texts, write=WriteOptions(tag="two words"))
    assert form(tmp_path, texts).inputs() == {
        "input": tmp_path / "run", "queries": texts.queries.source, "corpus": texts.corpus.source,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "order", "scores"),
    [
        (["q1\td2", "q1\td1"], ["d2", "d1"], [None, None]),
        (["q1\td2\t2", "q1\td1\t1"], ["d1", "d2"], [None, None]),
        (["q1\td2\t2.5", "q1\td1\t3"], ["d1", "d2"], [3.0, 2.5]),
        (["q1\td2\t2\t0.5", "q1\td1\t1\t0.75"], ["d1", "d2"], [0.75, 0.5]),
    ],
)
def test_pairs_of_ms_marco(
    tmp_path: Path, texts: RunTexts, lines: list[str], order: list[str], scores: list[float | None]
) -> None:
    run = form(tmp_path, texts, *lines, kind=msmarco)
    (row,) = rows(run)
    assert row.request is not None
    assert [each.id for each in row.request.documents if not isinstance(each, str)] == order
    assert row.request.first_stage_scores() == scores
    # Both get the same score, so the first stage decides.
    assert [line[1:3] for line in lines_of(run)] == [["Q0", name] for name in order]
    assert run.name == "msmarco"


def test_a_directory_of_beir(tmp_path: Path, texts: RunTexts) -> None:
    with pytest.raises(InputRefused, match=r"it has no queries\.jsonl"):
        beir_files(tmp_path)
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "fox"}\n')
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "title": "A fox", "text": "in a title"}\n')
    opened = opened_texts(*beir_files(tmp_path), tmp_path / "cache")
    (row,) = rows(form(tmp_path, opened, "q1 Q0 d1 1 1 x", kind=beir))
    assert row.request is not None
    assert row.request.contents() == ["A fox in a title"]


GROUPS = st.lists(st.integers(1, 6), max_size=8)


@settings(max_examples=30)
@given(sizes=GROUPS, bytes_=st.integers(1, 120), blank=st.booleans())
def test_a_run_may_be_cut_behind_any_chunk(
    tmp_path_factory: pytest.TempPathFactory, texts: RunTexts, sizes: list[int], bytes_: int, blank: bool
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    lines = []
    for place, size in enumerate(sizes):
        lines += [f"q{place % 4} Q0 d{number} 1 {number % 2} x" for number in range(size)]
        lines += [""] * blank
    found = check_resumed(lambda: form(folder, texts, *lines, depth=3), bytes_)
    assert [len(row.source.splitlines()) for chunk in found for row in chunk.rows] == sizes


# Scores of documents whose ids sort one way or the other.
TIED = st.lists(st.sampled_from([2.5, 1.0, 1.0 + 1e-9, 0.0, -3.0]), min_size=1, max_size=10)


def tied_run(folder: Path, texts: RunTexts, scores: Sequence[float], rising: bool, write: WriteOptions = PLAIN) -> Path:
    """Write the run of a query whose documents got these scores; their ids rise with the line, or fall."""
    names = [f"d{10 + place if rising else 29 - place}" for place in range(len(scores))]
    run = form(folder, texts, *(f"q1 Q0 {name} 1 1 x" for name in names), write=write)
    (row,) = rows(run)
    ranked = sorted(range(len(scores)), key=lambda place: -scores[place])
    results = [Result(index=place, logit=scores[place], relevance_score=0.5) for place in ranked]
    answer = RerankResponse(
        id="", results=results, complete=True, model=ModelInfo(name="m"), timings=Timings(), usage=Usage()
    )
    path = folder / "written"
    path.write_bytes(run.write([Answered(row, answer)], first=True))
    return path


def names_in(path: Path) -> list[str]:
    return [line.split(" ")[2] for line in path.read_text().splitlines()]


def places(path: Path) -> list[list[int]]:
    """Return the place of each document of the file by each evaluator: the reciprocal rank where it alone is judged."""
    found = []
    measure = ir_measures.RR @ 10
    for name in names_in(path):
        qrels = {"q1": {name: 1}}
        with path.open() as file:
            parsed = pytrec_eval.parse_run(file)
        measured = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(parsed)
        read: Any = ir_measures.read_trec_run
        others = [
            provider.calc_aggregate([measure], qrels, read(str(path)))[measure]
            for provider in (ir_measures, ir_measures.pytrec_eval, ir_measures.msmarco)
        ]
        found.append([round(1 / value) for value in (measured["q1"]["recip_rank"], *others)])
    return found


@given(scores=TIED, rising=st.booleans())
def test_evaluators_read_the_order_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, texts: RunTexts, scores: list[float], rising: bool
) -> None:
    path = tied_run(tmp_path_factory.mktemp("tied"), texts, scores, rising)
    assert places(path) == [[place] * 4 for place in range(1, len(scores) + 1)]


def test_ties_that_are_kept_are_read_by_id(tmp_path: Path, texts: RunTexts) -> None:
    """So the test above can fail: each evaluator that finds a tie breaks it by id, and not all the same way."""
    path = tied_run(tmp_path, texts, [1.0, 1.0, 1.0], True, WriteOptions(keep_ties=True))
    assert names_in(path) == ["d10", "d11", "d12"]
    assert places(path) == [[3, 1, 3, 1], [2, 2, 2, 2], [1, 3, 1, 3]]
