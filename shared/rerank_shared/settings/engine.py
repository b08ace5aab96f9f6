"""Settings of the engine: the files of a worker's model, and the device that it runs on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rerank_shared.models.precision import KernelVariant
from rerank_shared.settings.group import SettingsGroup

#: Devices of sessions; auto: a GPU where one is there and the model's precision runs on it.
DeviceName = Literal["auto", "cpu", "cuda", "tensorrt"]
#: What runs the layers of an int8 artefact: a kernel by its instruction set, or ONNX Runtime's operators.
KernelName = Literal["auto", "onnxruntime", KernelVariant]


class EngineSettings(SettingsGroup):
    """Read by worker processes: the files of their model, and the device that it runs on."""

    model_digest: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="Expected SHA-256 of the model file. Set it where the source is not in the catalogue and "
        "must not change unnoticed; workers refuse to start on another file.",
    )
    activation: Literal["sigmoid", "identity"] | None = Field(
        None,
        description="Function that turns a logit into relevance_score. Unset: the one that the model's own files name, "
        "else sigmoid. The order of results never depends on it.",
    )
    device: DeviceName = Field(
        "auto",
        description="Device of models: cpu, cuda, tensorrt (both with onnxruntime-gpu), or auto: cuda where a GPU is "
        "there and the model's precision runs on it, else cpu. A device that is named and can't be used is "
        "an error. Several GPUs: CUDA_VISIBLE_DEVICES.",
    )
    cuda_graphs: bool = Field(
        False,
        description="Capture the work of each shape of a run as a CUDA graph and replay it, which saves the launch of "
        "its kernels; device cuda only, and not layout unpadded. Not tried on a GPU yet: measure before you use it.",
    )
    kernel: KernelName = Field(
        "auto",
        description="What runs the layers of an int8 artefact on the CPU: a kernel of rerank-fleet-kernels by its "
        "instruction set (avx512-bf16, avx512, avx2), onnxruntime, or auto: the best kernel that is installed, was "
        "measured with the model and passes a trial, as long as the fleet scores by it too; avx2 only on CPUs with "
        "neither AVX-512 nor AVX-VNNI. A kernel that is named and can't be had is an error. portable is for tests.",
    )
    packed_dir: str | None = Field(
        None,
        description="Directory for an artefact's weights in the form that this CPU runs, which all processes of the "
        "host share; written at the first start. Unset: the user's cache directory. `off`: each process makes its own "
        "copy.",
    )
