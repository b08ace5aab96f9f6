"""The report of an evaluation as a page: verdict, tables, charts, queries side by side, and what it rests on. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rerank_ops.evaluate.scoring import ModelScores
from rerank_ops.report.blocks import Changes, Command, Facts, Figure, Notes, Page, Section
from rerank_ops.report.changed_queries import Sides, best_and_worst, values_of
from rerank_ops.report.evidence import Evidence
from rerank_ops.report.pictures import curve, front
from rerank_ops.report.tables import differences, how_tested, worth
from rerank_ops.report.text import counted, signed
from rerank_ops.report.verdict import subject, verdict
from rerank_shared.models.precision import kernel_variant

_DIGEST = re.compile("[0-9a-f]{32,}")


def evaluation_page(evidence: Evidence) -> Page:
    """Return the page of an evaluation. Raises ConfigurationError for a measure that can't be calculated here."""
    asked, shown = evidence.evaluation.asked, subject(evidence.evaluation)
    about = (
        f"{counted(asked.queries, 'query', 'queries')} of {asked.data}. The best {asked.k} documents of {asked.stage} "
        "are ranked."
    )
    return Page(
        title=f"Evaluation of {asked.data}",
        about=about,
        verdict=verdict(evidence.evaluation),
        figures=tuple(_figures(evidence, shown)),
        sections=tuple(_sections(evidence, shown)),
        made=f"Made {evidence.made.when()} by rerank-fleet {evidence.made.versions.get('rerank-fleet', '')}".strip(),
    )


def _figures(evidence: Evidence, shown: str | None) -> Iterator[Figure]:
    found, measure, base = evidence.evaluation, evidence.measure, evidence.baseline()
    yield Figure(f"{measure}, baseline", f"{base.mean(measure):.3f}", base.name)
    if shown is not None:
        row = evidence.row(shown)
        gain = row.comparisons[measure].gain
        yield Figure(f"{measure}, best", f"{row.mean(measure):.3f}", row.name)
        bounds = f"{signed(gain.low)} to {signed(gain.high)}"
        yield Figure("Difference", signed(gain.mean), f"{bounds}, 95 % interval")
    ceiling = next((row for row in found.rows if row.kind == "ceiling"), None)
    if ceiling is not None:
        yield Figure(f"{measure}, at most", f"{ceiling.mean(measure):.3f}", ceiling.name)
    speed = found.speed_of(evidence.row(shown)) if shown is not None else None
    if speed is not None:
        many = counted(len(speed.latencies_ms), "query", "queries")
        how = "computed from its models’ times" if speed.computed else f"{many} one after the other"
        yield Figure("P95 of a query", f"{speed.latency_ms(95):,.0f} ms", how)


def _sections(evidence: Evidence, shown: str | None) -> Iterator[Section]:
    found = evidence.evaluation
    yield Section("systems", "Systems", "", (worth(evidence),))
    yield Section("charts", "Quality, time and depth", "", (front(evidence), curve(evidence, shown)))
    if tables := tuple(differences(evidence)):
        yield Section("differences", "Differences", how_tested(found), tables)
    if shown is not None:
        yield _changes(evidence, shown)
    odd = tuple(map(str, found.oddities)) or ("Nothing was odd.",)
    yield Section("data", "The data", "", (_data(evidence), Notes(odd)))
    settings = (*(_model(each, found.asked.max_length) for each in found.models), _made(evidence))
    yield Section("settings", "Settings and digests", "", settings)
    yield Section("repeat", "How to repeat it", "", (Command(evidence.made.command), Notes((_repeatable(evidence),))))


def _changes(evidence: Evidence, shown: str) -> Section:
    measure, base, row = evidence.measure, evidence.baseline(), evidence.row(shown)
    labelled = evidence.ready.labelled
    sides = Sides(
        evidence.systems[base.name],
        evidence.systems[row.name],
        values_of(base, measure),
        values_of(row, measure),
        labelled.queries,
        evidence.texts(),
        labelled.qrels,
    )
    best, worst = best_and_worst(sides)
    lists = [
        Changes(f"Gain most: {counted(len(best), 'query', 'queries')}", base.name, row.name, measure, best,
                f"No query gains in {measure}."),
        Changes(f"Lose most: {counted(len(worst), 'query', 'queries')}", base.name, row.name, measure, worst,
                f"No query loses in {measure}."),
    ]  # fmt: skip
    lead = f"Queries that change most from {base.name} to {row.name}, by {measure}. Unfold one to see both orders."
    return Section("queries", "Queries side by side", lead, tuple(lists))


def _data(evidence: Evidence) -> Facts:
    found, ready = evidence.evaluation, evidence.ready
    pairs = sum(len(query.candidates) for query in ready.candidates.queries)
    judgements = sum(map(len, ready.labelled.qrels.values()))
    items = [
        ("queries that count", f"{found.asked.queries:,}"),
        ("their judgements", f"{judgements:,}, {sum(1 for _ in ready.labelled.relevant()):,} documents relevant"),
        ("candidates", f"{pairs:,} of {ready.stage.name}"),
        *((_part(part, value), value) for part, value in evidence.identity.items()),
    ]
    return Facts(found.asked.data, tuple(items))


def _part(name: str, value: str) -> str:
    """Return what a part of the data is called; most are known by digests."""
    return f"digest of the {name}" if _DIGEST.fullmatch(value) else name


def _model(scores: ModelScores, max_length: int | None) -> Facts:
    model, again = scores.model, scores.again
    items = [
        ("model", model.name),
        ("digest", str(model.digest)),
        ("precision", str(model.precision)),
        ("kernel", kernel_variant(str(model.precision)) or "none: ONNX Runtime’s operators"),
        ("tokens of a pair, at most", f"{max_length or model.max_length:,}" if max_length or model.max_length else ""),
        ("pairs", f"{scores.pairs:,}, {scores.cached:,} of them from the cache, {scores.truncated:,} cut"),
    ]
    if again is not None and again.latencies_ms:
        items += [
            ("timed", f"{counted(len(again.latencies_ms), 'query', 'queries')}, one after the other, uncached"),
            ("worker processes", f"{again.processes:,}"),
            ("asked from", again.host),
            ("largest difference of a logit, the second time", f"{scores.largest_difference():g}"),
        ]
    return Facts(scores.name, tuple(items))


def _made(evidence: Evidence) -> Facts:
    asked, made = evidence.evaluation.asked, evidence.made
    items = [
        ("k", f"{asked.k:,}"),
        ("first stage", asked.stage),
        ("baseline", asked.baseline),
        ("seed", str(asked.seed)),
        *made.settings.items(),
        *made.versions.items(),
    ]
    return Facts("This report", tuple(items))


def _repeatable(evidence: Evidence) -> str:
    if evidence.evaluation.models:
        return (
            "Orders, intervals and p come out the same from the same data and the same digest of the model. Times "
            "don’t: they belong to the machine and to what else it did."
        )
    return "The same data give the same figures."
