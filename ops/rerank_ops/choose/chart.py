"""Charts of a choice, as SVG text made of its plain data: the front of quality and time, and the curve by k. Pure.

Text and lines take the colour of the page around them (`currentColor`), marks one for a light and one for a dark page.
A page that has several of them needs STYLE once; a chart of `chart_of` is a file of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from rerank_ops.choose.scales import Scale, linear, logarithmic

WIDTH, HEIGHT = 720, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 44, 64
#: Okabe and Ito's blue and vermilion, which the colour-blind can distinguish; their lighter ones on a dark page.
STYLE = """
.choose { font: 13px system-ui, sans-serif; fill: currentColor; }
.choose text { fill: currentColor; }
.choose .title { font-weight: 600; font-size: 15px; }
.choose .faint { opacity: 0.65; font-size: 12px; }
.choose .axis { stroke: currentColor; opacity: 0.55; fill: none; }
.choose .grid { stroke: currentColor; opacity: 0.12; fill: none; }
.choose .other { fill: currentColor; opacity: 0.22; }
.choose .line { stroke: var(--choose-line); stroke-width: 2; fill: none; }
.choose .dot { fill: var(--choose-line); }
.choose .band { fill: var(--choose-line); opacity: 0.16; }
.choose .mark { stroke: var(--choose-mark); stroke-width: 2.5; fill: none; }
.choose .dashed { stroke: currentColor; stroke-dasharray: 5 4; opacity: 0.7; fill: none; }
.choose .limit { stroke: var(--choose-mark); stroke-dasharray: 5 4; stroke-width: 1.5; fill: none; }
:root { --choose-line: #0072b2; --choose-mark: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --choose-line: #56b4e9; --choose-mark: #e69f00; } }
"""
#: The page of a chart that is a file of its own.
_PAGE = """
svg.page { color: #1f2328; background: #ffffff; }
@media (prefers-color-scheme: dark) { svg.page { color: #e6edf3; background: #0d1117; } }
"""


def chart_of(plain: Mapping[str, Any]) -> str:
    """Return both charts, one below the other, as an SVG file; `plain` is what `as_plain` returns."""
    parts = [front_chart(plain), curve_chart(plain)]
    placed = [
        part.replace("<svg ", f'<svg y="{place * HEIGHT}" width="{WIDTH}" height="{HEIGHT}" ', 1)
        for place, part in enumerate(parts)
    ]
    height = HEIGHT * len(parts)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="page" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}"><style>{STYLE}{_PAGE}</style>'
    )
    return "\n".join([head, *placed, "</svg>\n"])


def front_chart(plain: Mapping[str, Any]) -> str:
    """Return quality by time: every configuration, the front, the limit, the first stage, and what was picked."""
    asked = plain["asked"]
    measure, options = asked["measure"], plain["configurations"]
    stage = plain["first_stage"]["means"][measure]
    qualities = [each["means"][measure] for each in options]
    times = [each["p95_ms"] for each in options]
    x = logarithmic([*times, asked["p95_ms"]], _LEFT, WIDTH - _RIGHT)
    y = linear([*qualities, stage], HEIGHT - _BOTTOM, _TOP)
    front = sorted((each for each in options if each["on_front"]), key=lambda each: float(each["p95_ms"]))
    picked = next((each for each in options if plain["picked"] and each["name"] == plain["picked"]["name"]), None)
    body = [
        *_axes(x, y, "p95 of a request (ms)", f"{measure} and time, {len(options):,} configurations"),
        _text(WIDTH - _RIGHT, 22, f"{asked['queries']:,} queries of {asked['data']}", "faint", "end"),
        f'<path class="limit" d="M{x.at(asked["p95_ms"]):.1f} {_TOP}V{HEIGHT - _BOTTOM}"/>',
        _text(x.at(asked["p95_ms"]) + 5, _TOP + 10, f"limit {asked['p95_ms']:,.0f} ms", "faint"),
        f'<path class="dashed" d="M{_LEFT} {y.at(stage):.1f}H{WIDTH - _RIGHT}"/>',
        _text(WIDTH - _RIGHT, y.at(stage) - 5, f"{asked['stage']} alone {stage:.3f}", "faint", "end"),
        *(_dot(each, measure, x, y, "other", 3) for each in options if not each["on_front"]),
        _path([(x.at(each["p95_ms"]), y.at(each["means"][measure])) for each in front]),
        *(_dot(each, measure, x, y, "dot", 4.5) for each in front),
    ]
    if picked is not None:
        body += _picked(picked, measure, x, y)
    return _svg(body, f"{measure} by p95 of {len(options)} configurations")


def curve_chart(plain: Mapping[str, Any]) -> str:
    """Return quality by k with the interval of its difference to the largest, the share found, and what is enough."""
    curve, measure = plain["recall_curve"], plain["asked"]["measure"]
    points = curve["points"]
    last = points[-1]["mean"]
    band = [(last + each["gain"]["low"], last + each["gain"]["high"]) for each in points]
    x = linear([0, *(each["at"] for each in points)], _LEFT, WIDTH - _RIGHT, ticks=[each["at"] for each in points])
    y = linear([value for bounds in band for value in bounds], HEIGHT - _BOTTOM, _TOP)
    places = [x.at(each["at"]) for each in points]
    upper = [(place, y.at(high)) for place, (_, high) in zip(places, band, strict=True)]
    lower = [(place, y.at(low)) for place, (low, _) in zip(places, band, strict=True)]
    enough = x.at(curve["enough"])
    shown = next(each for each in plain["configurations"] if each["name"] == plain["shown"])
    title = f"{measure} by k: {shown['model']}, {shown['max_length']} tokens, weight {shown['weight']:g}"
    body = [
        *_axes(x, y, "", title),
        _path([*upper, *reversed(lower)], "band", closed=True),
        _path([(place, y.at(each["mean"])) for place, each in zip(places, points, strict=True)]),
        *(
            _circle(place, y.at(each["mean"]), "dot", 4, _tip(each))
            for place, each in zip(places, points, strict=True)
        ),
        f'<path class="limit" d="M{enough:.1f} {_TOP}V{HEIGHT - _BOTTOM}"/>',
        _text(enough + (5 if enough < WIDTH / 2 else -5), _TOP - 8, f"enough: k {curve['enough']}", "faint",
              "start" if enough < WIDTH / 2 else "end"),
        *(
            _text(place, HEIGHT - _BOTTOM + 34, f"{each['recall']:.0%}", "faint", "middle")
            for place, each in zip(places, points, strict=True)
        ),
        _text(WIDTH / 2, HEIGHT - 10, "k; below it the share of relevant documents that are among them", "", "middle"),
    ]  # fmt: skip
    return _svg(body, f"{measure} by the number of candidates")


def _picked(each: Mapping[str, Any], measure: str, x: Scale, y: Scale) -> Iterator[str]:
    across, down = x.at(each["p95_ms"]), y.at(each["means"][measure])
    yield f'<circle class="mark" cx="{across:.1f}" cy="{down:.1f}" r="9"/>'
    anchor, aside = ("start", 14) if across < WIDTH / 2 else ("end", -14)
    label = f"picked: {each['max_length']} tokens, k {each['k']}, weight {each['weight']:g}"
    yield _text(across + aside, down + 22, label, "", anchor)


def _axes(x: Scale, y: Scale, along: str, title: str) -> Iterator[str]:
    bottom = HEIGHT - _BOTTOM
    yield _text(_LEFT - 44, 22, title, "title")
    for value, label in y.ticks:
        yield f'<path class="grid" d="M{_LEFT} {y.at(value):.1f}H{WIDTH - _RIGHT}"/>'
        yield _text(_LEFT - 8, y.at(value) + 4, label, "", "end")
    for value, label in x.ticks:
        yield f'<path class="axis" d="M{x.at(value):.1f} {bottom}v5"/>'
        yield _text(x.at(value), bottom + 19, label, "", "middle")
    yield f'<path class="axis" d="M{_LEFT} {bottom}H{WIDTH - _RIGHT}"/>'
    if along:
        yield _text(WIDTH / 2, HEIGHT - 22, along, "", "middle")


def _dot(each: Mapping[str, Any], measure: str, x: Scale, y: Scale, kind: str, radius: float) -> str:
    tip = f"{each['name']}: {measure} {each['means'][measure]:.4f}, p95 {each['p95_ms']:,.0f} ms"
    return _circle(x.at(each["p95_ms"]), y.at(each["means"][measure]), kind, radius, tip)


def _circle(across: float, down: float, kind: str, radius: float, tip: str) -> str:
    inner = f"<title>{escape(tip)}</title>"
    return f'<circle class="{kind}" cx="{across:.1f}" cy="{down:.1f}" r="{radius}">{inner}</circle>'


def _tip(point: Mapping[str, Any]) -> str:
    gain = point["gain"]
    return f"k {point['at']}: {point['mean']:.4f}, {gain['mean']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"


def _path(points: Sequence[tuple[float, float]], kind: str = "line", *, closed: bool = False) -> str:
    steps = "L".join(f"{across:.1f} {down:.1f}" for across, down in points)
    return f'<path class="{kind}" d="M{steps}{"Z" if closed else ""}"/>'


def _text(across: float, down: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(body: Sequence[str], label: str) -> str:
    head = (
        f'<svg class="choose" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">'
    )
    return "\n".join([head, *body, "</svg>"])
