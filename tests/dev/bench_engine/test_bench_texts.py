"""Requests have the pairs that were asked for, near their drawn lengths, and are the same ones each time."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from rerank_dev.bench.engine.texts import (
    LONGEST_TOKENS,
    SHORTEST_TOKENS,
    Request,
    Texts,
    beir_texts,
    build_requests,
    draw_tokens,
    lengthened,
    lengths,
    write_requests,
)
from rerank_ops.demo.corpus import Passage
from support.model.collections import write_collection

PASSAGES = [Passage(f"p{n}", f"socket number{n} listens quietly on port{n} all day") for n in range(30)]
TEXTS = Texts("test", PASSAGES, ["which socket listens", "port of a socket", "no such word"], drawn=True)


def words(texts: Sequence[str]) -> list[int]:
    """A token a word."""
    return [len(text.split()) for text in texts]


def test_a_text_goes_on_with_its_neighbours_until_its_length() -> None:
    assert lengthened(PASSAGES, 0, 10, words) == f"{PASSAGES[0].text} socket number1"


def test_a_text_goes_round_at_the_end_and_never_is_empty() -> None:
    assert lengthened(PASSAGES, 29, 9, words).endswith("all day socket")
    assert lengthened(PASSAGES, 0, 0, words) == "socket"
    assert len(lengthened(PASSAGES[:1], 0, 99, words).split()) == 8


def test_requests_have_k_pairs_near_their_drawn_length() -> None:
    (request,) = build_requests(TEXTS, 20, 1, words)
    assert len(request.documents) == len(request.tokens) == 20
    assert all(SHORTEST_TOKENS <= tokens <= LONGEST_TOKENS for tokens in request.tokens)
    assert len({*request.tokens}) > 5


def test_requests_are_the_same_each_time_and_skip_questions_used_elsewhere() -> None:
    first = build_requests(TEXTS, 20, 2, words)
    assert build_requests(TEXTS, 20, 2, words) == first
    assert {request.query for request in first} == {"which socket listens", "port of a socket"}
    rest = build_requests(TEXTS, 20, 2, words, skip=2)
    assert len(rest) <= 1


def test_drawn_lengths_follow_the_law() -> None:
    draw = random.Random(1)
    drawn = sorted(draw_tokens(draw) for _ in range(4000))
    assert sum(drawn) / len(drawn) == pytest.approx(95, abs=3)
    assert drawn[400] == pytest.approx(52, abs=4)
    assert drawn[3600] == pytest.approx(149, abs=8)


def test_a_collection_is_left_as_it_is(tmp_path: Path) -> None:
    texts = beir_texts(write_collection(tmp_path / "tiny", flat=True))
    assert not texts.drawn
    assert texts.name == "tiny"
    assert "Potatoes How to boil a potato: in water." in [passage.text for passage in texts.passages]
    (request,) = build_requests(texts, 2, 1, words)
    assert {*request.documents} <= {passage.text for passage in texts.passages}


def test_lengths_describe_all_pairs() -> None:
    found = lengths([Request("q", ["a"] * 3, [10, 20, 30]), Request("q", ["a"], [40])])
    assert (found.pairs, found.mean, found.median, found.longest) == (4, 25.0, 25, 40)


def test_written_requests_are_read_by_contenders(tmp_path: Path) -> None:
    write_requests([Request("q", ["a"], [4])], tmp_path / "new" / "requests.json")
    read = json.loads((tmp_path / "new" / "requests.json").read_text())
    assert read == [{"query": "q", "documents": ["a"], "tokens": [4]}]
