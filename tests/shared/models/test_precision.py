"""Names of precisions: what each promises of a score's bits, and the name its scores are cached under."""

from __future__ import annotations

import pytest

from rerank_shared.models.precision import LAYOUTS, PRECISION, PRECISIONS, LayoutName, PrecisionName, score_precision


def test_every_name_is_described() -> None:
    assert set(PRECISION) == set(PRECISIONS)
    assert all(PRECISION[name].name == name and PRECISION[name].summary for name in PRECISIONS)


@pytest.mark.parametrize(
    ("precision", "layout", "name"),
    [("int8", "unpadded", "int8"), ("int8", "packed", "int8-packed"), ("fp32", "padded", "fp32-padded")],
)
def test_a_layout_in_which_company_changes_a_score_stands_in_its_name(
    precision: PrecisionName, layout: LayoutName, name: str
) -> None:
    assert score_precision(precision, layout) == name


def test_no_two_ways_to_compute_share_a_name() -> None:
    assert len({score_precision(precision, layout) for precision in PRECISIONS for layout in LAYOUTS}) == 20


def test_nothing_is_promised_of_gpus() -> None:
    assert all(not PRECISION[name].invariant_layouts for name in PRECISIONS if "cpu" not in PRECISION[name].devices)
