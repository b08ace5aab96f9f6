"""CPU features: read from what the systems themselves print, and what follows for each precision."""

from __future__ import annotations

import platform

import pytest

from rerank_shared.models.cpu import (
    CpuFeatures,
    Feature,
    choose_precision,
    host_features,
    int8_note,
    parse_cpuinfo,
    parse_sysctl,
    refuse_reason,
)

CASCADE_LAKE = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz
flags\t\t: fpu sse sse2 ssse3 fma avx f16c avx2 bmi2 avx512f avx512dq avx512cd avx512bw avx512vl avx512_vnni
vmx flags\t: vnmi avx_vnni
bugs\t\t: spectre_v1
"""
SAPPHIRE_RAPIDS = "flags\t\t: avx2 avx512f avx_vnni avx512_bf16 avx512_vnni amx_bf16 avx512_fp16 amx_tile amx_int8\n"
HASWELL = "flags\t\t: fpu sse4_2 avx f16c fma avx2\n"
ALDER_LAKE = "flags\t\t: fpu avx avx2 avx_vnni\n"
NEHALEM = "flags\t\t: fpu sse4_1 sse4_2\n"
GRAVITON3 = "processor\t: 0\nFeatures\t: fp asimd asimddp sve i8mm bf16\n"
CORTEX_A72 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32\n"
BIG_LITTLE = "processor : 0\nFeatures : fp asimd asimddp\n\nprocessor : 1\nFeatures : fp asimd asimddp i8mm\n"
M2 = """hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_I8MM: 1
hw.optional.arm.FEAT_SME: 0
hw.optional.floatingpoint: 1
machdep.cpu.brand_string: Apple M2
"""
M1 = "hw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_BF16: 0\nhw.optional.arm.FEAT_I8MM: 0\n"
INTEL_MAC = """hw.optional.avx2_0: 1
hw.optional.avx512f: 0
machdep.cpu.features: FPU SSE4.2 AVX1.0
machdep.cpu.leaf7_features: RDWRFSGS AVX2 BMI2
"""
ICE_LAKE_MAC = "hw.optional.avx512f: 1\nmachdep.cpu.leaf7_features: AVX2 AVX512F AVX512VNNI\n"


@pytest.mark.parametrize(
    ("text", "machine", "names"),
    [
        (CASCADE_LAKE, "x86_64", {"avx2", "avx512f", "avx512_vnni"}),
        (
            SAPPHIRE_RAPIDS,
            "x86_64",
            {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "amx_bf16", "avx512_bf16"},
        ),
        (HASWELL, "x86_64", {"avx2"}),
        (NEHALEM, "x86_64", set()),
        (GRAVITON3, "aarch64", {"dotprod", "i8mm", "bf16"}),
        (CORTEX_A72, "aarch64", set()),
        # A thread may run on any core, so only what all of them have counts.
        (BIG_LITTLE, "aarch64", {"dotprod"}),
    ],
)
def test_cpuinfo(text: str, machine: str, names: set[Feature]) -> None:
    assert parse_cpuinfo(text, machine) == CpuFeatures(machine, frozenset(names))


@pytest.mark.parametrize(
    ("text", "machine", "names"),
    [
        (M2, "arm64", {"dotprod", "i8mm", "bf16"}),
        (M1, "arm64", {"dotprod"}),
        (INTEL_MAC, "x86_64", {"avx2"}),
        (ICE_LAKE_MAC, "x86_64", {"avx2", "avx512f", "avx512_vnni"}),
    ],
)
def test_sysctl(text: str, machine: str, names: set[Feature]) -> None:
    assert parse_sysctl(text, machine) == CpuFeatures(machine, frozenset(names))


@pytest.mark.parametrize("text", ["", "processor : 0\nmodel name : Something\n"])
def test_what_can_not_be_read_is_unknown(text: str) -> None:
    assert not parse_cpuinfo(text, "x86_64").known
    assert not parse_sysctl("", "arm64").known
    assert str(parse_cpuinfo(text, "x86_64")) == "unknown instructions"


@pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc")
def test_this_machine_is_known() -> None:
    features = host_features()
    assert features.known
    assert features.is_x86 != features.is_arm
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        assert ("avx2" in file.read()) == ("avx2" in features.names)


@pytest.mark.parametrize(
    ("features", "precision", "saturates"),
    [
        (parse_cpuinfo(CASCADE_LAKE, "x86_64"), "int8", False),
        (parse_cpuinfo(ALDER_LAKE, "x86_64"), "int8", False),
        (parse_cpuinfo(HASWELL, "x86_64"), "int8", True),
        (parse_cpuinfo(NEHALEM, "x86_64"), "fp32", True),
        (parse_cpuinfo(GRAVITON3, "aarch64"), "int8", False),
        (parse_cpuinfo(CORTEX_A72, "aarch64"), "fp32", False),
        (CpuFeatures("x86_64", known=False), "fp32", False),
        (CpuFeatures("riscv64"), "fp32", False),
    ],
)
def test_the_precision_of_a_cpu(features: CpuFeatures, precision: str, saturates: bool) -> None:
    assert choose_precision(features) == precision
    assert (int8_note(features) is not None) == saturates
    assert refuse_reason(choose_precision(features), features) is None


def test_half_precision_is_refused_on_every_cpu_with_what_to_take() -> None:
    for text, instead in ((SAPPHIRE_RAPIDS, "int8"), (NEHALEM, "fp32")):
        for precision in ("fp16", "bf16"):
            reason = refuse_reason(precision, parse_cpuinfo(text, "x86_64"))
            assert reason is not None
            assert reason.startswith(f"{precision} is for GPUs")
            assert reason.endswith(f"--precision {instead}")


@pytest.mark.parametrize("provider", ["CUDAExecutionProvider", "TensorrtExecutionProvider"])
def test_a_gpu_takes_half_precision_and_no_int8(provider: str) -> None:
    features, providers = parse_cpuinfo(NEHALEM, "x86_64"), [provider, "CPUExecutionProvider"]
    assert refuse_reason("fp16", features, providers) is None
    assert refuse_reason("bf16", features, providers) is None
    assert refuse_reason("fp32", features, providers) is None
    for precision in ("int8", "int8-static"):
        assert provider in (refuse_reason(precision, features, providers) or "")


def test_int8_is_refused_where_it_can_only_lose() -> None:
    assert "AVX2" in (refuse_reason("int8", parse_cpuinfo(NEHALEM, "x86_64")) or "")
    assert refuse_reason("int8", parse_cpuinfo(HASWELL, "x86_64")) is None
    # Nobody is refused because of what could not be read.
    assert refuse_reason("int8", CpuFeatures("x86_64", known=False)) is None
    assert refuse_reason("int8", parse_cpuinfo(CORTEX_A72, "aarch64")) is None
