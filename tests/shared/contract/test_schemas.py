"""The public edge: what a request may be, and how a wrong one is told."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rerank_shared.contract.schemas import Document, RerankRequest, parse_request
from rerank_shared.contract.token_ids import ID_MAX, TokenIds
from rerank_shared.errors import InvalidRequest

SECRET = "the caller's own words, which no message repeats " * 50
DECLARED = {"tokenizer_digest": "ab" * 32}
#: Any text at all, halves of surrogate pairs included.
wild = st.text(st.characters(), max_size=12)
pieces = st.sampled_from(["\ud83d", "\ude00", "a", "é", "\ufeff", "\ufffe", "\U0001f600"])
halves = st.lists(pieces, max_size=6).map("".join)


def repaired(text: str) -> str:
    """Join high and low surrogates that stand together, and replace those that stand alone: the rule, spelled out."""
    out: list[str] = []
    for char in text:
        if out and "\ud800" <= out[-1] <= "\udbff" and "\udc00" <= char <= "\udfff":
            out[-1] = chr(0x10000 + (ord(out[-1]) - 0xD800) * 0x400 + ord(char) - 0xDC00)
        else:
            out.append(char)
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in out)


@given(st.lists(st.text(max_size=10) | st.lists(st.integers(0, ID_MAX), max_size=5), max_size=6))
def test_documents_are_texts_or_token_ids(contents: list[str | list[int]]) -> None:
    documents = [{"text": each} if isinstance(each, str) else {"token_ids": each} for each in contents]
    found = parse_request("query", documents, **DECLARED).contents()
    assert found == [each if isinstance(each, str) else TokenIds.of(each) for each in contents]
    assert [len(each) for each in found] == [len(each) for each in contents]


@given(st.lists(st.text(max_size=10), max_size=6))
def test_texts_objects_and_mixtures_are_read_alike(texts: list[str]) -> None:
    objects: list[dict[str, Any]] = [{"text": text, "id": str(i), "metadata": {"i": i}} for i, text in enumerate(texts)]
    models = [Document(text=text) for text in texts]
    mixture: list[Any] = [(texts, objects, models)[i % 3][i] for i in range(len(texts))]
    for documents in (texts, tuple(texts), deque(texts), objects, models, mixture):
        assert parse_request("query", documents).contents() == texts
    ids = [d.id for d in parse_request("query", objects).documents if isinstance(d, Document)]
    assert ids == [str(i) for i in range(len(texts))]


@given(wild | halves, wild | halves)
@example("\ud83d\ude00", "\ud83d")
@example("\ufeffa", "\ufeff\ud800")
def test_half_characters_become_replacement_characters(query: str, text: str) -> None:
    request = parse_request("q" + query, [text, {"text": text, "id": text}, Document(text=text)], model=text)
    assert request.query == "q" + repaired(query)
    assert request.contents() == [repaired(text)] * 3
    assert request.model == repaired(text)
    document = request.documents[1]
    assert isinstance(document, Document)
    assert document.id == repaired(text)
    # All of it can travel.
    msgpack.packb([request.query, request.contents(), request.model])


@pytest.mark.parametrize(
    "documents",
    [lambda: iter(["\ud800"]), lambda: (text for text in ["\ud800"]), lambda: deque(["\ud800"])],
    ids=["iterator", "generator", "deque"],
)
def test_half_characters_are_found_in_any_series(documents: Callable[[], Any]) -> None:
    assert parse_request("query", documents()).contents() == ["\ufffd"]


@pytest.mark.parametrize(
    "text",
    ["a\x00b", "שלום עולם", "\u202emixed\u202c", "日本語の文書", "e\u0301", "\U0001f468\u200d\U0001f469", " \t\n ", ""],
    ids=["nul", "rtl", "bidi control", "cjk", "combining", "joined emoji", "blank", "empty"],
)
def test_all_other_text_passes_unchanged(text: str) -> None:
    request = parse_request("q" + text, [text, {"text": text}])
    assert request.query == "q" + text
    assert request.contents() == [text, text]


@pytest.mark.parametrize("query", ["", " ", "\t\n", "\u00a0", "\u3000"])
def test_an_empty_query_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^query: is empty"):
        parse_request(query, ["text"])


WRONG: list[tuple[str, Any, dict[str, Any], str]] = [
    ("query not text", 5, {}, "query"),
    ("query as bytes", b"query " + SECRET.encode(), {}, "query"),
    ("query missing", None, {}, "query"),
    ("documents one text", "q", {"documents": SECRET}, "documents"),
    ("documents as bytes", "q", {"documents": SECRET.encode()}, "documents"),
    ("documents a number", "q", {"documents": 5}, "documents"),
    ("documents missing", "q", {"documents": None}, "documents"),
    ("documents an object", "q", {"documents": {"text": SECRET}}, "documents"),
    ("document a number", "q", {"documents": ["a", 5]}, "documents.1"),
    ("document missing", "q", {"documents": [None]}, "documents.0"),
    ("document bytes", "q", {"documents": [SECRET.encode()]}, "documents.0"),
    ("document list", "q", {"documents": [[SECRET]]}, "documents.0"),
    ("text missing", "q", {"documents": [{"txt": SECRET}]}, "documents.0: a text, or an object of either"),
    ("text a number", "q", {"documents": [{"text": 7}]}, "documents.0.text"),
    ("text bytes", "q", {"documents": [{"text": SECRET.encode()}]}, "documents.0.text"),
    ("text and ids", "q", {"documents": [{"text": SECRET, "token_ids": [1]}]}, "documents.0: a text, or an object"),
    ("ids of nobody", "q", {"documents": ["a", {"token_ids": [1]}]}, "tokenizer_digest: missing"),
    ("ids a text", "q", {"documents": [{"token_ids": SECRET}], **DECLARED}, "documents.0.token_ids"),
    ("ids halves", "q", {"documents": [{"token_ids": [1, 1.0]}], **DECLARED}, "documents.0.token_ids.1"),
    ("ids of words", "q", {"documents": [{"token_ids": ["1"]}], **DECLARED}, "documents.0.token_ids.0"),
    ("ids below 0", "q", {"documents": [{"token_ids": [-1]}], **DECLARED}, "documents.0.token_ids.0"),
    ("ids too large", "q", {"documents": [{"token_ids": [2**31]}], **DECLARED}, "documents.0.token_ids.0"),
    ("tokenizer a name", "q", {"tokenizer_digest": SECRET}, "tokenizer_digest"),
    ("id a number", "q", {"documents": [{"text": "a", "id": 7}]}, "documents.0.id"),
    ("metadata a text", "q", {"documents": [{"text": "a", "metadata": SECRET}]}, "documents.0.metadata"),
    ("top_n 0", "q", {"top_n": 0}, "top_n"),
    ("top_n below 0", "q", {"top_n": -1}, "top_n"),
    ("top_n a text", "q", {"top_n": SECRET}, "top_n"),
    ("top_n half", "q", {"top_n": 1.5}, "top_n"),
    ("max_length small", "q", {"max_length": 7}, "max_length"),
    ("deadline nan", "q", {"deadline_ms": math.nan}, "deadline_ms"),
    ("deadline inf", "q", {"deadline_ms": math.inf}, "deadline_ms"),
    ("deadline a text", "q", {"deadline_ms": SECRET}, "deadline_ms"),
    ("class unknown", "q", {"class": SECRET}, "class"),
    ("model a number", "q", {"model": 5}, "model"),
    ("unknown field", "q", {"topn": 3}, "topn"),
    ("long unknown field", "q", {SECRET: 3}, SECRET[:20]),
]


@pytest.mark.parametrize(("query", "options", "field"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_request_names_its_field(query: Any, options: dict[str, Any], field: str) -> None:
    documents = options.get("documents", ["text"])
    rest = {name: value for name, value in options.items() if name != "documents"}
    with pytest.raises(InvalidRequest) as caught:
        parse_request(query, documents, **rest)
    assert caught.value.message.startswith(field)
    assert SECRET[:60] not in caught.value.message or field == SECRET[:20]
    assert len(caught.value.message) < 300


def test_many_mistakes_make_a_short_message() -> None:
    documents: Any = list(range(10_000))
    with pytest.raises(InvalidRequest, match=r"documents\.0: .*documents\.4: .*\(and 9995 more\)") as caught:
        parse_request("q", documents)
    assert len(caught.value.message) < 400


def test_a_budget_already_spent_is_no_mistake() -> None:
    assert parse_request("q", ["a"], deadline_ms=0).deadline_ms == 0
    assert parse_request("q", ["a"], deadline_ms=-5.5).deadline_ms == -5.5


def test_an_unknown_class_is_named_by_either_spelling() -> None:
    with pytest.raises(InvalidRequest, match=r"^(job_)?class: "):
        parse_request("q", ["a"], job_class="batch")


def test_class_has_two_spellings() -> None:
    assert parse_request("q", ["a"], **{"class": "bulk"}).job_class == "bulk"
    assert parse_request("q", ["a"], job_class="bulk").job_class == "bulk"
    assert parse_request("q", []).job_class == "interactive"


def test_metadata_comes_back_as_it_was() -> None:
    inner = object()
    metadata = {"tuple": (1, 2), "half": "\ud800", "object": inner}
    document = parse_request("q", [{"text": "\ud800", "metadata": metadata}]).documents[0]
    assert isinstance(document, Document)
    assert document.metadata == metadata


def test_an_id_has_its_length() -> None:
    assert parse_request("q", [{"text": "t", "id": "x" * 1_024}])
    with pytest.raises(InvalidRequest, match=r"^documents\.0"):
        parse_request("q", [{"text": "t", "id": "x" * 1_025}])


def test_json_is_read_by_the_same_rules() -> None:
    body = '{"query": "q", "documents": ["a", {"text": "b", "id": "1"}], "class": "bulk"}'
    request = RerankRequest.model_validate_json(body)
    assert request == parse_request("q", ["a", {"text": "b", "id": "1"}], job_class="bulk")


def test_a_first_stage_score_beyond_a_float_is_none() -> None:
    with pytest.raises(InvalidRequest, match=r"^scores\.0: a finite number expected"):
        parse_request("q", ["a"], scores=[10**400])
    with pytest.raises(InvalidRequest, match=r"^documents\.0\.score: a finite number expected"):
        parse_request("q", [{"text": "a", "score": -(10**400)}])
