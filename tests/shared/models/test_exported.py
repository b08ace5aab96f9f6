"""Exported models: served under what their manifest says, refused with the number that failed, or taken as told."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from rerank_shared.contract.digest import file_digest
from rerank_shared.errors import ConfigurationError, ModelDamaged, ModelRefused
from rerank_shared.models.catalogue import configured_files, load_files
from rerank_shared.models.cpu import CpuFeatures
from rerank_shared.models.exported import (
    broken_bounds,
    broken_following,
    check_device,
    check_template,
    told_digest,
    weights_digest,
)
from rerank_shared.models.manifest import (
    MANIFEST_FILE,
    Bounds,
    CollectionQuality,
    FollowingBounds,
    KernelCalls,
    Manifest,
    Shortened,
    read_manifest,
)
from rerank_shared.settings import load_settings
from support.model.artefacts import FAILED, MODEL, PASSED, damage, rewrite, write_artefact

VNNI = CpuFeatures("x86_64", frozenset({"avx2", "avx512_vnni"}))
HINT = r"--unsafe \(RERANK_UNSAFE=true\)"


SHORTENED = Shortened(
    layers=12,
    kept=3,
    pairs=1_000,
    queries=125,
    made_queries=0,
    text_digest="0" * 64,
    measured_lists=20,
    measured_pairs=1_000,
    correlation=0.93,
    overlap_at_10=0.8,
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "exported"


def of(name: str, ndcg: float, fp32: float) -> CollectionQuality:
    return CollectionQuality(
        name=name, queries=9, ndcg_10=ndcg, ndcg_10_fp32=fp32, mrr_10=0.5, mrr_10_fp32=0.5, spearman=1.0
    )


class TestServing:
    def test_is_what_the_manifest_says(self, directory: Path) -> None:
        manifest = write_artefact(directory)
        files = load_files(f"file:{directory}")
        assert (files.name, files.source) == (MODEL, f"file:{directory}")
        assert (files.activation, files.max_length) == ("identity", 256)
        assert files.manifest == manifest
        assert files.model_digest == told_digest(manifest)
        assert files.model_path == directory / "unpadded.onnx"
        assert files.tokenizer_digest == manifest.files["tokenizer.json"]
        assert load_files(f"file:{directory}", activation="sigmoid").activation == "sigmoid"

    def test_what_an_earlier_release_exported_is_served(self, directory: Path) -> None:
        """Its manifest calls layouts plans, and each by another name."""
        manifest = write_artefact(directory)
        written = json.loads((directory / MANIFEST_FILE).read_text())
        written["plans"] = {"single": written.pop("layouts")["unpadded"]}
        written["quality"]["invariance"] = {"single": True, "packs": False}
        (directory / MANIFEST_FILE).write_text(json.dumps(written))
        found = load_files(f"file:{directory}").manifest
        assert found is not None
        assert found.layouts == manifest.layouts
        assert found.quality is not None
        assert found.quality.invariance == {"unpadded": True, "packed": False}

    def test_the_digest_is_of_graphs_and_weights_only(self, directory: Path) -> None:
        write_artefact(directory)
        before = load_files(f"file:{directory}").model_digest
        shutil.rmtree(directory)
        write_artefact(directory, max_length=128, files={})
        (directory / "config.json").write_text('{"max_position_embeddings": 128}')
        (directory / "weights.bin").write_bytes(b"1")

        def digest_with(*names: str) -> str:
            manifest = json.loads((directory / "manifest.json").read_text())
            manifest["files"] = {name: file_digest(str(directory / name)) for name in names}
            (directory / "manifest.json").write_text(json.dumps(manifest))
            return load_files(f"file:{directory}").model_digest

        plain = ("unpadded.onnx", "tokenizer.json", "config.json")
        assert digest_with(*plain) == before
        with_weights = digest_with(*plain, "weights.bin")
        assert with_weights != before
        (directory / "weights.bin").write_bytes(b"2")
        assert digest_with(*plain, "weights.bin") != with_weights

    def test_a_shortened_model_that_follows_the_whole_one(self, directory: Path) -> None:
        write_artefact(directory, shortened=SHORTENED)
        found = load_files(f"file:{directory}").manifest
        assert found is not None
        assert found.shortened == SHORTENED

    def test_a_pinned_digest_is_of_the_same_files(self, directory: Path) -> None:
        write_artefact(directory)
        digest = load_files(f"file:{directory}").model_digest
        assert load_files(f"file:{directory}", digest).model_digest == digest
        with pytest.raises(ModelDamaged, match="expected 0000"):
            load_files(f"file:{directory}", "0" * 64)

    def test_a_part_of_it_is_no_model(self, directory: Path) -> None:
        write_artefact(directory)
        with pytest.raises(ConfigurationError, match=r"leave out #unpadded\.onnx"):
            load_files(f"file:{directory}#unpadded.onnx")


class TestHead:
    """The kind of model that a manifest names."""

    def test_a_manifest_that_names_none_is_of_a_cross_encoder(self, directory: Path) -> None:
        """The export writes none either: workers of earlier releases would refuse the field."""
        write_artefact(directory)
        assert "head" not in json.loads((directory / MANIFEST_FILE).read_text())
        absent = load_files(f"file:{directory}")
        rewrite(directory, head="sequence-classification")
        named = load_files(f"file:{directory}")
        assert absent.head == named.head == "sequence-classification"
        # Scores that are cached under the one are those of the other.
        assert (absent.model_digest, absent.manifest) == (named.model_digest, named.manifest)
        assert load_files(load_settings().model).head == "sequence-classification"

    @pytest.mark.parametrize("more", [{}, {"vector_size": 128}], ids=["else known", "with a field of its own"])
    def test_a_kind_that_this_release_does_not_know(self, more: dict[str, Any], directory: Path) -> None:
        write_artefact(directory)
        rewrite(directory, head="late-interaction", **more)
        for unsafe in (False, True):
            with pytest.raises(ConfigurationError) as refused:
                load_files(f"file:{directory}", unsafe=unsafe)
            assert refused.value.message == (
                f"{directory}/manifest.json has the head 'late-interaction', and this release scores "
                "sequence-classification: serve it by workers of the release that exported it"
            )

    @pytest.mark.parametrize("head", [None, 7, ["sequence-classification"]])
    def test_a_head_that_is_no_name(self, head: object, directory: Path) -> None:
        write_artefact(directory)
        rewrite(directory, head=head)
        with pytest.raises(ModelDamaged, match="no manifest of this version: head"):
            load_files(f"file:{directory}")


class TestRefusing:
    @pytest.mark.parametrize("name", ["unpadded.onnx", "tokenizer.json", "config.json"])
    def test_a_file_that_differs(self, name: str, directory: Path) -> None:
        write_artefact(directory)
        damage(directory / name)
        with pytest.raises(ModelDamaged, match=rf"{name} has SHA-256.*its manifest says.*{HINT}"):
            load_files(f"file:{directory}")

    @pytest.mark.parametrize("name", ["unpadded.onnx", "tokenizer.json"])
    def test_a_file_that_is_missing(self, name: str, directory: Path) -> None:
        write_artefact(directory)
        (directory / name).unlink()
        with pytest.raises(ModelDamaged, match=rf"{name} is missing"):
            load_files(f"file:{directory}")

    def test_a_gate_that_failed(self, directory: Path) -> None:
        write_artefact(directory, FAILED)
        with pytest.raises(ModelRefused, match=rf"failed its quality gate: .*0\.9871, below 0\.995.*{HINT}"):
            load_files(f"file:{directory}")

    def test_a_report_that_is_missing(self, directory: Path) -> None:
        write_artefact(directory, None)
        with pytest.raises(ModelRefused, match=rf"never put through the quality gate.*{HINT}"):
            load_files(f"file:{directory}")

    def test_stricter_bounds_of_this_worker(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_artefact(directory, PASSED.model_copy(update={"collections": (of("cacm", 0.497, 0.5),)}))
        monkeypatch.setenv("RERANK_MODEL", f"file:{directory}")
        assert configured_files(load_settings()).name == MODEL
        with pytest.raises(ModelRefused, match=r"correlation with fp32 is 0\.9990 over 320 pairs, below 0\.9995"):
            configured_files(load_settings(gate_min_spearman=0.9995))
        with pytest.raises(ModelRefused, match=r"cacm is 0\.4970, 0\.9940 of fp32's 0\.5000, below 0\.995"):
            configured_files(load_settings(gate_min_ndcg_ratio=0.995))

    def test_looser_bounds_do_not_undo_a_failure(self, directory: Path) -> None:
        write_artefact(directory, FAILED)
        with pytest.raises(ModelRefused, match=r"0\.9871"):
            load_files(f"file:{directory}", bounds=Bounds(min_ndcg_ratio=0.0, min_spearman=-1.0))

    def test_a_shortened_model_that_does_not_follow_the_whole_one(self, directory: Path) -> None:
        """It is judged again, whatever the report of its own precision says."""
        write_artefact(directory, shortened=SHORTENED.model_copy(update={"correlation": 0.71, "overlap_at_10": 0.55}))
        with pytest.raises(ModelRefused) as refused:
            load_files(f"file:{directory}")
        assert "with 3 of 12 layers the correlation with the whole model is 0.7100 over 20 lists" in str(refused.value)
        assert "it has 0.5500 of the whole model's best ten over 20 lists" in str(refused.value)
        assert "Export it with more layers (--depth), or serve it all the same with --unsafe" in str(refused.value)
        assert load_files(f"file:{directory}", unsafe=True).name == MODEL

    @pytest.mark.parametrize("figure", ["correlation", "overlap_at_10"])
    def test_each_figure_of_a_shortened_model_has_its_bound(self, figure: str, directory: Path) -> None:
        bound = getattr(FollowingBounds(), f"min_{figure}")
        assert broken_following(SHORTENED.model_copy(update={figure: bound})) == ()
        for bad in (bound - 0.001, float("nan")):
            (told,) = broken_following(SHORTENED.model_copy(update={figure: bad}))
            assert f"{bad:.4f}" in told

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("{", "no manifest of this version"),
            ('{"format": 2}', "no manifest of this version: format"),
            ("[]", "no manifest of this version"),
        ],
    )
    def test_a_manifest_that_can_not_be_read(self, text: str, told: str, directory: Path) -> None:
        write_artefact(directory)
        (directory / "manifest.json").write_text(text)
        for unsafe in (False, True):
            with pytest.raises(ModelDamaged, match=told):
                load_files(f"file:{directory}", unsafe=unsafe)

    @pytest.mark.parametrize("change", [{"layouts": {"unpadded": "other.onnx"}}, {"tail": "tail.onnx"}, {"files": {}}])
    def test_a_graph_without_a_digest(self, change: dict[str, Any], directory: Path) -> None:
        write_artefact(directory, **change)
        with pytest.raises(ModelDamaged, match="has no digest of"):
            load_files(f"file:{directory}")

    @pytest.mark.parametrize("name", ["../secret.onnx", "/etc/passwd"])
    def test_a_file_outside_of_the_directory(self, name: str, directory: Path) -> None:
        manifest = write_artefact(directory)
        shutil.rmtree(directory)
        write_artefact(directory, files=manifest.files | {name: "0" * 64})
        for unsafe in (False, True):
            with pytest.raises(ConfigurationError, match="outside"):
                load_files(f"file:{directory}", unsafe=unsafe)

    def test_a_manifest_without_layouts(self, directory: Path) -> None:
        write_artefact(directory, layouts={})
        with pytest.raises(ModelDamaged, match="names no graph"):
            load_files(f"file:{directory}")


class TestUnsafe:
    def test_a_failed_gate_is_told_and_served(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        write_artefact(directory, FAILED)
        assert load_files(f"file:{directory}", unsafe=True).name == MODEL
        (record,) = caplog.records
        assert record.levelno == logging.CRITICAL
        assert "UNSAFE" in record.getMessage()
        assert "0.9871" in record.getMessage()

    def test_changed_files_have_a_digest_of_their_own(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Scores of another model must never be found in the cache under this one's digest."""
        write_artefact(directory)
        good = load_files(f"file:{directory}")
        assert not caplog.records
        damage(directory / "unpadded.onnx")
        damage(directory / "tokenizer.json")
        bad = load_files(f"file:{directory}", unsafe=True)
        assert bad.model_digest not in (good.model_digest, "")
        assert bad.tokenizer_digest != good.tokenizer_digest
        assert "SHA-256" in caplog.text

    def test_a_good_model_says_nothing(self, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
        write_artefact(directory)
        load_files(f"file:{directory}", unsafe=True)
        assert not caplog.records


class TestHere:
    """What only the process that loads a model knows."""

    @pytest.fixture
    def manifest(self, directory: Path) -> Manifest:
        write_artefact(directory)
        return read_manifest(directory)

    def test_the_measured_template_is_needed(self, manifest: Manifest, caplog: pytest.LogCaptureFixture) -> None:
        check_template(manifest, manifest.template)
        with pytest.raises(ModelDamaged, match=rf"as 1:0, its manifest says {manifest.template}.*{HINT}"):
            check_template(manifest, "1:0")
        check_template(manifest, "1:0", unsafe=True)
        assert "UNSAFE" in caplog.text

    def test_the_precision_must_be_for_this_machine(self, manifest: Manifest) -> None:
        half = manifest.model_copy(update={"precision": "fp16"})
        with pytest.raises(ConfigurationError, match="fp16 is for GPUs"):
            check_device(half, VNNI)
        check_device(half, VNNI, ["CUDAExecutionProvider"])
        check_device(half, VNNI, unsafe=True)

    def test_weights_of_all_8_bits_need_a_cpu_that_does_not_saturate(self, manifest: Manifest) -> None:
        int8, old = manifest.model_copy(update={"precision": "int8"}), CpuFeatures("x86_64", frozenset({"avx2"}))
        check_device(int8, VNNI)
        with pytest.raises(ConfigurationError, match=r"7 bits.*would be wrong here; .* with --reduced-range"):
            check_device(int8, old)
        check_device(int8.model_copy(update={"reduced_range": True}), old)
        check_device(manifest, old)

    def test_a_kernel_is_the_other_way_out_for_weights_of_all_8_bits(self, manifest: Manifest) -> None:
        calls = KernelCalls(file="weights.bin", weights={"0.qkv.weight_int8": (0, 64, 192)})
        int8 = manifest.model_copy(update={"precision": "int8", "kernels": calls})
        old = CpuFeatures("x86_64", frozenset({"avx2"}))
        with pytest.raises(ConfigurationError, match=r"set RERANK_KERNEL=avx2, .* or export the model again"):
            check_device(int8, old)
        check_device(int8, old, by_kernel=True)
        with pytest.raises(ConfigurationError, match="needs AVX2"):
            check_device(int8, CpuFeatures("x86_64"), by_kernel=True)

    def test_a_plain_model_has_nothing_to_check(self) -> None:
        check_template(None, "anything")
        check_device(None, VNNI)


class TestBounds:
    def test_each_broken_bound_is_one_sentence(self) -> None:
        quality = PASSED.model_copy(
            update={
                "spearman": 0.9949,
                "invariance": {"unpadded": False},
                "collections": (of("kept", 0.5, 0.5), of("lost", 0.4, 0.5), of("hopeless", 0.0, 0.0)),
            }
        )
        spearman, lost, company = broken_bounds(quality, "int8", ["unpadded"], Bounds())
        assert "0.9949 over 320 pairs, below 0.995" in spearman
        assert "lost is 0.4000, 0.8000 of fp32's 0.5000, below 0.99" in lost
        assert "int8 promises a score of the pair alone in layout unpadded, where it changes" in company

    def test_exactly_the_bound_is_kept(self) -> None:
        quality = PASSED.model_copy(update={"spearman": 0.995, "collections": (of("edge", 0.25, 0.5),)})
        assert broken_bounds(quality, "int8", ["unpadded"], Bounds(min_ndcg_ratio=0.5)) == ()

    def test_only_what_is_promised_is_held_against_a_plan(self) -> None:
        quality = PASSED.model_copy(update={"invariance": {"padded": False}})
        assert broken_bounds(quality, "int8", ["padded"], Bounds()) == ()
        (sentence,) = broken_bounds(quality, "int8", ["unpadded", "padded"], Bounds())
        assert "was not looked at" in sentence

    def test_nothing_measured_is_nothing_kept(self) -> None:
        quality = PASSED.model_copy(update={"pairs": 0, "spearman": 1.0})
        assert broken_bounds(quality, "fp32", ["unpadded"], Bounds()) == ("no pair of the frozen set was scored",)


def test_one_file_keeps_its_digest_and_several_have_one_whatever_their_order() -> None:
    assert weights_digest({"model.onnx": "ab"}) == "ab"
    both = weights_digest({"a": "1", "b": "2"})
    assert both == weights_digest({"b": "2", "a": "1"})
    assert both != weights_digest({"a": "2", "b": "1"})
