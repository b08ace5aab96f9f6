"""The questions can be answered from the corpus of the running Python, and BM25 proposes candidates for them."""

import pytest

from rerank_ops.demo.corpus import Passage, stdlib_passages
from rerank_ops.demo.first_stage import Bm25Index
from rerank_ops.demo.questions import Question, qrels, stdlib_questions

QUESTIONS = stdlib_questions()
FRUIT = [
    Passage("pear", "a green pear"),
    Passage("apple", "a green apple"),
    Passage("walk_trees", "walk_trees visits each orchard"),
]


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    return stdlib_passages()


@pytest.fixture(scope="module")
def index(passages: list[Passage]) -> Bm25Index:
    return Bm25Index(passages)


def test_at_least_seventy_and_none_twice() -> None:
    assert len(QUESTIONS) >= 70
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS)
    assert len({question.text.casefold() for question in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_answers_exist_on_this_python(question: Question, passages: list[Passage]) -> None:
    known = {passage.id for passage in passages}
    assert question.answers
    assert len(set(question.answers)) == len(question.answers)
    assert [answer for answer in question.answers if answer not in known] == []


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_wording_is_not_copied_from_the_answer(question: Question, passages: list[Passage]) -> None:
    for passage in passages:
        if passage.id in question.answers:
            assert question.text.casefold().strip("?.") not in passage.text.casefold()
            assert "." not in passage.id or passage.id not in question.text


def test_answers_are_spread_over_the_library() -> None:
    assert len({answer.split(".")[0] for question in QUESTIONS for answer in question.answers}) >= 40


def test_qrels_hold_every_answer_once() -> None:
    judged = qrels(QUESTIONS)
    assert list(judged) == [question.id for question in QUESTIONS]
    assert judged["split-path"] == {"os.path.split": 1}
    assert sum(map(len, judged.values())) == sum(len(question.answers) for question in QUESTIONS)


def test_candidates_are_ordered_bounded_and_repeatable(passages: list[Passage], index: Bm25Index) -> None:
    again = Bm25Index(passages)
    texts = {passage.id: passage.text for passage in passages}
    for question in QUESTIONS:
        candidates = index.top(question.text, 50)
        assert 0 < len(candidates) <= 50
        assert [c.bm25 for c in candidates] == sorted((c.bm25 for c in candidates), reverse=True)
        assert all(c.bm25 > 0 and c.text == texts[c.id] for c in candidates)
        assert candidates == again.top(question.text, 50)


def test_ties_keep_the_corpus_order() -> None:
    assert [c.id for c in Bm25Index(FRUIT).top("green", 5)] == ["pear", "apple"]
    assert [c.id for c in Bm25Index(FRUIT[1::-1]).top("green", 5)] == ["apple", "pear"]
    assert [c.id for c in Bm25Index(FRUIT).top("green", 1)] == ["pear"]


def test_names_are_found_by_their_words() -> None:
    assert [c.id for c in Bm25Index(FRUIT).top("Walk through trees", 5)] == ["walk_trees"]


@pytest.mark.parametrize("question", ["", "?", "how do I", "zeppelin"])
def test_no_shared_word_means_no_candidate(question: str) -> None:
    assert Bm25Index(FRUIT).top(question, 5) == []


def test_bm25_alone_finds_some_answers(index: Bm25Index) -> None:
    found = [q for q in QUESTIONS if {c.id for c in index.top(q.text, 50)} & set(q.answers)]
    assert len(found) > len(QUESTIONS) // 4
