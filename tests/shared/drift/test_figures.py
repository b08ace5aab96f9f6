"""Figures of a shadow: what is counted of requests adds up, and is read back as means and quantiles."""

from __future__ import annotations

from collections import Counter

import pytest

from rerank_shared.drift.agreement import Agreement, agreement
from rerank_shared.drift.figures import OUTCOMES, Cost, Models, ShadowFigures, Side, counts_of, read_figures

MODELS = Models("a|b", "c d")
COSTS: dict[Side, Cost] = {"live": Cost(100, 1, 0.5), "shadow": Cost(80, 0, None)}


def stored(counts: Counter[str], models: Models = MODELS) -> dict[bytes, bytes]:
    return {models.field(what).encode(): str(count).encode() for what, count in counts.items()}


def of(*differences: float, spearman: float = 0.5) -> Agreement:
    return Agreement(differences, spearman, overlap=0.9, order=0.75, live_first=0, shadow_first=0)


def test_requests_of_all_processes_add_up() -> None:
    counts = counts_of(of(0.1, 0.3), COSTS) + Counter({"busy": 2, "late": 1})
    counts.update(counts_of(of(0.2, 0.2, spearman=-0.9), COSTS))
    (found,) = read_figures(stored(counts)).values()
    assert (found.sampled, found.compared, found.dropped, found.pairs) == (5, 2, {"busy": 2, "late": 1}, 4)
    assert found.mean_difference == pytest.approx(0.2)
    assert found.p99_difference == pytest.approx(0.3, rel=0.05)
    assert (found.mean("spearman"), found.mean("overlap"), found.mean("order")) == pytest.approx((-0.2, 0.9, 0.75))
    assert found.same_first == 1.0
    assert (found.truncated("live"), found.truncated("shadow")) == (0.5, 0.0)
    assert (found.tokens("live"), found.tokens("shadow")) == (100, 80)
    # A cost that nobody has measured counts in no mean.
    assert found.seconds("live") == pytest.approx(0.5)
    assert found.seconds("shadow") is None


def test_each_pair_of_models_has_its_own_figures() -> None:
    other = Models("c d", "a|b")
    counts = counts_of(agreement([0.1, 0.2], [0.1, 0.2]), COSTS)
    found = read_figures(stored(counts) | stored(Counter({"full": 3}), other))
    assert found[MODELS].compared == 1
    assert (found[other].compared, found[other].dropped, found[other].sampled) == (0, {"full": 3}, 3)


def test_nothing_has_no_means() -> None:
    nothing = ShadowFigures()
    assert nothing.sampled == 0
    assert {nothing.mean_difference, nothing.p99_difference, nothing.mean("spearman"), nothing.same_first} == {None}
    assert {nothing.truncated("live"), nothing.tokens("live"), nothing.seconds("live")} == {None}


def test_what_can_not_be_read_counts_as_absent() -> None:
    fields = stored(Counter({"compared": 1}))
    fields |= {b"compared": b"7", b"busy\na|b\nc d": b"many", b"late\na|b\nc d": b"-3"}
    fields |= {b"difference/9999\na|b\nc d": b"1", b"\xff\na\nb": b"1"}
    found = read_figures(fields)[MODELS]
    assert (found.compared, found.dropped, found.p99_difference) == (1, {}, None)


def test_every_reason_is_told() -> None:
    counts = Counter(dict.fromkeys(OUTCOMES, 1))
    assert read_figures(stored(counts))[MODELS].sampled == len(OUTCOMES)
