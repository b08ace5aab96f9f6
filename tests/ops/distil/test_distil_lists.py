"""What a student learns from: lists by bands, and that nothing leaks to what is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank_ops.distil.apart import Question, kept_apart
from rerank_ops.distil.learned import FEWEST_LISTS, Learned, Wanted, learned_lists
from rerank_ops.distil.lists import BAND, BELOW, TOP, Known, banded
from rerank_ops.distil.material import Files, read_material
from rerank_ops.evaluate.first_stages import bm25
from rerank_ops.evaluate.oddities import Oddities
from rerank_shared.errors import ConfigurationError, InputRefused
from support.distil import write_corpus


def learned(files: Files, oddities: Oddities, wanted: Wanted | None = None) -> Learned:
    material = read_material(files, oddities)
    texts = {name: document.whole for name, document in material.documents.items()}
    return learned_lists(material, lambda queries, k: bm25(texts, queries, k).hits, wanted or Wanted(80, 20), oddities)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus.jsonl")


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_queries_that_share_a_document_or_most_words_are_not_apart() -> None:
    others = [Question("lacks inductive properties", frozenset({"d1"}))]
    questions = {
        "shared": Question("something else", frozenset({"d1", "d2"})),
        "alike": Question("shows inductive properties", frozenset({"d3"})),
        "apart": Question("properties of water", frozenset({"d4"})),
    }
    apart = kept_apart(questions, others)
    assert (apart.kept, apart.shared, apart.alike) == (("apart",), ("shared",), ("alike",))
    assert kept_apart(questions, []).kept == tuple(questions)


def test_a_list_has_the_best_some_from_below_and_what_answers() -> None:
    hits = tuple((f"d{n}", 100.0 - n) for n in range(60))
    texts = {f"d{n}": f"text {n}" for n in range(70)}
    known = Known("query", "real", {"d69": 1, "d3": 0})
    found = banded("q", known, hits, texts, seed=0)
    assert found is not None
    ids = [each.id for each in found.candidates]
    assert len(ids) == TOP + BELOW + 1
    assert ids[:TOP] == ["d0", "d1", "d2", "d3"]
    assert all(BAND[0] <= int(name[1:]) + 1 <= BAND[1] for name in ids[TOP:-1])
    last = found.candidates[-1]
    # The first stage did not find what answers: it counts as the last one that it found.
    assert (last.id, last.first, last.grade) == ("d69", hits[-1][1], 1)
    assert found.judged
    assert found == banded("q", known, hits, texts, seed=0)
    assert banded("q", known, hits[:3], texts, seed=0) is None


def test_the_source_of_a_pseudo_query_stands_without_its_sentence() -> None:
    hits = tuple((f"d{n}", 10.0 - n) for n in range(8))
    known = Known("query", "sentence", {}, source="d2", passage="what is left")
    found = banded("q", known, hits, {name: f"whole {name}" for name, _ in hits}, seed=0)
    assert found is not None
    assert [(each.id, each.text) for each in found.candidates if each.source] == [("d2", "what is left")]


def test_nothing_that_is_learned_answers_a_held_out_query(corpus: Path) -> None:
    found = learned(Files(corpus), Oddities())
    sources = [{each.id for each in one.candidates if each.source} for one in found.training]
    held = set().union(*({each.id for each in one.candidates if each.source} for one in found.held_out))
    assert len(found.training) >= FEWEST_LISTS
    assert len(found.held_out) == 20
    assert not any(own & held for own in sources)
    assert found == learned(Files(corpus), Oddities())


def test_training_is_kept_apart_from_test_queries(corpus: Path, tmp_path: Path) -> None:
    queries = written(tmp_path / "q.tsv", [f"q{n}\tword{3 * n} word{3 * n + 1} again" for n in range(20)])
    qrels = written(tmp_path / "q.txt", [f"q{n} 0 d{6 * n} 1" for n in range(20)])
    tests = written(tmp_path / "t.tsv", ["t0\tnothing in common", "t1\tword9 word10 again please"])
    judged = written(tmp_path / "t.txt", ["t0 0 d0 1", "t1 0 d119 1"])
    oddities = Oddities()
    found = learned(Files(corpus, queries, qrels, tests, judged), oddities)
    counted = {each.what: each.examples for each in oddities.listed()}
    assert counted["queries that share a relevant document with a test query, left out"] == ("q0",)
    assert counted["queries nearly the same as a test query, left out"] == ("q3",)
    names = {each.id for each in (*found.training, *found.held_out)}
    assert not names & {"q0", "q3"}
    # What answers a test query is the source of no pseudo-query.
    assert not any(name.endswith((":d0", ":d119")) for name in names)
    # Judged queries are held out first, and real ones are learned before others.
    assert all(each.judged for each in found.held_out[:17])


def test_too_few_queries_are_refused_with_what_took_them_away(tmp_path: Path) -> None:
    corpus = written(tmp_path / "c.tsv", ["d1\tshort", "d2\t ", "d1\tagain"])
    with pytest.raises(
        InputRefused, match=r"too few queries.*: 0 to train on and 0 held out.*ids given twice.*1 \(d1\)"
    ):
        learned(Files(corpus), Oddities())


@pytest.mark.parametrize(
    ("corpus_lines", "queries", "qrels", "told"),
    [
        (["d1\t "], None, None, "no document has a text"),
        (["d1\ttext"], ["q1\t "], None, "no query has a text"),
        (["d1\ttext"], ["q1\ttext"], ["other 0 d1 1"], "judges none of the queries"),
        (["d1\ttext", "no tab"], None, None, "line 2: an id, a tab and a text expected"),
    ],
)
def test_odd_files_are_refused(
    corpus_lines: list[str], queries: list[str] | None, qrels: list[str] | None, told: str, tmp_path: Path
) -> None:
    files = Files(
        written(tmp_path / "c", corpus_lines),
        None if queries is None else written(tmp_path / "q", queries),
        None if qrels is None else written(tmp_path / "j", qrels),
    )
    with pytest.raises((InputRefused, ConfigurationError), match=told):
        read_material(files, Oddities())
