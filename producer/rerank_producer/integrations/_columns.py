"""Rows of a table as questions to the fleet, and its answers as three columns. Pure.

Columns are lists, with None for null. A table has one of two shapes: pairs, where a row is a query and one text; or
lists, where a row is a query and a list of texts. A row that can't be asked gets an error, and the others go on.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rerank_producer.fusion.shown import shown_score
from rerank_shared.contract.schemas import SCORE_EXPECTED, RerankResponse, as_score
from rerank_shared.errors import InvalidRequest, RerankError
from rerank_shared.nearest import did_you_mean

SCORE, RANK, ERROR = "rerank_score", "rerank_rank", "rerank_error"
#: The columns that a reranked table has besides its own.
RESULTS = (SCORE, RANK, ERROR)
Data = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns that are read. Where `documents` is set, the shape is lists, and `text` is not read."""

    query: str = "query"
    text: str = "text"
    documents: str | None = None
    query_id: str | None = None
    score: str | None = None

    @property
    def read(self) -> tuple[str, ...]:
        """The columns that are read. A row of the list shape is a query by itself: no id says which."""
        wanted = (self.query, self.text, self.query_id) if self.documents is None else (self.query, self.documents)
        return tuple(name for name in (*wanted, self.score) if name is not None)

    def check(self, there: Iterable[str]) -> None:
        """Raise InvalidRequest unless a table has the columns that are read, and none that is written."""
        names = list(there)
        for name in self.read:
            if name not in names:
                raise InvalidRequest(
                    f"column {name!r}: the table has none of this name{did_you_mean(name, names)}; "
                    f"it has {', '.join(map(repr, names)) or 'no columns'}"
                )
        for name in RESULTS:
            if name in names:
                raise InvalidRequest(f"column {name!r}: the table has it already; rename it or leave it out")


@dataclass(slots=True)
class Question:
    """A query with its texts. `places` are the numbers of the texts in the table, from 0."""

    query: str
    fuses: bool
    texts: list[str] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def add(self, place: int, text: str, score: float | None) -> None:
        """Add a text and its first-stage score."""
        self.texts.append(text)
        self.scores.append(score)
        self.places.append(place)

    def request(self) -> dict[str, Any]:
        """Return the request as its fields."""
        asked = {"query": self.query, "documents": self.texts}
        return asked | {"scores": self.scores} if self.fuses else asked


@dataclass(slots=True)
class Asked:
    """A table on its way: its questions, and what came of each of its texts so far.

    `ends` are the places behind the last text of each row where rows are lists; None where a row is a text.
    `row_errors` are what is wrong with such a row as a whole.
    """

    questions: list[Question] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    ranks: list[int | None] = field(default_factory=list)
    errors: list[str | None] = field(default_factory=list)
    ends: list[int] | None = None
    row_errors: list[str | None] = field(default_factory=list)

    def place(self, error: str | None) -> int:
        """Make a place for a text, and return its number."""
        self.scores.append(None)
        self.ranks.append(None)
        self.errors.append(error)
        return len(self.errors) - 1

    def fill(self, question: Question, answer: RerankResponse | RerankError) -> None:
        """Note what came of a question: an answer to all of its texts, or an error."""
        if isinstance(answer, RerankError):
            for place in question.places:
                self.errors[place] = f"{answer.code}: {answer.message}"
            return
        for rank, result in enumerate(answer.results, 1):
            place = question.places[result.index]
            self.scores[place], self.ranks[place] = shown_score(result, answer.model), rank

    def results(self) -> dict[str, list[Any]]:
        """Return the columns of results, a value for each row of the table."""
        if self.ends is None:
            return {SCORE: self.scores, RANK: self.ranks, ERROR: self.errors}
        rows = [range(start, end) for start, end in zip([0, *self.ends], self.ends, strict=False)]
        return {
            SCORE: [[self.scores[place] for place in row] for row in rows],
            RANK: [[self.ranks[place] for place in row] for row in rows],
            ERROR: [
                whole or _first(self.errors[place] for place in row)
                for whole, row in zip(self.row_errors, rows, strict=True)
            ],
        }


def ask(columns: Columns, data: Data) -> Asked:
    """Return the questions of a table, whose columns that are read are `data`."""
    return _of_pairs(columns, data) if columns.documents is None else _of_lists(columns, columns.documents, data)


def _of_pairs(columns: Columns, data: Data) -> Asked:
    """Rows of equal query, or of equal query id, are one question, wherever they stand."""
    asked = Asked()
    by_key: dict[Any, Question] = {}
    key_column = columns.query_id or columns.query
    queries, texts, keys = data[columns.query], data[columns.text], data[key_column]
    for query, text, key, given in zip(queries, texts, keys, _scores(columns, data, len(queries)), strict=True):
        score, wrong_score = _score(given, columns.score or "")
        error = _wrong_text(query, columns.query) or _wrong_key(key, key_column) or _wrong_text(text, columns.text)
        if (error := error or wrong_score) is None:
            question = by_key.setdefault(key, Question(query, columns.score is not None))
            if question.query == query:
                question.add(asked.place(None), text, score)
                continue
            error = _told(columns.query, f"another text than in the first row of this {key_column!r}")
        asked.place(error)
    asked.questions = list(by_key.values())
    return asked


def _of_lists(columns: Columns, column: str, data: Data) -> Asked:
    """Each row is a question, of the texts of its list that can be asked."""
    asked = Asked(ends=(ends := []))
    queries, documents = data[columns.query], data[column]
    for query, texts, scores in zip(queries, documents, _scores(columns, data, len(queries)), strict=True):
        error = _wrong_text(query, columns.query) or _wrong_list(texts, column)
        texts = texts if _is_list(texts) else []
        if columns.score is None:
            scores = [None] * len(texts)
        elif not _is_list(scores) or len(scores) != len(texts):
            error = error or _told(columns.score, f"a list of {len(texts)} scores expected, one a text of {column!r}")
            scores = [None] * len(texts)
        asked.row_errors.append(error)
        question = Question(query, columns.score is not None)
        for number, (text, given) in enumerate(zip(texts, scores, strict=True)):
            score, wrong_score = _score(given, f"{columns.score}.{number}")
            wrong = error or _wrong_text(text, f"{column}.{number}") or wrong_score
            place = asked.place(wrong)
            if wrong is None:
                question.add(place, text, score)
        ends.append(len(asked.errors))
        if question.texts:
            asked.questions.append(question)
    return asked


def _scores(columns: Columns, data: Data, rows: int) -> Sequence[Any]:
    return [None] * rows if columns.score is None else data[columns.score]


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _wrong_text(value: Any, column: str) -> str | None:
    if isinstance(value, str):
        return None
    return _told(column, "is null" if _is_null(value) else f"a text expected, not {type(value).__name__}")


def _wrong_list(value: Any, column: str) -> str | None:
    if _is_list(value):
        return None
    return _told(column, "is null" if _is_null(value) else f"a list of texts expected, not {type(value).__name__}")


def _wrong_key(value: Any, column: str) -> str | None:
    if _is_null(value):
        return _told(column, "is null")
    return (
        None
        if isinstance(value, Hashable)
        else _told(column, f"a text or a number expected, not {type(value).__name__}")
    )


def _score(value: Any, column: str) -> tuple[float | None, str | None]:
    """Return a first-stage score and what is wrong with it. Null and NaN are no score, and not wrong."""
    if _is_null(value):
        return None, None
    try:
        return as_score(value), None
    except ValueError:
        return None, _told(column, SCORE_EXPECTED)


def _told(column: str, mistake: str) -> str:
    return f"{InvalidRequest.code}: {column}: {mistake}"


def _first(errors: Iterator[str | None]) -> str | None:
    return next((error for error in errors if error is not None), None)
