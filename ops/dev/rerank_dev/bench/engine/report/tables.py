"""What the benchmark found as Markdown: pure functions of its JSON. A contender that did not run keeps its row."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from rerank_dev.bench.render import figures_table

Entry = dict[str, Any]
#: Share of the time from which an operator has a row of its own.
_LEAST = 0.005
_NO_KERNEL = "by ONNX Runtime's operators: no kernel ran"


def summary(data: Entry) -> str:
    """Return everything as one document."""
    return "\n\n".join(text for text in (targets(data), races(data), floors(data), profiles(data)) if text)


def targets(data: Entry) -> str:
    """Return all figures, those with a target first."""
    figures = [
        figure for part in ("race", "processes") for entry in data.get(part, {}).values() for figure in entry["figures"]
    ]
    figures.sort(key=lambda figure: figure["target"] is None)
    return figures_table(figures) if figures else ""


def races(data: Entry) -> str:
    """Return a table for each model, under what was run."""
    return "\n\n".join(f"{race_heading(race)}\n\n{race_table(race)}" for race in data.get("race", {}).values())


def race_heading(race: Entry) -> str:
    """Return the model, the requests and the versions of one race."""
    drawn = ", lengths drawn" if race["drawn"] else ""
    kernel = f"by kernel {race['kernel']}" if race["kernel"] else _NO_KERNEL
    lines = [
        f"**{race['label']}**, {race['rounds']} rounds, {race['machine']}. Our int8 {kernel}.",
        "",
        f"Text: {race['text']}{drawn}.",
    ]
    for k, found in race["lengths"].items():
        lines[-1] += (
            f" k={k}: {found['pairs']} pairs of {found['mean']:g} tokens on average (sd {found['sd']:g}, "
            f"p10 {found['p10']}, median {found['median']}, p90 {found['p90']}, longest {found['longest']})."
        )
    return "\n".join(lines)


def race_table(race: Entry) -> str:
    """Return a row a contender, fastest first: median and spread of its time, and how far the headline is ahead."""
    first = next((found for found in race["outcomes"] if found["contender"] == race["headline"]), None)
    headline = f"{first['precision']} unpadded" if first else race["headline"]
    ks = sorted({outcome["k"] for outcome in race["outcomes"]})
    head = ["contender", "precision", "pairs a run"]
    for k in ks:
        head += [f"k={k}, ms", f"{headline} is ahead, k={k}"]
    head += ["largest difference from fp32", "Spearman", "CPU / wall"]
    rows = [_row(head), _row(["---"] * len(head))]
    by_name: dict[str, dict[int, Entry]] = {}
    for outcome in race["outcomes"]:
        by_name.setdefault(outcome["contender"], {})[outcome["k"]] = outcome
    rows += [
        _contender_row(found, ks, race["headline"])
        for found in sorted(by_name.values(), key=lambda found: _median_s(found[ks[0]]))
    ]
    return "\n".join(rows)


def floors(data: Entry) -> str:
    """Return the floor of each race: the rate of bare products, the time they would take, and the share reached."""
    head = [
        "model",
        "our precision",
        "products",
        "k",
        "rates of bare products, 1e9/s",
        "floor, ms",
        "share reached (lowest to highest)",
    ]
    rows = []
    for race in data.get("race", {}).values():
        for floor in race["floors"]:
            rates = ", ".join(f"{shape} {rate:.0f}" for shape, rate in floor["rates"].items())
            share = _spread(floor["share"], "{:.0%}")
            floor_ms = f"{statistics.median(floor['seconds']) * 1000:.0f}"
            rows.append(
                _row([race["model"], floor["precision"], floor["products"], str(floor["k"]), rates, floor_ms, share])
            )
    return "\n".join([_row(head), _row(["---"] * len(head)), *rows]) if rows else ""


def profiles(data: Entry) -> str:
    """Return the shares of each operator, a column a graph; operators under _LEAST everywhere are summed up."""
    tables = []
    for model, entry in data.get("profile", {}).items():
        columns = {f"{found['files']}, {found['kernel']}": found["shares"] for found in entry["profiles"]}
        if columns:
            tables.append(_profile_table(model, columns))
    return "\n\n".join(tables)


def versions(data: Entry) -> str:
    """Return the versions of everything that took part."""
    found = {name: version for race in data.get("race", {}).values() for name, version in race["versions"].items()}
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


def _profile_table(model: str, columns: dict[str, list[Entry]]) -> str:
    shares = {column: {share["name"]: share["share"] for share in found} for column, found in columns.items()}
    first = next(iter(shares.values()))
    names = {name for found in shares.values() for name, share in found.items() if share >= _LEAST}
    rows = [_row([model, *columns]), _row(["---"] * (len(columns) + 1))]
    for name in sorted(names, key=lambda name: (-first.get(name, 0.0), name)):
        rows.append(_row([name, *(f"{found[name]:.1%}" if name in found else "" for found in shares.values())]))
    rest = [sum(share for name, share in found.items() if name not in names) for found in shares.values()]
    return "\n".join([*rows, _row(["all others", *(f"{share:.1%}" for share in rest)])])


def _contender_row(found: dict[int, Entry], ks: Sequence[int], headline: str) -> str:
    first = found[ks[0]]
    label = f"**{first['label']}**" if first["ours"] else first["label"]
    cells = [label, first["precision"], str(first["batch_size"] or "")]
    for k in ks:
        outcome = found[k]
        if outcome["failure"] is not None:
            cells += [f"not run: {outcome['failure'].replace('|', '/')}", ""]
            continue
        ahead = _spread(outcome["ahead"], "{:.2f}") if outcome["ahead"] else ""
        cells.append(_spread([seconds * 1000 for seconds in outcome["seconds"]], "{:.0f}"))
        cells.append("1" if outcome["contender"] == headline else ahead)
    ran = [outcome for outcome in found.values() if outcome["cpu_share"] is not None]
    compared = [outcome for outcome in ran if outcome["max_difference"] is not None]
    difference = f"{max(outcome['max_difference'] for outcome in compared):.2g}" if compared else ""
    agreed = f"{min(outcome['spearman'] for outcome in compared):.4f}" if compared else ""
    cpu = f"{statistics.mean(outcome['cpu_share'] for outcome in ran):.2f}" if ran else ""
    return _row([*cells, difference, agreed, cpu])


def _median_s(outcome: Entry) -> float:
    return statistics.median(outcome["seconds"]) if outcome["seconds"] else float("inf")


def _spread(values: Sequence[float], form: str) -> str:
    low, middle, high = (form.format(value) for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
