"""Texts of a report: cut without harm to any script, and figures with a true minus."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_ops.report.made import command_line
from rerank_ops.report.text import counted, first_words, in_one_line, listed, signed


@given(st.text(alphabet=st.characters(), max_size=300), st.integers(5, 60))
def test_a_text_is_never_longer_than_asked_and_can_be_written(text: str, most: int) -> None:
    cut = first_words(text, most)
    assert len(cut) <= most
    assert "\n" not in cut
    cut.encode()
    if len(in_one_line(text)) <= most:
        assert cut == in_one_line(text)


@pytest.mark.parametrize(
    ("text", "most", "cut"),
    [
        ("how many people live in Berlin", 18, "how many people…"),
        ("検索結果を並べ替える", 6, "検索結果を…"),
        # An accent that stands alone, and a family of emoji, stay whole or go.
        ("abcde\u0301fgh", 6, "abcd…"),
        ("ab\U0001f468\u200d\U0001f469\u200d\U0001f467", 5, "ab…"),
        ("a\x00b\r\nc\x1b[1m", 99, "a b c [1m"),
        ("\ud800 alone", 99, "\ufffd alone"),
    ],
)
def test_texts_are_cut_between_words_or_letters(text: str, most: int, cut: str) -> None:
    assert first_words(text, most) == cut


def test_figures_and_lists_read_well() -> None:
    assert [signed(value) for value in (0.0674, -0.0678, 0.0, -0.0001)] == ["+0.067", "−0.068", "0.000", "0.000"]
    assert (counted(1, "query", "queries"), counted(1200, "query", "queries")) == ("1 query", "1,200 queries")
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("", "a", "a, b and c")


def test_a_command_line_is_repeated_without_the_server_and_its_password() -> None:
    words = ["evaluate", "my data", "--redis-url", "redis://me:secret@host", "--k", "50"]
    assert command_line(words) == "rerank-fleet evaluate 'my data' --k 50"
    assert command_line(["evaluate", "x", "--redis-url=redis://:secret@host"]) == "rerank-fleet evaluate x"
