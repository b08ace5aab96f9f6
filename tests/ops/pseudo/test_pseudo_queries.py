"""Pseudo-queries: their kinds, what is left of their source, and that they are the same each time."""

from __future__ import annotations

from collections import Counter

import pytest

from rerank_ops.pseudo.queries import PSEUDO, pseudo_queries
from rerank_ops.pseudo.titled import Titled
from rerank_ops.pseudo.words import document_frequencies, jaccard, sentences, word_set

ANIMALS = ("otters", "badgers", "herons", "beetles", "salmon", "lizards")
DOCUMENTS = {
    name: Titled(
        f"The life of {name}",
        f"Winter is the hardest season for {name} in the northern valleys. In spring the {name} look for a new home "
        f"beside rivers and lakes. Farmers have complained about {name} since long before our grandparents were born.",
    )
    for name in ANIMALS
}


def test_all_kinds_are_made_each_of_a_document_of_its_own() -> None:
    made = pseudo_queries(DOCUMENTS, 6, seed=1)
    assert [each.kind for each in made] == [*PSEUDO, *PSEUDO]
    assert {each.source for each in made} == set(ANIMALS)
    assert made == pseudo_queries(DOCUMENTS, 6, seed=1)
    assert made != pseudo_queries(DOCUMENTS, 6, seed=2)


def test_a_source_lacks_what_its_query_took() -> None:
    for each in pseudo_queries(DOCUMENTS, 6, seed=1):
        if each.kind == "terms":
            assert each.passage == DOCUMENTS[each.source].whole
        else:
            assert each.text not in each.passage
            assert each.text in DOCUMENTS[each.source].whole


def test_documents_that_are_left_out_are_no_source() -> None:
    made = pseudo_queries(DOCUMENTS, 10, seed=1, without=frozenset(ANIMALS[:5]))
    assert {each.source for each in made} == {ANIMALS[5]}


def test_a_document_gives_a_second_query_when_all_have_given_one_and_of_another_kind() -> None:
    made = pseudo_queries(DOCUMENTS, 100, seed=1)
    assert made[:6] == pseudo_queries(DOCUMENTS, 6, seed=1)
    assert len({each.id for each in made}) == len(made) == 3 * len(ANIMALS)
    assert all({each.source for each in made[start : start + 6]} == set(ANIMALS) for start in (0, 6, 12))
    assert Counter(each.kind for each in made) == dict.fromkeys(PSEUDO, 6)


@pytest.mark.parametrize("document", [Titled("", ""), Titled("A title", ""), Titled("", "too short to leave anything")])
def test_a_document_of_a_few_words_gives_none(document: Titled) -> None:
    assert pseudo_queries({"1": document, "2": document}, 5, seed=1) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One is e.g. small. Two? (Three)\n\nfour", ["One is e.g. small.", "Two?", "(Three)", "four"]),
        ("Zwei. Änderungen. élan", ["Zwei.", "Änderungen. élan"]),
        (
            "flow past a plate . comparison is made . the end",
            ["flow past a plate .", "comparison is made .", "the end"],
        ),
        (
            "all in lower case. a second one, i. e. more! third",
            ["all in lower case.", "a second one, i. e. more!", "third"],
        ),
        ("यह पहला है। यह दूसरा है।", ["यह पहला है।", "यह दूसरा है।"]),
        (" . ", ["."]),
        ("", []),
    ],
)
def test_sentences_end_in_texts_with_and_without_capitals(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def test_words() -> None:
    assert document_frequencies(["a b a", "B c"]) == {"a": 1, "b": 2, "c": 1}
    assert jaccard(word_set("the lack of x"), word_set("x, the gain")) == pytest.approx(2 / 5)
    assert jaccard(frozenset(), frozenset()) == 0
