"""The floor counts the linear layers of the full model at the best rate of each product."""

import json
from pathlib import Path

import pytest

from rerank_dev.bench.engine.floor import ModelShape, floor_s, linear_shapes, read_shape

L6 = ModelShape(hidden=384, feed_forward=1536, layers=6)


def test_one_rate_for_all_products_gives_24_hidden_squared_a_layer_over_it() -> None:
    rates = {f"{inner}x{outer}": {"96": 300.0, "768": 400.0} for inner, outer in linear_shapes(L6)}
    assert floor_s(1000, L6, rates) == pytest.approx(1000 * 24 * 384**2 * 6 / 400e9)


def test_a_slow_product_counts_by_its_own_work() -> None:
    rates = {f"{inner}x{outer}": {"96": 400.0} for inner, outer in linear_shapes(L6)}
    slow = rates | {"1536x384": {"96": 200.0}}
    # A third of the work (4 of 12 H^2) at half the rate.
    assert floor_s(1, L6, slow) / floor_s(1, L6, rates) == pytest.approx(4 / 3)


def test_shape_is_read_from_the_config(tmp_path: Path) -> None:
    config = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_shape(tmp_path) == L6
