"""Names of precisions: what each promises of a score's bits, and the name its scores are cached under."""

from __future__ import annotations

import pytest

from rerank_shared.models.precision import (
    KERNEL_VARIANTS,
    LAYOUTS,
    PRECISION,
    PRECISIONS,
    KernelVariant,
    LayoutName,
    PrecisionName,
    kernel_precision,
    kernel_variant,
    score_precision,
)


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
    """Kernels compute the same in every layout."""
    names = {score_precision(precision, layout) for precision in PRECISIONS for layout in LAYOUTS}
    assert len(names) == 21
    assert not names & {kernel_precision(variant, 1) for variant in KERNEL_VARIANTS}


@pytest.mark.parametrize("variant", KERNEL_VARIANTS)
def test_the_name_of_a_kernel_s_scores_tells_the_kernel(variant: KernelVariant) -> None:
    assert kernel_precision(variant, 1) != kernel_precision(variant, 2)
    assert kernel_variant(kernel_precision(variant, 12)) == variant


@pytest.mark.parametrize("precision", ["int8", "int8-row", "int8-row-", "int8-row-avx9-1", "int8-static", "fp32", ""])
def test_other_scores_are_of_no_kernel(precision: str) -> None:
    assert kernel_variant(precision) is None


def test_nothing_is_promised_of_gpus() -> None:
    assert all(not PRECISION[name].invariant_layouts for name in PRECISIONS if "cpu" not in PRECISION[name].devices)
