"""A prepared kernel: packed once a host, tried before it is used, and the same bits in every layout and company."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank_shared.errors import ConfigurationError, ModelDamaged
from rerank_shared.models.catalogue import ModelFiles, load_files
from rerank_shared.models.cpu import host_features
from rerank_shared.models.precision import LAYOUTS, LayoutName, kernel_precision
from rerank_shared.scheduling.runs import RunShape
from rerank_shared.settings import load_settings
from rerank_worker.engine import Engine, PackedWeights, PreparedKernel, choice_for, identity_of, kernel_for, open_engine
from rerank_worker.engine.kernels import library
from rerank_worker.engine.kernels import prepared as tried
from rerank_worker.engine.kernels.prepared import pack_weights
from rerank_worker.engine.providers import ON_CPU, Providers
from support.model.artefacts import damage
from support.model.exports import KERNEL_HIDDEN, pairs_of, tokenizer, write_export

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("rerank_kernels") is None, reason="no kernels are installed: `make kernels`"
)
PORTABLE = kernel_precision("portable", 1)
LENGTHS = (40, 4, 200, 5, 17, 18, 96, 33)
#: Opens an export by the portable kernel and prints the scores' bits.
OPEN = """
import sys
sys.path[:0] = ["tests"]
from rerank_shared.models.catalogue import load_files
from rerank_shared.settings import load_settings
from rerank_worker.engine import PackedWeights, kernel_for, open_engine
from rerank_worker.engine.providers import ON_CPU
from support.model.exports import pairs_of
files = load_files(sys.argv[1])
settings = load_settings(kernel="portable", packed_dir=sys.argv[2])
kernel = kernel_for(settings, files, ON_CPU, PackedWeights.of(settings, files.model_digest))
print(open_engine(files, kernel=kernel).score(pairs_of([40, 8, 100, 17])).tobytes().hex())
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    directory = tmp_path_factory.mktemp("exports") / "int8"
    return load_files(f"file:{write_export(directory, 'int8', hidden=KERNEL_HIDDEN, kernels=[PORTABLE])}")


@pytest.fixture
def place(tmp_path: Path) -> PackedWeights:
    return PackedWeights(tmp_path / "packed")


def prepared(files: ModelFiles, packed: PackedWeights, **changes: object) -> PreparedKernel | None:
    return kernel_for(load_settings(**({"kernel": "portable"} | changes)), files, ON_CPU, packed)


def written(packed: PackedWeights) -> dict[str, bytes]:
    assert packed.directory is not None
    return {str(path): path.read_bytes() for path in sorted(packed.directory.rglob("*")) if path.is_file()}


def opened(files: ModelFiles, layout: LayoutName) -> Engine:
    return engine_of(files.source, layout)


@cache
def engine_of(source: str, layout: LayoutName) -> Engine:
    files = load_files(source)
    kernel = prepared(files, PackedWeights(None), layout=layout)
    assert kernel is not None
    return open_engine(files, RunShape(layout, pairs=8), kernel=kernel)


def scores(files: ModelFiles, layout: LayoutName, lengths: Sequence[int]) -> npt.NDArray[np.float32]:
    return opened(files, layout).score(pairs_of(lengths))


def rmse(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean((found - expected) ** 2)))


class TestScores:
    def test_they_are_as_near_to_fp32_as_those_of_the_operators(self, files: ModelFiles, tmp_path: Path) -> None:
        fp32 = load_files(f"file:{write_export(tmp_path / 'fp32', hidden=KERNEL_HIDDEN)}")
        # So many that chance hardly counts: of eight, one CPU's were a quarter farther away.
        lengths = range(6, 130, 3)
        expected, operators = (open_engine(each).score(pairs_of(lengths)) for each in (fp32, files))
        found = scores(files, "unpadded", lengths)
        assert rmse(found, expected) < 1.2 * rmse(operators, expected)
        assert not np.array_equal(found, operators)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.sampled_from(LENGTHS), min_size=1, max_size=8, unique=True), st.sampled_from(LAYOUTS))
    def test_a_pair_s_score_is_its_own_in_every_layout(
        self, files: ModelFiles, lengths: list[int], layout: LayoutName
    ) -> None:
        """Texts begin differently by their place, so each pair is compared with itself in the same place."""
        alone = np.concatenate([opened(files, "unpadded").score([pair]) for pair in pairs_of(lengths)])
        assert scores(files, layout, lengths).tobytes() == alone.tobytes()

    def test_another_process_gives_the_same_bits(self, files: ModelFiles, tmp_path: Path) -> None:
        """Both map what the first one packed."""
        command = [sys.executable, "-c", OPEN, f"file:{files.model_path.parent}", str(tmp_path)]
        told = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for _ in range(2)]
        assert told == [scores(files, "unpadded", [40, 8, 100, 17]).tobytes().hex()] * 2

    def test_they_have_a_name_of_their_own_in_every_layout(self, files: ModelFiles) -> None:
        kernel = prepared(files, PackedWeights(None))
        names = {identity_of(files, tokenizer(), layout, kernel=kernel).precision for layout in LAYOUTS}
        assert names == {PORTABLE}
        assert identity_of(files, tokenizer(), "unpadded").precision == "int8"


class TestWeights:
    def test_they_are_packed_once_and_mapped(self, files: ModelFiles, place: PackedWeights) -> None:
        first = prepared(files, place)
        before = written(place)
        second = prepared(files, place)
        assert first is not None
        assert second is not None
        assert written(place) == before
        assert all(isinstance(weight, np.memmap) for weight in second.weights.values())
        assert second.weights.keys() == files.manifest.kernels.weights.keys()  # type: ignore[union-attr]

    @pytest.mark.parametrize("left", [None, b""], ids=["missing", "empty"])
    def test_a_model_without_its_weights_is_told(self, left: bytes | None, files: ModelFiles, tmp_path: Path) -> None:
        calls = files.manifest.kernels  # type: ignore[union-attr]
        assert calls is not None
        if left is not None:
            (tmp_path / calls.file).write_bytes(left)
        with pytest.raises(ModelDamaged, match=r"weights\.bin can't be read .*: copy or export the model again"):
            pack_weights(calls, tmp_path)

    def test_a_damaged_file_is_written_anew(self, files: ModelFiles, place: PackedWeights) -> None:
        prepared(files, place)
        before = written(place)
        damage(next(Path(name) for name in before if name.endswith("1.npy")))
        assert written(place) != before
        prepared(files, place)
        assert written(place) == before

    def test_where_nothing_can_be_written_each_process_has_its_own(
        self, files: ModelFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("no directory")
        kernel = prepared(files, PackedWeights(tmp_path / "file" / "packed"))
        assert kernel is not None
        assert "each process has its own copy" in caplog.text
        found = open_engine(files, kernel=kernel).score(pairs_of(LENGTHS))
        assert found.tobytes() == scores(files, "unpadded", LENGTHS).tobytes()


@pytest.mark.skipif(not host_features().saturates, reason="the usual products of this CPU are exact too")
def test_weights_of_all_8_bits_are_tried_against_products_that_do_not_saturate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual products of a CPU without VNNI are off by twice this bound, and by chance by the real one."""
    monkeypatch.setattr(tried, "_TOLERANCE", 0.03)
    export = write_export(tmp_path / "m", "int8", hidden=KERNEL_HIDDEN, kernels=[PORTABLE], reduced_range=False)
    for layout in LAYOUTS:
        assert prepared(load_files(f"file:{export}"), PackedWeights(None), layout=layout) is not None


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that puts weights in another order than its kernels read them."""
    pack = library.pack
    monkeypatch.setattr(library, "pack", lambda weight: pack(np.ascontiguousarray(weight[::-1])))


@pytest.mark.usefixtures("wrong")
class TestTrial:
    def test_a_kernel_that_is_wrong_is_not_used(
        self, files: ModelFiles, place: PackedWeights, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As on a CPU whose instructions do not do what they should. Nothing that was packed for it stays."""
        with pytest.raises(ConfigurationError, match=r"failed its trial.*RERANK_KERNEL=onnxruntime"):
            prepared(files, place)
        assert written(place) == {}
        assert "kernel chosen" not in caplog.text

    def test_each_layout_s_graph_is_tried(
        self, files: ModelFiles, place: PackedWeights, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that computes its rows otherwise may differ where the first one did not."""
        with monkeypatch.context() as lenient:
            lenient.setattr(tried, "_TOLERANCE", float("inf"))
            prepared(files, place, layout="unpadded")
        assert prepared(files, place, layout="unpadded") is not None
        with pytest.raises(ConfigurationError, match="failed its trial"):
            prepared(files, place, layout="packed")

    def test_auto_falls_back_with_a_warning(
        self,
        files: ModelFiles,
        place: PackedWeights,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("rerank_worker.engine.kernels.choice.PORTABLE", "none")
        kernels = library.installed()
        assert kernels is not None
        unfit = {kernel.variant: "not here" for kernel in kernels.kernels if kernel.variant != "portable"}
        monkeypatch.setattr(
            "rerank_worker.engine.kernels.start.installed", lambda: library.Library(kernels.kernels, unfit)
        )
        with caplog.at_level(logging.WARNING):
            assert prepared(files, place, kernel="auto") is None
        assert "ONNX Runtime's operators run instead" in caplog.text


def test_a_gpu_runs_no_kernel(files: ModelFiles) -> None:
    cuda = Providers((("CUDAExecutionProvider", {}), ("CPUExecutionProvider", {})), "a test")
    assert choice_for(load_settings(), files, cuda).kernel is None
    with pytest.raises(ConfigurationError, match="int8 is for CPUs"):
        kernel_for(load_settings(), files, cuda, PackedWeights(None))


def test_the_fleet_s_kernel_is_taken(files: ModelFiles) -> None:
    """Where every host would choose another one by itself."""
    kernel = kernel_for(load_settings(), files, ON_CPU, PackedWeights(None), served=PORTABLE)
    assert kernel is not None
    assert kernel.kernel.precision == PORTABLE
    assert kernel_for(load_settings(), files, ON_CPU, PackedWeights(None), served="int8") is None
