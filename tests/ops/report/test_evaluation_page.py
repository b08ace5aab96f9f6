"""The report of an evaluation: escaped, whole, and never short of an answer for odd data."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from rerank_ops.report.blocks import Changes, Page
from rerank_ops.report.depth import by_depth, depths, enough
from rerank_ops.report.evaluation_page import evaluation_page
from rerank_ops.report.render import page_html, write_page
from support.reports import evidence

DOCUMENTS = {
    "d1": "potato soup",
    "d2": "<script>alert('potato')</script> & \"soup\"",
    "d3": "potato שלום עולם",
    "d4": "potato 検索結果を並べ替える" * 400,
    "d5": "berlin",
}
QUERIES = {"q1": "potato", "q2": "<img src=x onerror=alert(1)> soup", "q3": "berlin"}
QRELS = {"q1": {"d4": 2, "d1": 0}, "q2": {"d1": 1, "d5": 1}, "q3": {"d5": 1}}
#: More than there are candidates, in first-stage order: the last is best.
RISING = {query: range(10) for query in QUERIES}


class _Tags(HTMLParser):
    """Collects tags with their attributes, and ids."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_of(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(html)
    return parser.tags


def changes(page: Page) -> list[Changes]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, Changes)]


def test_texts_of_users_are_text(tmp_path: Path) -> None:
    html = page_html(evaluation_page(evidence(tmp_path, DOCUMENTS, QUERIES, QRELS, models={"<b>m</b>": RISING})))
    names = {tag for tag, _ in tags_of(html)}
    assert not names & {"script", "img", "b-x", "iframe", "object"}
    assert "&lt;script&gt;alert(&#39;potato&#39;)&lt;/script&gt;" in html
    assert "&lt;img src=x onerror=alert(1)&gt; soup" in html
    assert "&lt;b&gt;m&lt;/b&gt;" in html
    assert not any(name.startswith("on") for _, attributes in tags_of(html) for name in attributes)


def test_nothing_is_asked_of_the_network_and_ids_are_unique(tmp_path: Path) -> None:
    html = page_html(evaluation_page(evidence(tmp_path, DOCUMENTS, QUERIES, QRELS, models={"m": RISING})))
    tags = tags_of(html)
    links = [attributes[name] or "" for _, attributes in tags for name in ("href", "src") if name in attributes]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\(|@import", html)
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {name for _, attributes in tags for name in (attributes.get("aria-labelledby") or "").split()}
    assert named <= set(ids)
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    scopes = [attributes.get("scope") for tag, attributes in tags if tag == "th"]
    assert set(scopes) == {"row", "col"}
    assert [tag for tag, _ in tags if tag in ("caption", "h1")].count("h1") == 1


def test_queries_stand_side_by_side_with_their_moves(tmp_path: Path) -> None:
    found = evidence(tmp_path, DOCUMENTS, QUERIES, QRELS, models={"m": RISING})
    best, worst = changes(evaluation_page(found))
    shown = {change.name: change for change in (*best.items, *worst.items)}
    change = shown["q1"]
    order = found.systems[best.after].run["q1"]
    assert [each.name for each in change.after] == list(order[:5])
    assert {each.name: each.grade for each in change.after}["d4"] == 2
    assert {each.name: each.grade for each in change.after}["d1"] == 0
    assert {each.name: each.grade for each in change.after}["d2"] is None
    before = found.systems["bm25"].run["q1"]
    (relevant,) = change.relevant
    assert (relevant.was, relevant.now) == (before.index("d4") + 1, order.index("d4") + 1)
    assert all(each.other == before.index(each.name) + 1 for each in change.after)
    assert all(len(each.text or "") <= 160 for each in (*change.before, *change.after))
    # One judged relevant document of two shares no word with the query, so that nobody finds it.
    assert [each.name for each in shown["q2"].relevant if each.was is None and each.now is None] == ["d5"]
    assert [change.gain for change in best.items] == sorted((c.gain for c in best.items), reverse=True)
    assert all(change.gain < 0 for change in worst.items)


def test_at_most_twenty_queries_at_either_end(tmp_path: Path) -> None:
    many = {f"q{number:03}": "potato" for number in range(300)}
    qrels = {name: {"d4" if number % 2 else "d1": 1} for number, name in enumerate(many)}
    found = evidence(tmp_path, DOCUMENTS, many, qrels, models={"m": {name: range(10) for name in many}})
    best, worst = changes(evaluation_page(found))
    assert (len(best.items), len(worst.items)) == (20, 20)
    assert not {c.name for c in best.items} & {c.name for c in worst.items}


@pytest.mark.parametrize(
    "odd",
    [
        {"models": {}},
        {"models": {"m": {query: [0.0] * 10 for query in QUERIES}}},
        {"models": {"m": RISING}, "timed": False},
        {"models": {"m": RISING}, "k": 1},
        {"models": {"m": RISING}, "drift": 1e-6},
        {"models": {"m": RISING}, "queries": {"q1": "potato"}, "qrels": {"q1": {"d4": 1}}},
        {"models": {"m": RISING}, "queries": {"q1": "potato " * 2_000}, "qrels": {"q1": {"d4": 1}}},
        # Nothing is found for a query.
        {"models": {"m": RISING}, "queries": {"q1": "potato", "q2": "xqzwv"}},
        {"models": {"m": RISING}, "measures": ["AP"]},
    ],
)  # fmt: skip
def test_odd_data_have_a_report_too(odd: dict[str, object], tmp_path: Path) -> None:
    arguments: dict[str, object] = {"documents": DOCUMENTS, "queries": QUERIES, "qrels": QRELS, **odd}
    page = evaluation_page(evidence(tmp_path, **arguments))  # type: ignore[arg-type]
    html = page_html(page)
    assert page.verdict.headline
    assert "nan" not in re.sub(r"<[^>]*>", "", html).casefold().split()
    if odd.get("drift"):
        assert page.verdict.tone == "broken"
    if odd["models"] == {}:
        assert page.verdict.headline == "Nothing was compared with bm25."


def test_it_says_how_it_was_made(tmp_path: Path) -> None:
    html = page_html(evaluation_page(evidence(tmp_path, DOCUMENTS, QUERIES, QRELS, models={"m": RISING})))
    for text in ("ab" * 32, "int8-row-avx512-1", "avx512", "$ rerank-fleet evaluate tiny", "1.2.3", "RERANK_K"):
        assert text in html
    assert "30 November 2026, 04:05 UTC" in html


def test_depths_end_at_k_and_recall_rises(tmp_path: Path) -> None:
    found = evidence(tmp_path, DOCUMENTS, QUERIES, QRELS, models={"m": RISING})
    assert (depths(1), depths(12)) == ([1], [1, 2, 3, 5, 7, 10, 12])
    import ir_measures

    curve = by_depth(
        found.ready.stage, found.ready.labelled.qrels, ir_measures.nDCG @ 10, [found.systems["m"]], found.ready.k
    )
    recalls = [each.recall for each in curve]
    assert recalls == sorted(recalls)
    # Two of the three queries find all that is relevant, one half of it.
    assert recalls[-1] == pytest.approx((1 + 0.5 + 1) / 3)
    assert curve[-1].systems["m"] == pytest.approx(found.row("m").mean("nDCG@10"))
    assert all(each.systems["m"] <= each.perfect + 1e-9 for each in curve if each.k >= 5)
    assert enough(curve, "m", least=0.0) == 1
    assert enough(curve, "m", least=1.0) <= curve[-1].k


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    page = evaluation_page(evidence(tmp_path, DOCUMENTS, QUERIES, QRELS))
    write_page(tmp_path / "report.html", page)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page_html(page)
    with pytest.raises(OSError, match="nowhere"):
        write_page(tmp_path / "nowhere" / "report.html", page)
    assert [path.name for path in tmp_path.glob("*.tmp")] == []


def test_the_templates_are_in_the_package_as_it_is_installed() -> None:
    import tomllib

    root = Path(__file__).parents[3]
    data = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    package = files("rerank_ops")
    shown = {path.name for path in (root / "ops" / "rerank_ops" / "report" / "page").iterdir()}
    assert "report/page/*" in data["rerank_ops"]
    assert shown == {path.name for path in (package / "report" / "page").iterdir()}
