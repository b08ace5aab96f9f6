"""CPU features: the instructions of this machine's CPU, and the precision that follows from them.

A precision is chosen where none is named, and refused with the reason where it can't run or would only be slower.
Features are read from /proc/cpuinfo or sysctl, never from a model run. Instructions that a hypervisor hides count as
missing.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from rerank_shared.models.precision import PrecisionName

Feature = Literal[
    "avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16", "avx512_bf16", "dotprod", "i8mm", "bf16"
]
FEATURES: tuple[Feature, ...] = get_args(Feature)
_CPUINFO = Path("/proc/cpuinfo")
_X86 = frozenset({"x86_64", "amd64", "i386", "i686"})
_ARM = frozenset({"arm64", "aarch64"})
#: Names in /proc/cpuinfo and sysctl that differ from those of FEATURES, in lower case.
_OTHER_NAMES: dict[str, Feature] = {
    "asimddp": "dotprod",
    "feat_dotprod": "dotprod",
    "feat_i8mm": "i8mm",
    "feat_bf16": "bf16",
    "avx2_0": "avx2",
    "avx512vnni": "avx512_vnni",
    "avx512bf16": "avx512_bf16",
}
#: Keys of sysctl that hold a list of names; the others hold 1 or 0.
_LISTS = ("machdep.cpu.features", "machdep.cpu.leaf7_features")
_GPU_PROVIDERS = frozenset({"CUDAExecutionProvider", "TensorrtExecutionProvider"})


@dataclass(frozen=True, slots=True)
class CpuFeatures:
    """The instructions that matter to a cross-encoder. `known` is False where nothing could be read."""

    machine: str
    names: frozenset[Feature] = frozenset()
    known: bool = True

    @property
    def is_x86(self) -> bool:
        """Whether this is an x86 CPU."""
        return self.machine.lower() in _X86

    @property
    def is_arm(self) -> bool:
        """Whether this is a 64-bit ARM CPU."""
        return self.machine.lower() in _ARM

    @property
    def int8_dot(self) -> bool:
        """Whether products of 8-bit numbers are summed in 32 bits by one instruction."""
        return not self.names.isdisjoint({"avx512_vnni", "avx_vnni", "amx_int8", "dotprod"})

    @property
    def saturates(self) -> bool:
        """Whether u8 x s8 products are summed in 16 bits first, where weights of the full 8-bit range overflow."""
        return self.is_x86 and self.known and not self.int8_dot

    def __str__(self) -> str:
        if not self.known:
            return "unknown instructions"
        return ", ".join(name for name in FEATURES if name in self.names) or "none of the instructions that help"


def parse_cpuinfo(text: str, machine: str) -> CpuFeatures:
    """Return the features that every processor in /proc/cpuinfo has; cores of one machine may differ."""
    found = [
        _ours(value.split())
        for key, _, value in (line.partition(":") for line in text.splitlines())
        if key.strip() in ("flags", "Features")
    ]
    return CpuFeatures(machine, frozenset.intersection(*found)) if found else CpuFeatures(machine, known=False)


def parse_sysctl(text: str, machine: str) -> CpuFeatures:
    """Return the features in the output of macOS's `sysctl hw.optional machdep.cpu`."""
    words: list[str] = []
    for key, colon, value in (line.partition(":") for line in text.splitlines()):
        if key in _LISTS:
            words += value.split()
        elif colon and value.strip() == "1":
            words.append(key.rpartition(".")[2])
    return CpuFeatures(machine, _ours(words), known=bool(words))


@lru_cache(maxsize=1)
def host_features() -> CpuFeatures:
    """Return the features of this machine, read once."""
    machine = platform.machine()
    try:
        if platform.system() == "Darwin":
            command = ["/usr/sbin/sysctl", "hw.optional", "machdep.cpu"]
            told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
            return parse_sysctl(told.stdout, machine)
        return parse_cpuinfo(_CPUINFO.read_text(encoding="utf-8", errors="replace"), machine)
    except (OSError, subprocess.TimeoutExpired):
        return CpuFeatures(machine, known=False)


@lru_cache(maxsize=1)
def cpu_name() -> str:
    """Return the name of this machine's CPU, for people; its features where it has no name."""
    name = ""
    try:
        if platform.system() == "Darwin":
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            name = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5).stdout.strip()
        else:
            lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
            name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except (OSError, subprocess.TimeoutExpired):
        pass
    return name or f"{platform.machine()} ({host_features()})"


def choose_precision(features: CpuFeatures) -> PrecisionName:
    """Return the precision to export for a CPU: int8 where its products are fast, else fp32.

    AVX2 without VNNI counts as fast, under the condition that `int8_note` gives.
    """
    return "int8" if features.int8_dot or "avx2" in features.names else "fp32"


def int8_note(features: CpuFeatures) -> str | None:
    """Return the condition under which int8 keeps its quality on this CPU, None where there is none."""
    if not features.saturates:
        return None
    return (
        "without VNNI, ONNX Runtime sums u8 x s8 products in 16 bits, which saturate, so without a kernel the weights "
        "must have the reduced range of 7 bits"
    )


def refuse_reason(
    precision: PrecisionName,
    features: CpuFeatures,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> str | None:
    """Return why a precision should not run here, None where it may; `providers` as ONNX Runtime names them."""
    gpu = bool(providers) and providers[0] in _GPU_PROVIDERS
    if precision in ("fp16", "bf16") and not gpu:
        return (
            f"{precision} is for GPUs: ONNX Runtime lacks CPU kernels for most of its operators and would convert to "
            f"fp32 and back around them, whatever the CPU has ({features}); export with --precision "
            f"{choose_precision(features)}"
        )
    if precision in ("int8", "int8-static") and gpu:
        return (
            f"{precision} is for CPUs: its operators have no kernels in {providers[0]}; export with --precision fp16, "
            "or run it on the CPU"
        )
    if precision in ("int8", "int8-static") and features.known and features.is_x86 and "avx2" not in features.names:
        return (
            f"{precision} needs AVX2 at least, which this CPU lacks: it would be slower than fp32 and its sums would "
            "saturate; export with --precision fp32"
        )
    return None


def _ours(words: Sequence[str]) -> frozenset[Feature]:
    lower = {word.lower() for word in words}
    own = {name for name in FEATURES if name in lower}
    return frozenset(own | {ours for theirs, ours in _OTHER_NAMES.items() if theirs in lower})
