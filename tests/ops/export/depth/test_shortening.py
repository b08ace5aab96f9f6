"""A model of random weights is shortened: its first layers are left, its head follows, and wrong depths are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rerank_ops.export.depth.candidate_list import CandidateList, Divided, divided
from rerank_ops.export.depth.probe import Probe
from rerank_ops.export.depth.shortening import Depth, ShortModel, shorten
from rerank_ops.export.graph.bodies.body import Body, Dense, Layer
from rerank_ops.export.made import Maker
from rerank_ops.export.sources.opened import Opened
from rerank_ops.export.texts import Texts
from rerank_shared.errors import ConfigurationError
from rerank_shared.models.precision import LAYOUTS
from rerank_worker.engine.whole import run_engine
from rerank_worker.tokenizing import EncodedPair
from support.model.exports import LAYERS, MAX_LENGTH, SENTENCE, pairs_of, random_body, tokenizer

TEXTS = Texts(tokenizer(), MAX_LENGTH)


def text() -> Divided:
    words = SENTENCE.split()
    lists = [
        CandidateList(
            f"{words[n % 21]} {words[n * 5 % 21]} {n}",
            tuple(f"{place} {' '.join((words * 2)[(n + place) % 21 :][: 3 + place % 9])}" for place in range(20)),
        )
        for n in range(30)
    ]
    return divided(lists, 150)


def settled_body() -> Body:
    """Return a model whose later layers change little of what the first one made of a pair, as trained ones do."""
    body = random_body()
    return replace(body, layers=(body.layers[0], *map(calm, body.layers[1:])))


def calm(layer: Layer) -> Layer:
    def small(dense: Dense) -> Dense:
        return replace(dense, weight=dense.weight * np.float32(0.02))

    return replace(layer, attention_out=small(layer.attention_out), down=small(layer.down))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A model whose graph of ours stands for the published one."""
    body = settled_body()
    probe = Probe.of(body, tmp_path_factory.mktemp("published"), 1)
    return Opened(
        config={"model_type": "bert", "num_hidden_layers": LAYERS, "hidden_size": 32},
        body=body,
        plain_because="",
        reference=lambda pairs: probe.run(pairs).logits,
        write_plain=lambda output: output,
    )


def shortened(opened: Opened, kept: int, scratch: Path) -> ShortModel:
    return shorten(opened, "tests/random", kept, text(), TEXTS, scratch, lambda _: None)


def pairs() -> list[EncodedPair]:
    return pairs_of((9, 30, 77, 200))


@pytest.mark.parametrize("kept", [1, 2])
def test_every_layout_scores_as_the_first_layers_and_the_head_do(kept: int, opened: Opened, tmp_path: Path) -> None:
    short = shortened(opened, kept, tmp_path)
    assert short.opened.config == {"model_type": "bert", "num_hidden_layers": kept, "hidden_size": 32}
    assert short.opened.body is not None
    assert len(short.opened.body.layers) == kept
    (tmp_path / "graphs").mkdir()
    made = Maker(short.opened, LAYOUTS, TEXTS.calibration, False, tmp_path).make("fp32", tmp_path / "graphs")
    expected = short.opened.reference(pairs())
    assert np.ptp(expected) > 0.01
    for layout in LAYOUTS:
        assert run_engine(made.engine(layout), pairs()) == pytest.approx(expected, abs=1e-3), layout
    by_depth = short.every_depth(pairs())
    assert by_depth.keys() == {1, 2, LAYERS}
    assert by_depth[kept] == pytest.approx(expected, abs=1e-5)
    assert by_depth[LAYERS] == pytest.approx(opened.reference(pairs()), abs=1e-5)


def test_the_report_tells_what_was_fitted_and_measured_and_every_depth(opened: Opened, tmp_path: Path) -> None:
    divided_text = text()
    report = shortened(opened, 2, tmp_path).report
    assert (report.kept, report.layers, report.pairs, report.queries) == (2, LAYERS, 150, 19)
    assert (report.measured_lists, report.measured_pairs, report.made_queries) == (10, 200, 0)
    assert report.text_digest == divided_text.digest
    assert report.by_depth.keys() == {1, 2}
    assert (report.correlation, report.overlap_at_10) == (
        report.by_depth[2].correlation,
        report.by_depth[2].overlap_at_10,
    )
    assert 0.5 < report.correlation < 1


@pytest.mark.parametrize("kept", [0, LAYERS, LAYERS + 1])
def test_a_depth_that_the_model_does_not_have_is_refused(kept: int, opened: Opened, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"--depth {kept}: the model has 3 layers; keep 1 to 2 of them"):
        shortened(opened, kept, tmp_path)


def test_a_model_of_one_layer_is_refused(opened: Opened, tmp_path: Path) -> None:
    body = settled_body()
    one = replace(opened, body=replace(body, layers=body.layers[:1]))
    with pytest.raises(ConfigurationError, match="one layer"):
        shortened(one, 1, tmp_path)


def test_a_model_whose_layers_are_not_known_is_refused_with_the_families(opened: Opened, tmp_path: Path) -> None:
    plain = replace(opened, body=None, plain_because="model_type 'albert' has no graph of ours")
    with pytest.raises(ConfigurationError, match=r"bert, .*modernbert.* only the plain graph .* 'albert' has no graph"):
        shortened(plain, 1, tmp_path)


def test_a_graph_that_is_not_the_published_model_is_refused(opened: Opened, tmp_path: Path) -> None:
    other = replace(opened, reference=lambda given: opened.reference(given) + 0.1)
    with pytest.raises(
        ConfigurationError, match=r"fp32 graph of the whole model differs from tests/random by up to 0\.1"
    ):
        shortened(other, 1, tmp_path)


def test_without_text_nothing_is_read() -> None:
    with pytest.raises(ConfigurationError, match="--text FILE or DIR"):
        Depth(2, ()).read(lambda _: None)
