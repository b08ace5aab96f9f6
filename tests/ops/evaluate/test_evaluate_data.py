"""Data of an evaluation: which queries count, and that each oddity is counted, never a trace."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from rerank_ops.evaluate.dataset import labelled_queries
from rerank_ops.evaluate.oddities import Oddities, Oddity
from rerank_ops.evaluate.prepared import Prepared, named_run, prepared
from rerank_ops.evaluate.sources import Files, source_of
from rerank_shared.errors import ConfigurationError, InputRefused, RerankError

QUERIES = "q1\tberlin people\nq2\tpotato\nq3\t \nq4\tberlin\nq5\twater\nq1\tanother text\nq6\txqzwv\n"
CORPUS = "d1\tBerlin has people\nd2\tA potato\nd3\t\nd1\tgiven again\nd4\tboil a potato in water\n"
QRELS = "q1 0 d1 1\nq2 0 d2 1\nq2 0 d4 2\nq2 0 d4 1\nq3 0 d1 1\nq4 0 d1 0\nghost 0 d1 1\nq6 0 gone 1\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def files(folder: Path, *, queries: str = QUERIES, corpus: str = CORPUS, qrels: str = QRELS) -> Files:
    return Files(
        "tiny",
        written(folder / "queries.tsv", queries),
        written(folder / "corpus.tsv", corpus),
        written(folder / "qrels.txt", qrels),
    )


def ready(source: Files, *stages: str, oddities: Oddities, k: int = 10) -> Prepared:
    return prepared(source, stages or ["bm25"], [], k=k, limit=None, oddities=oddities)


def test_queries_count_that_have_a_text_and_a_relevant_document(tmp_path: Path) -> None:
    labelled = labelled_queries(files(tmp_path), None, Oddities())
    assert labelled.queries == {"q1": "berlin people", "q2": "potato", "q6": "xqzwv"}
    assert labelled.qrels == {"q1": {"d1": 1}, "q2": {"d2": 1, "d4": 1}, "q6": {"gone": 1}}


def test_all_that_is_odd_is_counted(tmp_path: Path) -> None:
    oddities = Oddities()
    ready(files(tmp_path), oddities=oddities)
    assert {each.what: (each.count, each.examples) for each in oddities.listed()} == {
        "pairs judged twice with different grades, of which the last counts": (1, ("q2 d4",)),
        "queries without text, left out": (1, ("q3",)),
        "query ids given twice, of which the first counts": (1, ("q1",)),
        "judged queries without text, left out": (2, ("q3", "ghost")),
        "queries without judgements, left out": (1, ("q5",)),
        "queries without a relevant document, left out": (1, ("q4",)),
        "documents without text": (1, ("d3",)),
        "document ids given twice, of which the first counts": (1, ("d1",)),
        "relevant documents that are not in the corpus": (1, ("gone",)),
        "queries for which bm25 finds nothing": (1, ("q6",)),
    }


def test_runs_may_be_odd_too(tmp_path: Path) -> None:
    """A document twice, one that the corpus lacks, an empty one; and a query that does not count is no oddity."""
    run = "q1 Q0 d1 1 1 t\nq1 Q0 d3 1 3 t\nq1 Q0 nowhere 2 2 t\nq1 Q0 d1 9 9 t\nq5 Q0 d1 1 1 t\n"
    path, oddities = written(tmp_path / "mine.v2.trec", run), Oddities()
    found = ready(files(tmp_path), str(path), oddities=oddities)
    assert found.stage.name == "mine"
    assert found.stage.hits["q1"] == (("d3", 3.0), ("d1", 1.0))
    (first, *_) = found.candidates.queries
    assert [(each.id, each.text, each.score) for each in first.candidates] == [
        ("d3", "", 3.0), ("d1", "Berlin has people", 1.0),
    ]  # fmt: skip
    counts = {each.what: each.examples for each in oddities.listed()}
    assert counts["documents that stand twice for a query in mine, of which the first counts"] == ("q1 d1",)
    assert counts["documents of mine that are not in the corpus, left out"] == ("nowhere",)
    assert counts["queries for which mine finds nothing"] == ("q2", "q6")


def test_several_first_stages_are_fused_and_each_stays_a_row(tmp_path: Path) -> None:
    """By hand: d4 is second in one list and first in the other; d2 first in one alone."""
    path = written(tmp_path / "dense.trec", "q2 Q0 d4 1 0.9 t\n")
    found = ready(files(tmp_path), "bm25", f"vectors={path}", oddities=Oddities())
    assert [(system.name, system.kind) for system in found.systems] == [
        ("bm25", "first stage"), ("vectors", "first stage"), ("rrf", "first stage"),
        ("perfect order of rrf's 10", "ceiling"),
    ]  # fmt: skip
    bm25, vectors, rrf = (system.run["q2"] for system in found.systems[:3])
    assert (bm25, vectors, rrf) == (("d2", "d4"), ("d4",), ("d4", "d2"))
    assert dict(found.stage.hits["q2"]) == pytest.approx({"d4": 1 / 61 + 1 / 62, "d2": 1 / 61})


def test_only_what_stands_in_the_first_k_is_ranked(tmp_path: Path) -> None:
    found = ready(files(tmp_path), oddities=Oddities(), k=1)
    assert found.stage.hits["q2"][0][0] == "d2"
    assert {query.id: len(query.candidates) for query in found.candidates.queries} == {"q1": 1, "q2": 1, "q6": 0}
    assert found.systems[-1].run["q2"] == ["d2"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"qrels": "q1 0 d1\n"}, "qrels.txt, line 1"),
        ({"queries": "q1 no tab\n"}, "queries.tsv"),
        ({"corpus": '{"_id": "d1"}\n'}, "corpus.tsv, line 1"),
        ({"qrels": "Q1 0 d1 1\n"}, "no query has a text and a relevant document"),
        ({"corpus": "d" * 1_025 + "\tBerlin has people\n"}, "has 1,025 characters"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(changed: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(RerankError, match=said):
        ready(files(tmp_path, **changed), oddities=Oddities())


@pytest.mark.parametrize(
    ("line", "said"),
    [("q1 Q0 d1\n", "line 1: `qid Q0"), ("q1 Q0 d1 1 x t\n", "line 1: score"), ("q5 Q0 d1 1 1 t\n", "none")],
)
def test_a_wrong_run_is_named_with_its_line(line: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=said):
        ready(files(tmp_path), str(written(tmp_path / "run.trec", line)), oddities=Oddities())


def test_a_run_of_another_system_that_lacks_queries_is_told(tmp_path: Path) -> None:
    run, oddities = str(written(tmp_path / "mine.trec", "q1 Q0 d1 1 1 t\n")), Oddities()
    prepared(files(tmp_path), ["bm25"], [run], k=10, limit=None, oddities=oddities)
    assert Oddity("queries for which mine finds nothing", 2, ("q2", "q6")) in oddities.listed()


@pytest.mark.parametrize("stage", ["bm25", "stage"])
def test_documents_of_another_system_that_the_corpus_lacks_are_told_and_count(stage: str, tmp_path: Path) -> None:
    written(tmp_path / "stage.trec", "q1 Q0 d1 1 1 t\nq2 Q0 d2 1 1 t\n")
    run, oddities = str(written(tmp_path / "mine.trec", "q1 Q0 nowhere 1 2 t\nq1 Q0 d2 2 1 t\n")), Oddities()
    stages = [stage if stage == "bm25" else str(tmp_path / "stage.trec")]
    found = prepared(files(tmp_path), stages, [run], k=10, limit=None, oddities=oddities)
    assert Oddity("documents of mine that are not in the corpus", 1, ("nowhere",)) in oddities.listed()
    (mine,) = (system for system in found.systems if system.name == "mine")
    assert mine.run["q1"] == ("nowhere", "d2")


def test_a_corpus_without_any_word_gives_no_candidates(tmp_path: Path) -> None:
    for corpus in ("", "d1\t \nd2\t.\n"):
        oddities = Oddities()
        assert not ready(files(tmp_path, corpus=corpus), oddities=oddities).stage.documents()
        assert "queries for which bm25 finds nothing" in {each.what for each in oddities.listed()}


def test_two_systems_never_share_a_name(tmp_path: Path) -> None:
    run = str(written(tmp_path / "bm25.trec", "q1 Q0 d1 1 1 t\n"))
    with pytest.raises(ConfigurationError, match="would be called 'bm25'"):
        ready(files(tmp_path), "bm25", run, oddities=Oddities())
    assert named_run(f"other={run}") == ("other", Path(run))


def test_a_directory_needs_its_judgements(tmp_path: Path) -> None:
    written(tmp_path / "queries.jsonl", "{}")
    with pytest.raises(InputRefused, match=r"corpus\.jsonl"):
        source_of(str(tmp_path))
    written(tmp_path / "corpus.jsonl", "{}")
    with pytest.raises(InputRefused, match=r"--qrels$"):
        source_of(str(tmp_path))
    (tmp_path / "qrels").mkdir()
    written(tmp_path / "qrels" / "dev.tsv", QRELS)
    with pytest.raises(InputRefused, match=r"--qrels, such as .*dev\.tsv$"):
        source_of(str(tmp_path))
    (tmp_path / "qrels" / "test.tsv.gz").write_bytes(gzip.compress(QRELS.encode()))
    assert len(list(source_of(str(tmp_path)).judgements())) == 8
    assert source_of(str(tmp_path), tmp_path / "mine").name == tmp_path.name


def test_a_set_of_a_package_that_is_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rerank_ops.evaluate.sources.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install ir_datasets"):
        source_of("ir_datasets:vaswani")


def test_an_oddity_shows_a_few_names() -> None:
    oddities = Oddities()
    oddities.note("things", map(str, range(1_234)))
    assert list(map(str, oddities.listed())) == ["things: 1,234 (0, 1, 2, …)"]
    assert str(Oddity("things", 1, ("a",))) == "things: 1 (a)"
