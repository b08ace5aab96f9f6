"""How what is typed or pasted as candidates is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from page.board import Board
from page.conftest import OpenPage
from support.http.gateway import TestGateway

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("page")]

CASES: dict[str, tuple[str, list[Any], str]] = {
    "lines": ("one\n\n  two \r\nthree\n", ["one", "two", "three"], "lines"),
    "nothing": ("  \n ", [], "lines"),
    "strings": ('["a", "b\\nc"]', ["a", "b\nc"], "json"),
    "objects": (
        '[{"id": 7, "text": "a", "title": "t"}, {"id": "x", "text": "b", "metadata": {"n": 1}}]',
        [{"text": "a", "id": "7"}, {"text": "b", "id": "x", "metadata": {"n": 1}}],
        "json",
    ),
    "other names": ('[{"page_content": "a"}, {"content": "b"}, "c"]', [{"text": "a"}, {"text": "b"}, "c"], "json"),
    "nested": ('[{"document": {"text": "a"}, "index": 3}]', [{"text": "a"}], "json"),
    "json lines": ('{"text": "a"}\n{"text": "b"}\n', [{"text": "a"}, {"text": "b"}], "jsonl"),
    "one object": ('{"text": "a"}', [{"text": "a"}], "jsonl"),
    "texts that begin as JSON does": ("[1] first\n{2} second", ["[1] first", "{2} second"], "lines"),
    "a column of scores": (
        "one\t1.5\n two\tb \t-2e1\r\n\nthree\t .5 ",
        [{"text": "one", "score": 1.5}, {"text": "two\tb", "score": -20}, {"text": "three", "score": 0.5}],
        "lines",
    ),
    "a column with gaps": ("a\t1\nb\t\nc\t-", [{"text": "a", "score": 1}, "b", "c"], "lines"),
    "a number at the end of one text": ("in\t2024\nb\nc", ["in\t2024", "b", "c"], "lines"),
    "numbered lines": ("1\ta\n2\tb", ["1\ta", "2\tb"], "lines"),
    "a number alone": ("12\n\t13", ["12", "13"], "lines"),
    "scores in objects": (
        '[{"text": "a", "score": 0}, {"text": "b", "score": "high"}, {"text": "c", "score": null}, "d"]',
        [{"text": "a", "score": 0}, {"text": "b"}, {"text": "c"}, "d"],
        "json",
    ),
    "scores in json lines": ('{"text": "a", "score": 2.5}', [{"text": "a", "score": 2.5}], "jsonl"),
    "scores beside documents": (
        '{"documents": ["a", {"id": "x", "text": "b"}, "c"], "scores": [1, 2, null]}',
        [{"text": "a", "score": 1}, {"text": "b", "id": "x", "score": 2}, "c"],
        "body",
    ),
    "an object of something else": ('{"a": 1}', ['{"a": 1}'], "lines"),
}


@pytest.fixture
def board(shown: TestGateway, open_page: OpenPage) -> Board:
    return open_page(shown.url)


def test_each_way_to_write_them(board: Board) -> None:
    found = {name: board.call("candidates.js", "readCandidates", text) for name, (text, _, _) in CASES.items()}
    assert {name: (each["documents"], each["kind"]) for name, each in found.items()} == {
        name: (documents, kind) for name, (_, documents, kind) in CASES.items()
    }


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("[1, 2]", "candidate 1 has no text"),
        ('["a", {"title": "b"}]', "candidate 2 has no text"),
        ("[]", "the list is empty"),
        ('["a", "b"', "not JSON"),
        ("a\t1\nb\t2\nc", "1 of 3 lines have no score behind a tab"),
        ('{"query": "q", "documents": [null]}', "candidate 1 has no text"),
    ],
)
def test_what_is_wrong_is_told_where_it_was_typed(board: Board, text: str, note: str) -> None:
    board.page.fill("#candidates", text)
    assert note in board.page.locator("#kind").inner_text()
    assert board.page.locator("#kind.wrong").count() == 1


def test_a_body_with_something_wrong_stays_as_it_was_pasted(board: Board) -> None:
    query = board.page.input_value("#query")
    for documents in ([None, "my long text"], []):
        text = json.dumps({"query": "q", "documents": documents, "top_n": 3})
        board.page.fill("#candidates", text)
        assert board.page.input_value("#candidates") == text
        assert board.page.input_value("#query") == query
        assert board.page.input_value("#top-n") == ""
        assert board.page.locator("#kind.wrong").count() == 1


def test_a_pasted_body_fills_in_the_whole_request(board: Board) -> None:
    documents = ["Carson City is the capital of Nevada.", "Washington, D.C. is the capital of the United States."]
    body = {"model": "rerank-v3.5", "query": "what is the capital of the US?", "documents": documents, "top_n": 1}
    board.paste("#candidates", json.dumps(body))
    assert board.page.input_value("#query") == body["query"]
    assert board.page.input_value("#top-n") == "1"
    assert "taken from it" in board.page.locator("#kind").inner_text()
    (row,) = board.rerank()
    assert row.text == documents[1]


@pytest.mark.parametrize("field", ["documents", "texts", "passages"])
def test_bodies_of_other_apis_are_understood(board: Board, field: str) -> None:
    body = {"query": "which one?", field: ["a", {"text": "b", "id": "the b"}], "top_k": 2}
    board.paste("#candidates", json.dumps(body))
    assert board.page.input_value("#query") == "which one?"
    rows = board.rerank()
    assert {row.text for row in rows} == {"a", "b"}
    assert "the b" in next(row.marks for row in rows if row.text == "b")


def test_one_a_line_is_one_a_document_and_never_html(board: Board) -> None:
    board.page.fill("#candidates", "a\n<b>b</b>\n&amp;")
    board.page.wait_for_selector("ol.before li:nth-child(3):last-child")
    assert board.page.locator("ol.before .text").all_inner_texts() == ["a", "<b>b</b>", "&amp;"]
