"""Choice of a kernel: which one, and the reason; and what a worker does where its fleet scores otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from rerank_shared.errors import ConfigurationError
from rerank_shared.models.cpu import CpuFeatures, Feature
from rerank_shared.models.manifest import Bounds, KernelCalls, Manifest, Quality
from rerank_shared.models.precision import LAYOUTS
from rerank_shared.settings import KernelName
from rerank_worker.engine.kernels import start
from rerank_worker.engine.kernels.agreement import agree
from rerank_worker.engine.kernels.choice import Choice, Kernel, choose
from rerank_worker.engine.kernels.library import Library
from support.model.artefacts import write_artefact

BF16, AVX512, AVX2, PORTABLE = KERNELS = tuple(
    Kernel(name, 1, Path(f"/lib/{name}.so")) for name in ("avx512-bf16", "avx512", "avx2", "portable")
)
PASSED = Quality(pairs=320, spearman=0.999, rmse=0.1, max_difference=0.5, invariance=dict.fromkeys(LAYOUTS, True))
ZEN4: tuple[Feature, ...] = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16")
#: Why a CPU of one kind runs some of them not.
NO_AVX512 = {"avx512-bf16": "lacks AVX512_BF16", "avx512": "lacks AVX512_VNNI"}
NO_AVX2 = NO_AVX512 | {"avx2": "lacks AVX2"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """An artefact of one plain graph."""
    return write_artefact(tmp_path_factory.mktemp("artefact") / "plain")


@pytest.fixture(scope="module")
def manifest(plain: Manifest) -> Manifest:
    """An int8 artefact with calls, measured with every kernel."""
    calls = KernelCalls(
        file="weights.bin",
        weights={"0.qkv.weight_int8": (0, 64, 192)},
        quality={kernel.precision: PASSED for kernel in KERNELS},
    )
    return plain.model_copy(update={"precision": "int8", "tail": "tail.onnx", "kernels": calls})


def chosen(manifest: Manifest | None, wanted: KernelName = "auto", **changes: Any) -> Choice:
    given: dict[str, Any] = {
        "features": CpuFeatures("x86_64", frozenset(ZEN4)),
        "kernels": KERNELS,
        "unfit": {},
        "missing": None,
        "threads": 1,
        "bounds": Bounds(),
        "unsafe": False,
    }
    return choose(wanted, manifest, **(given | changes))


def unmeasured(manifest: Manifest, *kernels: Kernel, quality: Quality | None = None) -> Manifest:
    """The manifest without a report on these kernels, or with this one."""
    assert manifest.kernels is not None
    reports = dict(manifest.kernels.quality)
    for kernel in kernels:
        del reports[kernel.precision]
    if quality is not None:
        reports |= {kernel.precision: quality for kernel in kernels}
    return manifest.model_copy(update={"kernels": manifest.kernels.model_copy(update={"quality": reports})})


def test_the_best_that_runs_here_is_chosen(manifest: Manifest) -> None:
    assert chosen(manifest).kernel == BF16
    lacks = {"avx512-bf16": "this CPU lacks AVX512_BF16"}
    assert chosen(manifest, unfit=lacks).kernel == AVX512


def test_the_portable_one_runs_only_where_it_is_named(manifest: Manifest) -> None:
    found = chosen(manifest, unfit=NO_AVX2)
    assert found.kernel is None
    assert "lacks AVX512_VNNI; avx2: lacks AVX2" in found.reason
    assert chosen(manifest, "portable", unfit=NO_AVX2).kernel == PORTABLE


def test_a_named_kernel_that_can_t_be_had_is_an_error_with_the_reason(manifest: Manifest) -> None:
    with pytest.raises(ConfigurationError, match=r"RERANK_KERNEL=avx512 .*lacks AVX512_VNNI.*RERANK_KERNEL=auto"):
        chosen(manifest, "avx512", unfit={"avx512": "lacks AVX512_VNNI"})


@pytest.mark.parametrize("wanted", ["auto", "avx512"])
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"missing": "the kernels' library is not installed: do so"}, "not installed"),
        ({"threads": 2}, "one thread, RERANK_THREADS is 2"),
        ({"manifest": None}, "plain ONNX file"),
        ({"manifest": {"tail": None}}, "plain ONNX file"),
        ({"manifest": {"precision": "int8-static"}}, "for int8, the model is int8-static"),
        ({"manifest": {"kernels": None}}, "earlier release"),
        ({"kernels": ()}, "no such kernel"),
    ],
)
def test_what_speaks_against_every_kernel_is_told(
    manifest: Manifest, wanted: str, changes: dict[str, Any], reason: str
) -> None:
    model: Manifest | None = manifest
    if "manifest" in changes:
        changes = dict(changes)
        other = changes.pop("manifest")
        model = None if other is None else manifest.model_copy(update=other)
    name = cast(KernelName, wanted)
    if name == "auto":
        found = chosen(model, name, **changes)
        assert found.kernel is None
        assert reason in found.reason
    else:
        with pytest.raises(ConfigurationError, match="RERANK_KERNEL=avx512 can't be had") as told:
            chosen(model, name, **changes)
        assert reason in told.value.message


def test_onnxruntime_is_always_to_be_had(manifest: Manifest) -> None:
    for model in (manifest, None):
        assert chosen(model, "onnxruntime") == Choice(None, "RERANK_KERNEL is onnxruntime")


def test_a_cpu_with_amx_keeps_onnxruntime_unless_told_otherwise(manifest: Manifest) -> None:
    """Its products there use instructions that the kernels do not."""
    features = CpuFeatures("x86_64", frozenset({*ZEN4, "amx_int8"}))
    found = chosen(manifest, features=features)
    assert found.kernel is None
    assert "AMX" in found.reason
    assert chosen(manifest, "avx512-bf16", features=features).kernel == BF16


class TestAvx2:
    """It runs on all x86 CPUs of today, and ONNX Runtime may be faster on those with wider or better products."""

    HASWELL = CpuFeatures("x86_64", frozenset({"avx2"}))

    def test_a_cpu_with_nothing_wider_takes_it(self, manifest: Manifest) -> None:
        found = chosen(manifest, features=self.HASWELL, unfit=NO_AVX512)
        assert found == Choice(AVX2, "avx2 runs on this CPU")

    @pytest.mark.parametrize(
        ("features", "why"),
        [
            (CpuFeatures("x86_64", frozenset({"avx2", "avx512f"})), "products for this CPU's AVX-512, and nobody"),
            (CpuFeatures("x86_64", frozenset({"avx2", "avx_vnni"})), "products for this CPU's AVX-VNNI, and nobody"),
            (CpuFeatures("x86_64", known=False), "can't be read"),
        ],
    )
    def test_others_keep_onnxruntime_unless_told_otherwise(
        self, manifest: Manifest, features: CpuFeatures, why: str
    ) -> None:
        found = chosen(manifest, features=features, unfit=NO_AVX512)
        assert found.kernel is None
        assert why in found.reason
        assert "RERANK_KERNEL=avx2 takes it" in found.reason

    def test_it_takes_no_better_one_s_place_by_itself(self, manifest: Manifest) -> None:
        """As where the model was exported on another kind of host."""
        found = chosen(unmeasured(manifest, BF16, AVX512))
        assert found.kernel is None
        assert "never measured" in found.reason
        assert "RERANK_KERNEL=avx2 takes it" in found.reason

    @pytest.mark.parametrize("names", [{"avx2"}, {"avx2", "avx512f"}, {"avx2", "avx_vnni"}, {*ZEN4, "amx_int8"}])
    def test_it_may_be_named_wherever_it_runs(self, manifest: Manifest, names: set[Feature]) -> None:
        features = CpuFeatures("x86_64", frozenset(names))
        assert chosen(manifest, "avx2", features=features) == Choice(AVX2, "RERANK_KERNEL is avx2")
        with pytest.raises(ConfigurationError, match=r"RERANK_KERNEL=avx2 .*lacks AVX2"):
            chosen(manifest, "avx2", features=features, unfit=NO_AVX2)

    def test_a_cpu_without_it_is_told_just_that(self, manifest: Manifest) -> None:
        found = chosen(manifest, features=CpuFeatures("x86_64"), unfit=NO_AVX2)
        assert found.reason.endswith("avx2: lacks AVX2")


@pytest.mark.parametrize(
    ("wanted", "measured"),
    [("auto", [BF16, AVX512, AVX2]), ("avx2", [AVX2]), ("portable", [PORTABLE]), ("onnxruntime", [])],
)
def test_a_model_is_measured_with_all_fast_kernels_that_run_here(
    wanted: KernelName, measured: list[Kernel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with those that `auto` would not take here: another host of the fleet may."""
    monkeypatch.setattr(start, "installed", lambda: Library(KERNELS, {}))
    assert start.kernels_here(wanted) == measured
    monkeypatch.setattr(start, "installed", lambda: Library(KERNELS, NO_AVX2))
    assert start.kernels_here(wanted) == [kernel for kernel in measured if kernel == PORTABLE]


def test_a_kernel_whose_quality_was_never_measured_is_passed_over(manifest: Manifest) -> None:
    assert chosen(unmeasured(manifest, BF16)).kernel == AVX512
    found = chosen(unmeasured(manifest, BF16, AVX512))
    assert found.kernel is None
    assert "never measured" in found.reason
    assert chosen(unmeasured(manifest, BF16), unsafe=True).kernel == BF16


@pytest.mark.parametrize(
    ("quality", "why"),
    [
        (PASSED.model_copy(update={"spearman": 0.9}), "Spearman"),
        (PASSED.model_copy(update={"invariance": {**PASSED.invariance, "varlen": False}}), "order or company"),
    ],
)
def test_a_kernel_that_failed_its_gate_is_passed_over(manifest: Manifest, quality: Quality, why: str) -> None:
    """Layout unpadded is not the only one in which a kernel promises a score of the pair alone."""
    failed = unmeasured(manifest, BF16, AVX512, quality=quality)
    failed = failed.model_copy(update={"layouts": {layout: f"{layout}.onnx" for layout in LAYOUTS}})
    found = chosen(failed)
    assert found.kernel is None
    assert why in found.reason


def test_another_version_of_the_kernel_has_to_be_measured_anew(manifest: Manifest) -> None:
    newer = tuple(Kernel(kernel.variant, 2, kernel.path) for kernel in KERNELS)
    assert chosen(manifest, kernels=newer).kernel is None


def _never(_: KernelName) -> Choice:
    raise AssertionError("nothing else was to be looked for")


class TestAgreement:
    OWN = Choice(BF16, "it runs")
    NONE = Choice(None, "this CPU lacks AVX512_VNNI")

    def test_who_scores_like_the_fleet_changes_nothing(self) -> None:
        assert agree(self.OWN, "auto", BF16.precision, _never) == self.OWN
        assert agree(self.NONE, "auto", "int8", _never) == self.NONE

    def test_who_could_run_a_kernel_does_not_where_the_fleet_does_not(self) -> None:
        found = agree(self.OWN, "auto", "int8", _never)
        assert found.kernel is None
        assert "RERANK_KERNEL=avx512-bf16 on every worker" in found.reason

    def test_the_fleet_s_kernel_is_taken_where_it_runs_here(self) -> None:
        found = agree(self.OWN, "auto", AVX512.precision, lambda name: Choice(AVX512, f"named {name}"))
        assert found.kernel == AVX512

    @pytest.mark.parametrize("version", [1, 2])
    def test_who_can_t_score_like_the_fleet_is_refused_with_the_way_out(self, version: int) -> None:
        """Another version of the same kernel gives other bits too."""
        served = Kernel("avx512", version, Path()).precision

        def named(name: KernelName) -> Choice:
            if version == 2 and name == "avx512":
                return Choice(AVX512, "named")
            raise ConfigurationError("can't be had")

        with pytest.raises(ConfigurationError, match="RERANK_KERNEL=onnxruntime on every worker") as told:
            agree(self.NONE, "auto", served, named)
        assert ("int8-row-avx512-1" if version == 2 else self.NONE.reason) in told.value.message

    @pytest.mark.parametrize(
        ("served", "common"), [(AVX512, "avx2"), (Kernel("avx2", 2, Path()), "onnxruntime")], ids=["avx512", "newer"]
    )
    def test_the_way_out_is_the_kernel_that_all_hosts_run_where_there_is_one(self, served: Kernel, common: str) -> None:
        def named(name: KernelName) -> Choice:
            if name == "avx2":
                return Choice(AVX2, "named")
            raise ConfigurationError("can't be had")

        with pytest.raises(ConfigurationError, match=f"Set RERANK_KERNEL={common} on every worker") as told:
            agree(Choice(AVX2, "it runs"), "auto", served.precision, named)
        assert "it runs" not in told.value.message

    def test_a_kernel_of_a_later_release_is_not_taken_for_none(self) -> None:
        with pytest.raises(ConfigurationError, match="int8-row-neon-1, by a kernel that this release does not know"):
            agree(self.OWN, "auto", "int8-row-neon-1", _never)

    @pytest.mark.parametrize("wanted", ["onnxruntime", "avx512-bf16", "avx2"])
    def test_what_the_settings_name_is_kept(self, wanted: KernelName) -> None:
        """This is how a fleet is moved from one to the other."""
        assert agree(self.OWN, wanted, "int8", _never) == self.OWN
