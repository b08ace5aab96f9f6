"""The table of a shortened model: every depth beside the bounds, what was made, and the collections."""

from __future__ import annotations

from rich.console import Console

from rerank_ops.quality.shortened_report import shortened_report
from rerank_shared.models.manifest import DepthQuality, Following, FollowingBounds, Shortened, ShortenedCollection

REPORT = Shortened(
    layers=3,
    kept=2,
    pairs=1_000,
    queries=125,
    made_queries=40,
    text_digest="0" * 64,
    measured_lists=20,
    measured_pairs=990,
    correlation=0.91,
    overlap_at_10=0.74,
    by_depth={1: Following(correlation=0.4, overlap_at_10=0.3), 2: Following(correlation=0.91, overlap_at_10=0.74)},
)


def told(report: Shortened) -> list[str]:
    console = Console(width=110)
    with console.capture() as capture:
        console.print(shortened_report(report))
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_every_depth_stands_beside_the_bounds() -> None:
    lines, bounds = told(REPORT), FollowingBounds()
    assert "Against the whole model, in 20 lists of other queries, 990 pairs" in " ".join(lines)
    assert "1 0.400 0.300" in lines
    assert "2 0.910 0.740 kept" in lines
    assert f"at least {bounds.min_correlation:g} {bounds.min_overlap_at_10:g}" in lines
    assert "40 of 145 queries were made of the corpus." in lines


def test_a_collection_shows_every_depth_alone_and_fused_beside_bm25() -> None:
    figures = {1: (0.21, 0.45), 2: (0.46, 0.52), 3: (0.47, 0.53)}
    found = ShortenedCollection(
        name="cacm",
        queries=52,
        ndcg_10_first=0.43,
        by_depth={depth: DepthQuality(ndcg_10=a, ndcg_10_fused=b) for depth, (a, b) in figures.items()},
    )
    lines = told(REPORT.model_copy(update={"collections": (found,), "made_queries": 0}))
    assert "nDCG@10 on cacm, 52 queries" in lines
    assert lines.index("1 0.2100 0.4500") < lines.index("2 0.4600 0.5200 kept") < lines.index("3 0.4700 0.5300")
    assert "BM25 0.4300" in lines
    assert not any("were made" in line for line in lines)
