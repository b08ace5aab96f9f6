"""The report of a choice among configurations as a page, of the plain data that `choose --json` prints. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rerank_ops.evaluate.systems import Kind, System
from rerank_ops.report.blocks import (
    Cell,
    Changes,
    Chart,
    Command,
    Facts,
    Figure,
    Mark,
    Notes,
    Page,
    Section,
    Table,
    Tone,
    Verdict,
)
from rerank_ops.report.changed_queries import Sides, best_and_worst
from rerank_ops.report.charts.plot import Level, Point, curves, front_of, trade_off
from rerank_ops.report.made import Made
from rerank_ops.report.text import counted, signed
from rerank_ops.report.verdict import ALPHA

Plain = Mapping[str, Any]


def choice_page(plain: Plain, texts: Mapping[str, str], made: Made) -> Page:
    """Return the page of a choice; `texts` are documents by id, of which those that lack are shown by id alone."""
    asked = plain["asked"]
    headline, *support = plain["verdict"]
    return Page(
        title=f"Choice for {asked['data']}",
        about=f"{counted(asked['queries'], 'query', 'queries')} of {asked['data']}, ranked after {asked['stage']}, "
        f"within {asked['p95_ms']:,.0f} ms for 95 % of requests.",
        verdict=Verdict(headline, _tone(plain), tuple(support)),
        figures=tuple(_figures(plain)),
        sections=tuple(_sections(plain, texts, made)),
        made=f"Made {made.when()} by rerank-fleet {made.versions.get('rerank-fleet', '')}".strip(),
    )


def _tone(plain: Plain) -> Tone:
    confirmed = plain.get("confirmed")
    if not confirmed:
        return "open"
    over = confirmed["over_stage"]
    if over["p"] < ALPHA and over["gain"]["low"] > 0:
        return "better"
    return "worse" if over["p"] < ALPHA and over["gain"]["high"] < 0 else "open"


def _figures(plain: Plain) -> Iterator[Figure]:
    asked, confirmed, measure = plain["asked"], plain.get("confirmed"), plain["asked"]["measure"]
    stage = plain["first_stage"]
    yield Figure(f"{measure}, {stage['name']}", f"{stage['means'][measure]:.3f}", "all queries")
    if confirmed:
        gain = confirmed["over_stage"]["gain"]
        yield Figure("Confirmed", f"{confirmed['figure']['mean']:.3f}", f"{confirmed['queries']:,} queries kept apart")
        yield Figure("Difference", signed(gain["mean"]), f"{signed(gain['low'])} to {signed(gain['high'])}, 95 %")
    shown = _configuration(plain, plain["shown"])
    if shown is not None and shown["p95_ms"] is not None:
        limit = f"{shown['latency_is']}; {asked['p95_ms']:,.0f} ms asked"
        yield Figure("P95 of a request", f"{shown['p95_ms']:,.0f} ms", limit)


def _sections(plain: Plain, texts: Mapping[str, str], made: Made) -> Iterator[Section]:
    asked = plain["asked"]
    timed = [_point(plain, each) for each in plain["configurations"] if each["p95_ms"]]
    front = front_of(timed)
    yield Section(
        "configurations", "Configurations", "Those on the front, where nothing is both faster and better, and the "
        "one that was picked.", (_table(plain, front),)
    )  # fmt: skip
    yield Section("charts", "Quality, time and depth", "", (_trade_off(plain, timed, front), _curve(plain)))
    if changes := _changes(plain, texts):
        yield Section("queries", "Queries side by side", "Unfold one to see both orders.", changes)
    odd = tuple(_oddity(each) for each in plain["oddities"]) or ("Nothing was odd.",)
    yield Section("data", "The data", "", (Notes((*odd, *plain["notes"])),))
    facts = [*(_model(each) for each in plain["models"]), _how(asked, made)]
    yield Section("settings", "Settings and digests", "", tuple(facts))
    yield Section("repeat", "How to repeat it", "", (Command(made.command),))


def _configuration(plain: Plain, name: str) -> Plain | None:
    return next((each for each in plain["configurations"] if each["name"] == name), None)


def _point(plain: Plain, each: Plain) -> Point:
    measure = plain["asked"]["measure"]
    number = str(1 + [other["name"] for other in plain["configurations"]].index(each["name"]))
    value = each["means"][measure]
    detail = f"{measure} {value:.4f}, {each['p95_ms']:,.0f} ms"
    return Point(number, each["name"], each["p95_ms"], value, detail)


def _table(plain: Plain, front: Sequence[Point]) -> Table:
    asked, wanted = plain["asked"], {plain["shown"], *(point.name for point in front)}
    rows = []
    for number, each in enumerate(plain["configurations"], start=1):
        if each["name"] not in wanted:
            continue
        mark: Mark = "best" if each["name"] == plain["shown"] else ""
        name = f"{number}. {each['name']}{' (picked)' if mark and plain['picked'] else ''}"
        times = [each["p50_ms"], each["p95_ms"], each["p99_ms"]]
        rows.append((
            Cell(name, mark),
            *(Cell(f"{each['means'][measure]:.4f}") for measure in asked["measures"]),
            *(Cell("" if time_ms is None else f"{time_ms:,.0f}") for time_ms in times),
        ))  # fmt: skip
    return Table(
        "The front, by all queries", ("Configuration", *asked["measures"], "P50, ms", "P95, ms", "P99, ms"), tuple(rows)
    )


def _trade_off(plain: Plain, timed: Sequence[Point], front: Sequence[Point]) -> Chart | Notes:
    if not timed:
        return Notes(("There is no chart of quality against time: nothing was timed.",))
    asked, stage = plain["asked"], plain["first_stage"]
    named = [point for point in timed if point in front or point.name == plain["shown"]]
    level = Level(stage["name"], stage["means"][asked["measure"]])
    plot = trade_off(
        named, [level], cost="P95, ms", value=asked["measure"], others=[point for point in timed if point not in named]
    )
    words = f"Each configuration of {len(timed):,}; those without a number are beaten in time and quality."
    return Chart(f"{asked['measure']} against the time of a request", words, plot)


def _curve(plain: Plain) -> Chart | Notes:
    curve, measure = plain.get("recall_curve"), plain["asked"]["measure"]
    if not curve or len(curve["points"]) < 2:
        return Notes(("One k was measured, so that there is no curve over k.",))
    lines = {f"{measure}, ranking k": [(float(each["at"]), each["mean"]) for each in curve["points"]]}
    if all(each["recall"] is not None for each in curve["points"]):
        found = [(float(each["at"]), each["recall"]) for each in curve["points"]]
        lines = {f"R@k of {plain['first_stage']['name']}": found, **lines}
    enough = curve["enough"]
    words = "No k is known to be enough." if enough is None else f"Beyond k {enough:,} nothing is gained that matters."
    return Chart("What lies within the first k", words, curves(lines, x_name="k", y_name="mean"))


def _changes(plain: Plain, texts: Mapping[str, str]) -> tuple[Changes, ...]:
    measure, shown = plain["asked"]["measure"], _configuration(plain, plain["shown"])
    if shown is None or not plain["queries"]:
        return ()
    queries, stage = plain["queries"], plain["first_stage"]
    sides = Sides(
        _system(stage["name"], "first stage", queries, "was"),
        _system(plain["shown"], "fused", queries, "now"),
        _values(stage["per_query"], measure),
        _values(shown["per_query"], measure),
        {each["id"]: each["text"] for each in queries},
        texts,
        {each["id"]: each["grades"] for each in queries},
    )
    best, worst = best_and_worst(sides)
    both = (("Gain most", best, f"No query gains in {measure}."), ("Lose most", worst, f"No query loses in {measure}."))
    known = max(len(each[key]) for each in queries for key in ("was", "now"))
    return tuple(
        Changes(f"{title}: {len(found):,}", stage["name"], plain["shown"], measure, found, nothing, known)
        for title, found, nothing in both
    )


def _values(per_query: Mapping[str, Any], measure: str) -> dict[str, float]:
    """Return values by query, which stand alone or by measure."""
    return {name: float(each[measure] if isinstance(each, Mapping) else each) for name, each in per_query.items()}


def _system(name: str, kind: Kind, queries: Sequence[Plain], key: str) -> System:
    run = {each["id"]: tuple(each[key]) for each in queries}
    return System(name, kind, run, tuple(run))


def _oddity(each: Any) -> str:
    if isinstance(each, str):
        return each
    return f"{each['what']}: {each['count']:,} ({', '.join(each['examples'])})"


def _model(each: Plain) -> Facts:
    items = [
        ("model", each["source"]),
        ("digest", str(each["digest"])),
        ("precision", str(each["precision"])),
        ("tokens of a pair", ", ".join(map(str, each["lengths"]))),
        ("pairs scored", f"{each['pairs_scored']:,}, {each['pairs_cached']:,} of them from the cache"),
    ]
    if timed := each.get("timed"):
        items += [("timed", f"{timed['requests']:,} requests"), ("asked from", timed["host"])]
        items.append(("worker processes", f"{timed['processes']:,}"))
    return Facts(each["name"], tuple(items))


def _how(asked: Plain, made: Made) -> Facts:
    said = ("p95_ms", "measure", "margin", "method", "processes", "rate", "seed")
    items = [(name, str(asked[name])) for name in said if asked.get(name) is not None]
    return Facts("This report", (*items, *made.settings.items(), *made.versions.items()))
