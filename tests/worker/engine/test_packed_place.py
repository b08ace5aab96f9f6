"""Which weights are packed and where: whole cache lines only, a place for each model, runtime and CPU."""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from packaging.version import Version

from rerank_shared.models.cpu import host_features
from rerank_shared.settings import load_settings
from rerank_worker.engine import PackedWeights, packed

DIGEST = "ab" * 32


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "packed"


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    with caplog.at_level(logging.WARNING):
        yield lambda: [record.getMessage() for record in caplog.records]


def root(**changes: str) -> Path:
    directory = PackedWeights.of(load_settings(**changes), DIGEST).directory
    assert directory is not None
    return directory.parent


def write_graph(path: Path, before: int, *, product: bool = True) -> Path:
    """Write a graph with a constant of so many bytes before the weights of its one matrix product."""
    weight = np.random.default_rng(5).standard_normal((32, 64)).astype(np.float32)
    weight = weight if product else weight[0, :32]
    nodes = [
        helper.make_node("Cast", ["odd"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["floats"], ["sum"], keepdims=0),
        helper.make_node("MatMul" if product else "Mul", ["x", "weight"], ["y"]),
        helper.make_node("Add", ["y", "sum"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "one product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(before, np.uint8), "odd"), numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


class TestAlignment:
    """Some kernels crash the process on packed weights that do not begin at a cache line."""

    @pytest.mark.parametrize("before", [1_028, 1_084, 1_088, 1_344])
    def test_only_weights_at_multiples_of_64_are_used(
        self, before: int, tmp_path: Path, place: Path, warnings: Callable[[], list[str]]
    ) -> None:
        """ONNX Runtime wrote weights end to end up to 1.31, and moves each to a multiple of 64 since."""
        graph = write_graph(tmp_path / "graph.onnx", before)
        feeds = {"x": np.ones((1, 32), np.float32)}
        session = PackedWeights(place).open(graph, feeds, 1)
        kept = before % 64 == 0 or Version(onnxruntime.__version__) >= Version("1.32")
        assert (place / "graph" / "graph.bin").is_file() == kept
        assert len(warnings()) == (0 if kept else 1)
        assert all("multiples of 64" in told for told in warnings())
        many = {"x": np.random.default_rng(0).standard_normal((9, 32), dtype=np.float32)}
        assert np.array_equal(session.run(None, many)[0], PackedWeights(None).open(graph, feeds, 1).run(None, many)[0])

    @pytest.mark.parametrize(("offset", "kept"), [(1_088, True), (1_092, False), (1_028, False)])
    def test_where_a_graph_says_that_its_weights_lie_decides(self, offset: int, kept: bool, tmp_path: Path) -> None:
        """As ONNX Runtime spells it in a packed graph, whichever release is installed."""
        keys = [b"prepacked_0\x12'MatMul+14695432600544885672|%d;8192;0" % place for place in (9_472, offset)]
        (tmp_path / "graph.onnx").write_bytes(b"\n".join(keys))
        assert packed.is_aligned(tmp_path / "graph.onnx") == kept

    def test_a_graph_without_packed_weights_is_left_as_it_is(self, tmp_path: Path, place: Path) -> None:
        """A runtime that packs nothing, or says it in another way: where its weights lie can't be told."""
        graph = write_graph(tmp_path / "graph.onnx", 1_088, product=False)
        PackedWeights(place).open(graph, {"x": np.ones((1, 32), np.float32)}, 1)
        assert list(place.iterdir()) == []


class TestPlace:
    def test_it_is_below_the_setting_or_the_user_s_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert root(packed_dir=str(tmp_path / "set")) == tmp_path / "set"
        assert root(packed_dir="~/set") == tmp_path / "home" / "set"
        assert root() == tmp_path / "cache" / "rerank-fleet"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert root() == tmp_path / "home" / ".cache" / "rerank-fleet"

    def test_a_user_without_a_home_keeps_copies(
        self, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]]
    ) -> None:
        """As containers have them that run under any number."""

        def unknown(uid: int) -> NoReturn:
            raise KeyError(uid)

        monkeypatch.setattr(pwd, "getpwuid", unknown)
        monkeypatch.delenv("HOME")
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert PackedWeights.of(load_settings(), DIGEST) == PackedWeights(None)
        (told,) = warnings()
        assert "set RERANK_PACKED_DIR" in told

    def test_model_runtime_and_cpu_have_places_of_their_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        here = PackedWeights.of(load_settings(), DIGEST)
        assert PackedWeights.of(load_settings(), DIGEST) == here
        places = {here.directory, PackedWeights.of(load_settings(), "cd" * 32).directory}
        with monkeypatch.context() as patch:
            patch.setattr(onnxruntime, "__version__", "1.99.0")
            places.add(PackedWeights.of(load_settings(), DIGEST).directory)
        with monkeypatch.context() as patch:
            patch.setattr(packed, "cpu_name", lambda: "Another CPU")
            places.add(PackedWeights.of(load_settings(), DIGEST).directory)
        with monkeypatch.context() as patch:
            features = host_features()
            fewer = type(features)(features.machine, frozenset(list(features.names)[1:]), features.known)
            patch.setattr(packed, "host_features", lambda: fewer)
            places.add(PackedWeights.of(load_settings(), DIGEST).directory)
        assert len(places) == 5

    def test_tests_do_not_write_into_the_user_s_cache(self) -> None:
        directory = PackedWeights.of(load_settings(), DIGEST).directory
        assert directory is not None
        home = pwd.getpwuid(os.getuid()).pw_dir
        assert Path(home) not in directory.parents
