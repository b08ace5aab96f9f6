"""Feedback at the edge: what is refused, what is kept of it, and which answers are swapped."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from rerank_shared.contract import wire
from rerank_shared.contract.feedback import (
    MAX_RECORD_BYTES,
    MAX_SHOWN,
    document_digest,
    parse_feedback,
    query_digest,
    record_of,
)
from rerank_shared.contract.messages import Feedback
from rerank_shared.contract.schemas import Document, Result
from rerank_shared.contract.swaps import DEPTH, swap_rank, swapped
from rerank_shared.errors import InvalidRequest, MalformedMessage
from rerank_shared.settings import load_settings

SECRET = "who is ill?"


def kept(settings: Any = None, **fields: Any) -> Feedback:
    record = record_of(parse_feedback(**fields), settings or load_settings())
    return wire.decode_feedback(record)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"request_id": "a b", "shown": ["x"]}, "request_id"),
        ({"request_id": "", "shown": ["x"]}, "request_id"),
        ({"request_id": "r" * 129, "shown": ["x"]}, "request_id"),
        ({"shown": ["x"]}, "request_id"),
        ({"request_id": "r"}, "shown"),
        ({"request_id": "r", "shown": []}, "shown"),
        ({"request_id": "r", "shown": SECRET}, "shown"),
        ({"request_id": "r", "shown": {SECRET: 1}}, "shown"),
        ({"request_id": "r", "shown": [1]}, "shown.0"),
        ({"request_id": "r", "shown": ["x", ""]}, "shown.1"),
        ({"request_id": "r", "shown": ["x" * 1_025]}, "shown.0"),
        ({"request_id": "r", "shown": [{"id": None}]}, "shown.0"),
        ({"request_id": "r", "shown": [{"id": 5}]}, "shown.0.id"),
        ({"request_id": "r", "shown": ["x", "x"]}, "shown"),
        ({"request_id": "r", "shown": [f"d{i}" for i in range(MAX_SHOWN + 1)]}, "shown"),
        ({"request_id": "r", "shown": ["x"], "clicked": ["y"]}, "clicked"),
        ({"request_id": "r", "shown": ["x"], "clicked": [None]}, "clicked.0"),
        ({"request_id": "r", "shown": ["x"], "query": ""}, "query"),
        ({"request_id": "r", "shown": ["x"], "query": b"bytes"}, "query"),
        ({"request_id": "r", "shown": ["x"], "tenant": "a:b"}, "tenant"),
        ({"request_id": "r", "shown": ["x"], "querry": SECRET}, "querry: no such field; did you mean query"),
    ],
)
def test_what_is_wrong_is_named_and_not_repeated(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_feedback(**fields)
    assert caught.value.message.startswith(named)
    assert SECRET not in caught.value.message


def test_no_text_is_kept_unless_the_settings_say_so() -> None:
    documents = [{"id": "a", "text": "first text"}, {"text": "second text"}]
    fields = {"request_id": "r", "shown": documents, "clicked": [{"text": "second text"}], "query": SECRET}
    record = record_of(parse_feedback(**fields), load_settings())
    assert not [text for text in (SECRET, "first text", "second text") if text.encode() in record]
    found = wire.decode_feedback(record)
    assert found.shown == ("a", document_digest("second text"))
    assert (found.clicked, found.query_digest, found.query, found.texts) == ((2,), query_digest(SECRET), None, ())
    told = kept(load_settings(feedback_texts=True), **fields)
    assert (told.query, told.texts) == (SECRET, ("first text", "second text"))


def test_results_and_documents_name_themselves() -> None:
    shown = [Result(index=3, id="a"), Document(id="b", text="text"), "c"]
    assert kept(request_id="r", shown=shown, clicked=[shown[1]]).shown == ("a", "b", "c")
    with pytest.raises(InvalidRequest, match=r"shown\.0: an id"):
        parse_feedback(request_id="r", shown=[Result(index=0)])


def test_odd_text_is_told_all_the_same() -> None:
    found = kept(request_id="r", shown=["a\ud800", "\0"], query="\udfff")
    assert found.shown == ("a�", "\0")
    assert found.query_digest == query_digest("�")


def test_a_record_has_a_bound_on_its_bytes() -> None:
    texts = load_settings(feedback_texts=True)
    fields = {"request_id": "r", "shown": [{"id": "a", "text": "x" * MAX_RECORD_BYTES}]}
    with pytest.raises(InvalidRequest, match="are the limit"):
        kept(texts, **fields)
    assert kept(**fields).texts == ()
    longest = record_of(parse_feedback(request_id="r", shown=["é" * 1_000 + f"{i:04}" for i in range(100)]), texts)
    assert len(longest) < MAX_RECORD_BYTES


@pytest.mark.parametrize(
    "fields",
    [
        {"clicked": (2,)},
        {"clicked": (0,)},
        {"swapped_rank": -1},
        {"texts": ("one", "two")},
    ],
)
def test_a_record_that_makes_no_sense_is_malformed(fields: dict[str, Any]) -> None:
    wrong = Feedback("r", ("a",), ())
    for name, value in fields.items():
        object.__setattr__(wrong, name, value)
    with pytest.raises(MalformedMessage):
        wire.decode_feedback(wire.encode_feedback(wrong))


def test_a_swap_follows_from_the_request_and_the_share_alone() -> None:
    ids = [f"request-{number}" for number in range(20_000)]
    some = {name for name in ids if swap_rank(name, 0.01)}
    more = {name for name in ids if swap_rank(name, 0.1)}
    assert not [name for name in ids if swap_rank(name, 0.0)]
    assert some < more
    assert 120 < len(some) < 290
    ranks = Counter(swap_rank(name, 1.0) for name in ids)
    assert set(ranks) == set(range(1, DEPTH))
    assert max(ranks.values()) < 1.2 * min(ranks.values())
    assert [swap_rank("fixed", 1.0), swap_rank("fixed", 0.9)] == [1, 1]


def test_neighbours_change_places() -> None:
    assert swapped([1, 2, 3], 1) == [2, 1, 3]
    assert swapped([1, 2, 3], 2) == [1, 3, 2]
    assert swapped([1, 2, 3], 3) == [1, 2, 3]
    assert swapped([], 1) == []


def test_feedback_keeps_the_swap_of_its_request() -> None:
    all_swapped = load_settings(feedback_swap_share=1.0)
    assert kept(all_swapped, request_id="fixed", shown=["a"]).swapped_rank == swap_rank("fixed", 1.0)
    assert kept(request_id="fixed", shown=["a"]).swapped_rank == 0
