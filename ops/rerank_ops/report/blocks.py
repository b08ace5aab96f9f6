"""What a page consists of: plain values, which templates turn into HTML. Texts are escaped there, not here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from rerank_ops.report.charts.plot import Plot
from rerank_ops.report.charts.span import Span

#: How a headline is meant: something gained, something lost, nothing shown, figures that nobody may trust.
Tone = Literal["better", "worse", "open", "broken"]
Mark = Literal["", "best", "up", "down", "soft"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome in a sentence, and what more there is to say of it."""

    headline: str
    tone: Tone
    support: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that is shown large, with its name above it and a remark below it."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: a text, or an interval that is drawn."""

    text: str
    mark: Mark = ""
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row names it. `remarks` stand below."""

    kind: ClassVar[str] = "table"
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its title, and in words what it shows."""

    kind: ClassVar[str] = "chart"
    title: str
    words: str
    plot: Plot


@dataclass(frozen=True, slots=True)
class Found:
    """A document in an order: its rank, the grade that it was judged with (None: not judged), and its rank in the other
    order, None where that lacks it. `text` is None where it is not known.
    """

    rank: int
    name: str
    text: str | None
    grade: int | None
    other: int | None


@dataclass(frozen=True, slots=True)
class Relevant:
    """A relevant document and its ranks in both orders, None where it is missing."""

    name: str
    grade: int
    was: int | None
    now: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """A query in two orders: its values in a measure, and the top of both."""

    name: str
    text: str
    was: float
    now: float
    before: tuple[Found, ...]
    after: tuple[Found, ...]
    relevant: tuple[Relevant, ...]

    @property
    def gain(self) -> float:
        """How much better it became."""
        return self.now - self.was


@dataclass(frozen=True, slots=True)
class Changes:
    """Queries side by side, `before` and `after` being the names of the systems.

    Of longer orders only the first `known` documents are known; None: all are.
    """

    kind: ClassVar[str] = "changes"
    title: str
    before: str
    after: str
    measure: str
    items: tuple[Change, ...]
    nothing: str
    known: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with values; `code` where the values are digests, names of files and the like."""

    kind: ClassVar[str] = "facts"
    title: str
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Command:
    """A command line to be copied."""

    kind: ClassVar[str] = "command"
    text: str


@dataclass(frozen=True, slots=True)
class Notes:
    """Sentences, as a list where there are several."""

    kind: ClassVar[str] = "notes"
    items: tuple[str, ...]


Block = Table | Chart | Changes | Facts | Command | Notes


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page; `name` is the anchor that links to it."""

    name: str
    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report. `about` says in a line what was measured, `made` when and by what."""

    title: str
    about: str
    verdict: Verdict
    figures: tuple[Figure, ...]
    sections: tuple[Section, ...]
    made: str
