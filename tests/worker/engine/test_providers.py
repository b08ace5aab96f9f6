"""What sessions run on: chosen with a reason, never replaced in silence. All of it is known without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.catalogue import load_files
from rerank_shared.models.precision import PrecisionName
from rerank_shared.settings import DeviceName, Settings, load_settings
from rerank_worker.engine import open_engine, providers_for
from rerank_worker.engine.providers import (
    CPU_PROVIDER,
    CUDA_PROVIDER,
    ON_CPU,
    TENSORRT_PROVIDER,
    Providers,
    choose,
    cuda_trouble,
    with_cuda_graphs,
)
from rerank_worker.engine.session import open_session
from support.model.exports import write_export

#: What the packages offer, as `get_available_providers` tells it.
CPU_PACKAGE = ("AzureExecutionProvider", CPU_PROVIDER)
GPU_PACKAGE = (TENSORRT_PROVIDER, CUDA_PROVIDER, CPU_PROVIDER)
GPU_WITHOUT_TENSORRT = (CUDA_PROVIDER, CPU_PROVIDER)


def no_trouble() -> None:
    return None


def no_driver() -> str:
    return "CUDA driver version is insufficient"


def not_asked() -> str:
    raise AssertionError("a GPU was woken for nothing")


def names(wanted: DeviceName, precision: PrecisionName, offered: tuple[str, ...] = GPU_PACKAGE) -> tuple[str, ...]:
    return choose(wanted, precision, offered, no_trouble).names


class TestChoice:
    @pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
    def test_auto_takes_the_gpu_where_the_precision_runs_on_it(self, precision: PrecisionName) -> None:
        chosen = choose("auto", precision, GPU_PACKAGE, no_trouble)
        assert chosen.names == (CUDA_PROVIDER, CPU_PROVIDER)
        assert (chosen.device, chosen.cuda_graphs) == ("cuda", False)
        assert precision in chosen.reason

    @pytest.mark.parametrize(
        ("precision", "offered", "trouble", "reason"),
        [
            ("fp32", CPU_PACKAGE, not_asked, "onnxruntime-gpu"),
            ("int8", GPU_PACKAGE, not_asked, "int8 is for CPUs"),
            ("int8-static", GPU_PACKAGE, not_asked, "int8-static is for CPUs"),
            ("fp32", GPU_PACKAGE, no_driver, "CUDA driver version is insufficient"),
        ],
    )
    def test_auto_ends_on_the_cpu_and_says_why(
        self, precision: PrecisionName, offered: tuple[str, ...], trouble: Callable[[], str | None], reason: str
    ) -> None:
        chosen = choose("auto", precision, offered, trouble)
        assert (chosen.names, chosen.device) == ((CPU_PROVIDER,), "cpu")
        assert reason in chosen.reason

    def test_cpu_wakes_no_gpu(self) -> None:
        assert choose("cpu", "fp16", GPU_PACKAGE, not_asked).names == (CPU_PROVIDER,)

    def test_what_tensorrt_does_not_take_cuda_does(self) -> None:
        assert names("cuda", "fp16") == (CUDA_PROVIDER, CPU_PROVIDER)
        assert names("tensorrt", "fp16") == (TENSORRT_PROVIDER, CUDA_PROVIDER, CPU_PROVIDER)

    @pytest.mark.parametrize(
        ("wanted", "precision", "offered", "trouble", "told"),
        [
            ("cuda", "fp32", CPU_PACKAGE, not_asked, r"no CUDAExecutionProvider.*pip install 'rerank-fleet\[gpu\]'"),
            ("tensorrt", "fp32", GPU_WITHOUT_TENSORRT, not_asked, "no TensorrtExecutionProvider"),
            ("cuda", "int8", GPU_PACKAGE, not_asked, "--precision fp16"),
            ("cuda", "fp16", GPU_PACKAGE, no_driver, "driver version is insufficient.*nvidia-smi"),
        ],
    )
    def test_a_device_asked_for_by_name_is_not_replaced(
        self,
        wanted: DeviceName,
        precision: PrecisionName,
        offered: tuple[str, ...],
        trouble: Callable[[], str | None],
        told: str,
    ) -> None:
        with pytest.raises(ConfigurationError, match=told) as refused:
            choose(wanted, precision, offered, trouble)
        assert f"RERANK_DEVICE={wanted}" in refused.value.message
        assert "RERANK_DEVICE=cpu" in refused.value.message

    def test_unsafe_takes_any_precision_but_no_missing_device(self) -> None:
        assert choose("cuda", "int8", GPU_PACKAGE, no_trouble, unsafe=True).device == "cuda"
        with pytest.raises(ConfigurationError, match="no CUDAExecutionProvider"):
            choose("cuda", "int8", CPU_PACKAGE, no_trouble, unsafe=True)


class TestOptions:
    def test_fp32_stays_fp32(self) -> None:
        """TF32 would put scores of another precision under fp32's name in the cache."""
        assert dict(choose("cuda", "fp32", GPU_PACKAGE, no_trouble).options)[CUDA_PROVIDER]["use_tf32"] == "0"

    @pytest.mark.parametrize(("precision", "half"), [("fp32", None), ("fp16", "1"), ("bf16", None)])
    def test_tensorrt_takes_the_model_s_precision(
        self, precision: PrecisionName, half: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        options = dict(choose("tensorrt", precision, GPU_PACKAGE, no_trouble).options)[TENSORRT_PROVIDER]
        assert options.get("trt_fp16_enable") == half
        assert options["trt_engine_cache_path"] == str(tmp_path / "rerank-fleet" / "tensorrt")

    def test_cuda_graphs_are_an_option_of_cuda(self) -> None:
        plain = choose("auto", "fp16", GPU_PACKAGE, no_trouble)
        captured = choose("auto", "fp16", GPU_PACKAGE, no_trouble, cuda_graphs=True)
        assert "enable_cuda_graph" not in dict(plain.options)[CUDA_PROVIDER]
        assert dict(captured.options)[CUDA_PROVIDER]["enable_cuda_graph"] == "1"
        assert captured.cuda_graphs
        assert captured == with_cuda_graphs(plain)

    @pytest.mark.parametrize(
        ("wanted", "precision", "first"),
        [("cpu", "fp32", CPU_PROVIDER), ("auto", "int8", CPU_PROVIDER), ("tensorrt", "fp16", TENSORRT_PROVIDER)],
    )
    def test_cuda_graphs_elsewhere_are_refused(self, wanted: DeviceName, precision: PrecisionName, first: str) -> None:
        with pytest.raises(ConfigurationError, match=f"RERANK_CUDA_GRAPHS.*{first}"):
            choose(wanted, precision, GPU_PACKAGE, no_trouble, cuda_graphs=True)


class TestHere:
    def test_the_settings_are_asked(self) -> None:
        assert providers_for(load_settings(device="cpu"), "fp16").names == (CPU_PROVIDER,)
        assert providers_for(Settings(), "int8").names == (CPU_PROVIDER,)

    @pytest.mark.skipif(CUDA_PROVIDER in onnxruntime.get_available_providers(), reason="onnxruntime-gpu is installed")
    def test_the_cpu_package_says_that_it_has_no_gpu(self) -> None:
        assert cuda_trouble() is not None
        with pytest.raises(ConfigurationError, match="onnxruntime-gpu"):
            providers_for(load_settings(device="cuda"), "fp32")

    @pytest.mark.skipif(CUDA_PROVIDER in onnxruntime.get_available_providers(), reason="onnxruntime-gpu is installed")
    @pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
    def test_a_session_on_something_else_is_refused(self, tmp_path: Path) -> None:
        """ONNX Runtime itself only warns, and runs on the CPU."""
        write_export(tmp_path / "model", layouts=["unpadded"])
        on_cuda = choose("cuda", "fp32", GPU_PACKAGE, no_trouble)
        with pytest.raises(ConfigurationError, match=r"on CUDAExecutionProvider and took CPU"):
            open_session(tmp_path / "model" / "unpadded.onnx", optimise=False, providers=on_cuda)

    def test_cuda_graphs_are_not_for_plain_files(self) -> None:
        files = load_files(Settings().model)
        with pytest.raises(ConfigurationError, match="plain ONNX"):
            open_engine(files, providers=Providers(ON_CPU.options, "a test", cuda_graphs=True))
