"""Where the text of a shortened model comes from: files of requests, directories, and what is wrong in them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from rerank_ops.export.depth.candidate_list import LONGEST, CandidateList
from rerank_ops.export.depth.text_sources import read_lists
from rerank_shared.errors import ConfigurationError, InputRefused

PLANETS = ("mercury", "venus", "earth", "mars", "jupiter", "saturn", "uranus", "neptune")
THINGS = ("moons", "storms", "rings", "oceans", "deserts", "clouds", "seasons", "orbits")


def lines(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def read(*paths: Path, wanted: int = 100) -> list[CandidateList]:
    return read_lists(paths, wanted, lambda _: None)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Sixty-four documents of a title and three sentences each."""
    records = [
        {
            "_id": f"{planet}-{thing}",
            "title": f"About the {thing} of {planet}",
            "text": f"Astronomers describe what the {thing} of {planet} look like through a small telescope. "
            f"A probe was sent long ago to see the {thing} near {planet} and came back with pictures of them. "
            f"Nobody knows how old the {thing} really are, whatever the books of {planet} say.",
        }
        for planet in PLANETS
        for thing in THINGS
    ]
    lines(tmp_path / "corpus.jsonl", *records)
    return tmp_path


class TestRequests:
    def test_a_requests_own_list_is_taken_in_its_order(self, tmp_path: Path) -> None:
        documents = [f"text {n}" for n in range(60)]
        path = lines(tmp_path / "requests.jsonl", {"id": "7", "query": "which?", "documents": documents})
        assert read(path) == [CandidateList("which?", tuple(documents[:LONGEST]))]

    def test_a_document_a_line_makes_a_list_of_the_lines_of_a_query(self, tmp_path: Path) -> None:
        pairs = [{"query": "which?", "document": f"text {n}"} for n in range(25)]
        path = lines(tmp_path / "pairs.jsonl", *pairs, pairs[0])
        assert read(path) == [CandidateList("which?", tuple(f"text {n}" for n in range(25)))]

    def test_short_lists_are_filled_up_from_the_other_requests(self, tmp_path: Path) -> None:
        first = {"query": "red apples", "documents": ["apples are red", "pears"]}
        second = {"query": "blue", "documents": [{"text": "red things"}, {"text": "blue apples"}, {"text": "the sea"}]}
        one, other = read(lines(tmp_path / "requests.jsonl", first, second))
        assert one.documents[:2] == ("apples are red", "pears")
        assert set(one.documents[2:]) == {"red things", "blue apples"}
        assert other.documents == ("red things", "blue apples", "the sea")

    def test_it_may_be_compressed(self, tmp_path: Path) -> None:
        path = tmp_path / "requests.jsonl.gz"
        path.write_bytes(gzip.compress(b'{"query": "which?", "documents": ["one", "two"]}\n\n'))
        assert [each.query for each in read(path)] == ["which?"]

    @pytest.mark.parametrize(
        ("line", "told"),
        [
            ("which?", "line 2: not JSON"),
            ('{"query": "which?"}', "line 2: documents: missing"),
            ('["which?"]', "line 2: an object"),
            ('{"query": "which?", "documents": []}', "line 2: documents"),
            (
                '{"query": "which?", "documents": [{"token_ids": [5, 6]}], "tokenizer_digest": "%s"}' % ("0" * 64),
                "texts",
            ),
        ],
    )
    def test_a_wrong_line_is_named(self, line: str, told: str, tmp_path: Path) -> None:
        path = tmp_path / "requests.jsonl"
        path.write_text('{"query": "apples", "documents": ["red apples"]}\n' + line + "\n")
        with pytest.raises(ConfigurationError, match=told):
            read(path)

    def test_an_empty_file_is_told(self, tmp_path: Path) -> None:
        path = tmp_path / "requests.jsonl"
        path.write_text("\n")
        with pytest.raises(ConfigurationError, match="has no request"):
            read(path)


class TestDirectories:
    def test_queries_that_are_judged_are_left_for_measuring(self, corpus: Path) -> None:
        queries = [{"_id": name, "text": f"what about the {name}?"} for name in ("rings", "storms", "oceans")]
        lines(corpus / "queries.jsonl", *queries)
        (corpus / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nrings\tsaturn-rings\t1\n")
        found = read(corpus, wanted=2)
        assert [each.query for each in found] == ["what about the storms?", "what about the oceans?"]
        assert not any(each.made for each in found)
        assert all("storms" in document for document in found[0].documents)

    def test_what_lacks_is_made_of_the_corpus(self, corpus: Path) -> None:
        lines(corpus / "queries.jsonl", {"_id": "1", "text": "what about the rings?"})
        found = read(corpus, wanted=20)
        assert [each.made for each in found] == [False] + [True] * 19
        assert found == read(corpus, wanted=20)

    def test_a_sentence_that_is_a_query_does_not_stand_in_its_list(self, corpus: Path) -> None:
        found = [each for each in read(corpus, wanted=60) if each.made and each.query.endswith(".")]
        assert found
        assert not any(each.query in document for each in found for document in each.documents)

    def test_without_a_corpus_it_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"has no corpus\.jsonl"):
            read(tmp_path)

    def test_a_wrong_line_is_named(self, corpus: Path) -> None:
        lines(corpus / "corpus.jsonl", {"_id": "1", "text": "one"}, {"_id": "2"})
        with pytest.raises(InputRefused, match="line 2"):
            read(corpus)


def test_a_query_of_two_sources_has_the_list_of_the_first(tmp_path: Path) -> None:
    one = lines(tmp_path / "one.jsonl", {"query": "q", "documents": [f"one {n}" for n in range(20)]})
    two = lines(tmp_path / "two.jsonl", {"query": "q", "documents": [f"two {n}" for n in range(20)]})
    (found,) = read(one, two)
    assert found.documents[0] == "one 0"
